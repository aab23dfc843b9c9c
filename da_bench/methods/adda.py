"""Adversarial discriminative domain adaptation."""

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Fraction, NonNegative, field
from da_bench.core.types import Array, Batch, TrainState, Tree, named_key
from da_bench.losses.adversarial import domain_cross_entropy
from da_bench.methods._two_phase import Phased
from da_bench.methods.base import MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer
from da_bench.models import Discriminator


@register(
    expected_failures={
        "learns_the_source": "both domains are predicted by the target's encoder",
        "gains_on_moved_domains": "at its default weight the half run in which it adapts is too short here",
    }
)
class Adda(Phased):
    """A target encoder, begun as the source's, that learns to pass for it before a domain classifier.

    First the network learns the source. Then its encoder is copied; the copy stays, and encodes the source, while the
    network's own learns to encode the target so that a domain classifier takes its features for the copy's: inverted
    labels, not a reversed gradient. Its last layers stay too. Encoder and domain classifier move in one optimizer step,
    each on its own loss.

    weight: of the encoder's loss: 1 in the paper, whose second phase has another optimizer and rate; at the first
    phase's rate 1 can make the encoder pass for the source with the classes exchanged. pretrain: share of the run that
    learns the source. restart: whether the second phase begins with an optimizer and a learning rate of its own, as the
    paper's does; else they go on. widths: hidden layers of the domain classifier, the paper's on digits.

    What predicts, both domains, is the target encoder, from the first step of the second phase.

    References: Tzeng, Hoffman, Saenko and Darrell, Adversarial Discriminative Domain Adaptation, CVPR 2017.
    arXiv:1702.05464, Section 4, Eq. 9; Section 5.1.
    """

    weight: NonNegative = 0.1
    pretrain: Fraction = 0.5
    restart: bool = field(default=False, since="0.1")
    widths: tuple[int, ...] = (500, 500)

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The domain classifier's parameters, and the network that encodes the source."""
        classifier = Discriminator(self.widths).init_params(key, spec.output.features)
        return MethodState(params=classifier, memory={"source": spec.network_params})

    def learn(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """A step on the source, and its copy."""
        after, metrics = super().learn(trainer, state, batch)
        return after._replace(memory={"source": after.params["model"]}), metrics

    def adapt(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """A step of the target's encoder and of the domain classifier."""
        key = trainer.step_key(state)
        theirs = trainer.forward(state.memory["source"], state.stats, batch.source, named_key(key, "source"))[
            0
        ].features

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            dropout = named_key(key, "target")
            target, stats = trainer.forward(params["model"], state.stats, batch.target, dropout, "target")
            domain, alignment = self.losses(params["method"], theirs, target.features)
            loss = domain + alignment
            return loss, (stats, trainer.metrics(loss, alignment=alignment))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        encoder = trainer.encoder_mask(state.params["model"], theirs)
        return trainer.apply_gradients(state, gradients, stats, {"model": encoder, "method": True}), metrics

    def losses(self, params: Tree, source: Array, target: Array) -> tuple[Array, Array]:
        """(the domain classifier's, the encoder's) for features [n, d] and [m, d], each with a gradient to its own."""
        judge = Discriminator(self.widths).logits
        of_source = judge(params, jax.lax.stop_gradient(source))
        domain = domain_cross_entropy(of_source, judge(params, jax.lax.stop_gradient(target)))
        taken_for = judge(jax.lax.stop_gradient(params), target)
        return domain, self.weight * optax.sigmoid_binary_cross_entropy(taken_for, jnp.ones_like(taken_for)).mean()
