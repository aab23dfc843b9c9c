"""Adversarial discriminative domain adaptation."""

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Fraction, NonNegative, field
from da_bench.core.types import Array, Batch, TrainState, Tree, named_key
from da_bench.losses.adversarial import domain_cross_entropy
from da_bench.methods._two_phase import TwoPhaseMethod
from da_bench.methods.base import MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer
from da_bench.models import Discriminator


@register(
    expected_failures={
        "learns_the_source": "both domains are predicted by the target encoder",
        "gains_on_moved_domains": "at the default weight, adapting for half of this run is too short",
    }
)
class Adda(TwoPhaseMethod):
    """Adversarial discriminative domain adaptation (ADDA): a separate target encoder that fools a domain classifier.

    The first phase trains the network on the source. The second phase keeps a copy of its encoder, fixed, for the
    source, and trains the network's own encoder on the target, so that the domain classifier takes its features for
    those of the copy. The encoder is trained with inverted labels, not with a reversed gradient; the head stays fixed.
    Encoder and domain classifier are updated in one optimizer step, each on its own loss. From the first step of the
    second phase, the target encoder predicts both domains.

    Args:
        weight: of the encoder's loss, >= 0. The paper has 1 with another optimizer and learning rate in the second
            phase; at the rate of the first phase, 1 can match the domains with exchanged classes, hence 0.1.
        pretrain: share of the run that trains on the source, in [0, 1].
        restart: whether the second phase starts with a fresh optimizer and learning rate, as in the paper; otherwise
            they continue.
        widths: hidden layers of the domain classifier; two of 500 units, as in the paper on digits.

    References:
        Tzeng, Hoffman, Saenko and Darrell, Adversarial Discriminative Domain Adaptation, CVPR 2017. arXiv:1702.05464,
        Section 4, Eq. 9; Section 5.1.
    """

    weight: NonNegative = 0.1
    pretrain: Fraction = 0.5
    restart: bool = field(default=False, since="0.1")
    widths: tuple[int, ...] = (500, 500)

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the domain classifier, and the copy of the network that encodes the source."""
        discriminator = Discriminator(self.widths).init_params(key, spec.output.features)
        return MethodState(params=discriminator, memory={"source": spec.network_params})

    def source_step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take a step on the source, and copy the network."""
        after, metrics = super().source_step(trainer, state, batch)
        return after._replace(memory={"source": after.params["model"]}), metrics

    def target_step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Update the target encoder and the domain classifier."""
        key = trainer.step_key(state)
        source, _ = trainer.forward(state.memory["source"], state.stats, batch.source, named_key(key, "source"))

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            dropout = named_key(key, "target")
            target, stats = trainer.forward(params["model"], state.stats, batch.target, dropout, "target")
            domain, alignment = self.losses(params["method"], source.features, target.features)
            loss = domain + alignment
            return loss, (stats, trainer.metrics(loss, alignment=alignment))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        mask = {"model": trainer.encoder_mask(state.params["model"], source.features), "method": True}
        return trainer.apply_gradients(state, gradients, stats, mask), metrics

    def losses(self, params: Tree, source: Array, target: Array) -> tuple[Array, Array]:
        """Losses of the domain classifier and of the encoder, each with a gradient to its own parameters only.

        Args:
            params: of the domain classifier.
            source: [n, d] features.
            target: [m, d] features.
        """
        logits = Discriminator(self.widths).logits
        source_logits = logits(params, jax.lax.stop_gradient(source))
        domain = domain_cross_entropy(source_logits, logits(params, jax.lax.stop_gradient(target)))
        fooled = logits(jax.lax.stop_gradient(params), target)
        return domain, self.weight * optax.sigmoid_binary_cross_entropy(fooled, jnp.ones_like(fooled)).mean()
