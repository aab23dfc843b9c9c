"""AdaMatch."""

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Fraction, NonNegative
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.entropy import conditional_entropy
from da_bench.losses.pseudo_labels import align_distribution, confident_cross_entropy
from da_bench.methods._augment import Perturbation, perturbed
from da_bench.methods._ema import averaged
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.schedules import cosine_rise
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "order_within_a_batch_does_not_matter": "every row has noise of its own, by its place in the batch",
        "weight_zero_is_source_only": "the source too is augmented and interpolated",
        "lowers_what_it_says": "it seeks sure and stable predictions, not features that are alike",
    }
)
class AdaMatch(Method):
    """FixMatch with source logits between two batch norms, pseudo-labels aligned to the source, a relative threshold.

    Source logits are, each by its own uniform random share, between those of a pass over both domains and those of a
    pass over the source alone (which differ by batch normalisation and dropout only). The target's pseudo-label is the
    likeliest class of its prediction times mean source prediction / mean target prediction. A row counts where that is
    at least `threshold` times the mean confidence on the source. Source rows are learned as they are and disturbed, the
    mean of both; target rows are labelled as they are and learned disturbed.

    weight: of the target's cross-entropy, times mu = 1/2 - cos(min(pi, 2 pi p)) / 2: full from the middle of the run.
    threshold: tau. decay: of the moving average of the network, which predicts. perturbation: what disturbs, "noise"
    or, of images, "cutout"; the weak augmentation is the view's. strength: of the noise in standard deviations of
    the inputs, of cutout as a share of the side.

    Both means are of the batch; the authors' code keeps running ones. The average forgets the random start, see
    `teacher.averaged`. The paper's unlabelled batch is 3 times the labelled one; here it is the run's.

    References: Berthelot, Roelofs, Sohn, Carlini and Kurakin, AdaMatch: A Unified Approach to Semi-Supervised Learning
    and Domain Adaptation, ICLR 2022. arXiv:2106.04732, Section 3.
    """

    weight: NonNegative = 1.0
    threshold: Fraction = 0.9
    decay: Fraction = 0.999
    perturbation: Perturbation = "noise"
    strength: NonNegative = 0.5

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The average of the network."""
        return MethodState(memory={"average": spec.network_params})

    def inference_variables(self, state: TrainState) -> tuple[Tree, Tree]:
        """The average of the network."""
        return state.memory["average"], state.stats

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One optimizer step, which the average follows."""
        key = trainer.step_key(state)
        strength = self.weight * cosine_rise(state.step, trainer.num_steps)
        seen = self._doubled(key, batch)

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            both, target, stats = trainer.forward_domains(params["model"], state.stats, seen, named_key(key, "dropout"))
            alone, _ = trainer.forward(params["model"], state.stats, seen.source, named_key(key, "alone"))
            share = jax.random.uniform(named_key(key, "share"), both.logits.shape, both.logits.dtype)
            source = alone.logits + share * (both.logits - alone.logits)
            task = optax.softmax_cross_entropy_with_integer_labels(source, seen.labels).mean()
            gap = strength * self.loss(source[: len(batch.source)], *jnp.split(target.logits, 2))
            return task + gap, (stats, trainer.metrics(task + gap, task, gap))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        after = trainer.apply_gradients(state, gradients, stats)
        average = averaged(state.memory["average"], after.params["model"], state.step, self.decay)
        return after._replace(memory={"average": average}), metrics

    def _doubled(self, key: Array, batch: Batch) -> Batch:
        """All rows as they are, then disturbed."""

        def doubled(name: str, inputs: Array) -> Array:
            return jnp.concatenate([inputs, perturbed(named_key(key, name), inputs, self.perturbation, self.strength)])

        source, target = doubled("source", batch.source), doubled("target", batch.target)
        return Batch(source, jnp.tile(batch.labels, 2), target, jnp.tile(batch.rows, 2))

    def loss(self, source: Array, weak: Array, strong: Array) -> Array:
        """The target's cross-entropy: logits of source rows [n, c] and target rows [m, c] as they are; disturbed."""
        p, q = (jax.nn.softmax(jax.lax.stop_gradient(logits)) for logits in (source, weak))
        return confident_cross_entropy(strong, align_distribution(q, p), self.threshold * p.max(axis=1).mean())

    def discrepancy(self, source: Output, target: Output) -> Array:
        """The mean entropy of the target's predictions."""
        return conditional_entropy(target.logits)
