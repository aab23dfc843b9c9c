"""Virtual adversarial domain adaptation."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.adversarial import domain_adversarial_loss
from da_bench.losses.distances import norm
from da_bench.losses.entropy import conditional_entropy, kl_divergence
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.search_space import LOSS_WEIGHT
from da_bench.methods.trainer import Metrics, Trainer
from da_bench.models import Discriminator

Pair = tuple[Array, Array]  # of the source and of the target
DOMAINS = "source", "target"


@register(
    check_overrides={"radius": 0.5},
    expected_failures={
        "order_within_a_batch_does_not_matter": "every row is probed in a direction of its own, by its place",
        "lowers_what_it_says": "it seeks sure and smooth predictions, and aligns at a hundredth of their weight",
    },
    # the reality check's: the three terms, each by its own weight
    search=dict.fromkeys(("domain_weight", "source_weight", "target_weight"), LOSS_WEIGHT),
)
class Vada(Method):
    """Virtual adversarial domain adaptation (VADA): DANN, certain target predictions, and smooth ones in both domains.

    weight: of all of the added terms. domain_weight: lambda_d of the domain classifier, constant. source_weight:
    lambda_s of the source's virtual adversarial training. target_weight: lambda_t of the target's and of its
    conditional entropy. radius: epsilon, the Euclidean length of the adversarial perturbation of an input, in its
    units: 3.5 is for images of 32 x 32 x 3 values, and too much for a few features. probe: xi, the length of the
    random one at which its direction is sought; the authors' code takes 1e-6, at which single precision leaves little
    but rounding. widths: hidden layers of the domain classifier.

    Where the authors train on inverted domain labels, the gradient is reversed here, the minimax of their Eq. 1, and
    the two domains' losses are summed, of which their code takes the mean: lambda_d is twice theirs. With batch
    statistics of both domains together each domain's perturbation follows the other's, too; theirs are apart. Their
    instance normalisation of inputs and averaged weights belong to the network and are left out.

    References: Shu, Bui, Narui and Ermon, A DIRT-T Approach to Unsupervised Domain Adaptation, ICLR 2018.
    arXiv:1802.08735; virtual adversarial training: Miyato, Maeda, Koyama and Ishii, 2017. arXiv:1704.03976.
    """

    weight: NonNegative = 1.0
    domain_weight: NonNegative = 0.01
    source_weight: NonNegative = 1.0
    target_weight: NonNegative = 0.01
    radius: Positive = 3.5
    probe: Positive = 0.01
    widths: tuple[int, ...] = (100,)

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The domain classifier's parameters."""
        return MethodState(params=Discriminator(self.widths).init_params(key, spec.output.features))

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One optimizer step on source cross-entropy + the weighted terms."""
        key, inputs = trainer.step_key(state), (batch.source, batch.target)

        def passed(model: Tree, inputs: Pair) -> tuple[Output, Output, Tree]:
            # one dropout mask for all passes: else what two of them differ by is not the perturbation
            moved = batch._replace(source=inputs[0], target=inputs[1])
            return trainer.forward_domains(model, state.stats, moved, named_key(key, "dropout"))

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            source, target, stats = passed(params["model"], inputs)
            task = trainer.cross_entropy(source, batch.labels)

            def moved(model: Tree, offsets: Pair) -> Pair:
                ours, theirs, _ = passed(model, (inputs[0] + offsets[0], inputs[1] + offsets[1]))
                return kl_divergence(source.logits, ours.logits), kl_divergence(target.logits, theirs.logits)

            rough = self.roughness(moved, params["model"], inputs, key)
            gap = self._added(params["method"], (source, target), rough)
            return task + gap, (stats, trainer.metrics(task + gap, task, gap))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats), metrics

    def roughness(self, moved: Callable[[Tree, Pair], Pair], model: Tree, inputs: Pair, key: Array) -> Pair:
        """How far predictions move under the perturbation that moves them most, of source and target.

        moved: of the network's parameters and of offsets like `inputs`, the mean KL by which predictions move.
        """
        noise = [jax.random.normal(named_key(key, name), x.shape) for name, x in zip(DOMAINS, inputs, strict=True)]
        frozen = jax.lax.stop_gradient(model)
        probes = _of_length(noise[0], self.probe), _of_length(noise[1], self.probe)
        ours, theirs = jax.lax.stop_gradient(jax.grad(lambda offsets: sum(moved(frozen, offsets)))(probes))
        return moved(model, (_of_length(ours, self.radius), _of_length(theirs, self.radius)))

    def _added(self, params: Tree, outputs: tuple[Output, Output], rough: Pair) -> Array:
        source, target = outputs
        judge = functools.partial(Discriminator(self.widths).logits, params)
        confusion = domain_adversarial_loss(judge, source.features, target.features, self.weight * self.domain_weight)
        smooth = self.source_weight * rough[0] + self.target_weight * (rough[1] + conditional_entropy(target.logits))
        return confusion + self.weight * smooth


def _of_length(x: Array, length: Array | float) -> Array:
    """Each row of x [n, ...] made so long; a row of zeros stays one."""
    rows = x.reshape(x.shape[0], -1)
    lengths = norm(rows)
    return (length * rows / jnp.where(lengths > 0, lengths, 1.0)[:, None]).reshape(x.shape)
