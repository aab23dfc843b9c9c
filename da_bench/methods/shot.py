"""Source hypothesis transfer."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Count, Fraction, NonNegative, field
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.clusters import centroids, nearest_centroid
from da_bench.losses.entropy import information_maximisation
from da_bench.methods._memory_bank import Bank, Banked, empty, entries, written
from da_bench.methods.base import MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "weight_zero_is_source_only": "the source's labels are smoothed",
    }
)
class Shot(Banked):
    """First the source; then, without it and with the last layers fixed, the encoder makes the target fit them.

    The second phase lowers the target's information maximisation loss, mean H(p) - H(mean p), + beta times the
    cross-entropy with pseudo-labels: the class whose centroid is nearest in cosine, of centroids that are first means
    weighted by the predictions, then means of the classes so found (Eq. 5-7).

    weight: of the second phase's loss, 1 in the paper. pretrain: share of the run that learns the source. restart:
    whether the second phase begins with an optimizer and a learning rate of its own, as the paper's does; else they go
    on. smoothing: of the source's labels. beta: of the pseudo-labels' cross-entropy, 0.3, on digits 0.1. variant:
    "shot", or "im", that without pseudo-labels (the paper's SHOT-IM). renew: steps from one finding of centroids to the
    next; of many target rows it costs more than the network's step.

    The paper finds pseudo-labels of all rows once an epoch, in evaluation; here each step finds its own, by centroids
    of the features and predictions that target rows had in training when they were last in a batch; rows not seen yet
    have no part in them. The paper's network has batch normalisation before its features and weight normalisation in
    its last layer; here the network is the experiment's.

    References: Liang, Hu and Feng, Do We Really Need to Access the Source Data? Source Hypothesis Transfer for
    Unsupervised Domain Adaptation, ICML 2020. arXiv:2002.08546, Section 3.
    """

    weight: NonNegative = 1.0
    pretrain: Fraction = 0.5
    restart: bool = field(default=False, since="0.1")
    smoothing: Fraction = 0.1
    beta: NonNegative = 0.3
    variant: Literal["shot", "im"] = "shot"
    renew: Count = field(default=1, since="0.1")

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Features and predictions of the target rows, and the classes' centroids: of none."""
        if self.variant == "im":
            return MethodState()
        bank = empty(spec.output, spec.num_targets)
        no_centroids = centroids(bank.features[:1], jnp.zeros_like(bank.predictions[:1]))
        return MethodState(memory={"bank": bank, "centroids": no_centroids})

    def adapt(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """A step of the encoder on the target."""
        key = named_key(trainer.step_key(state), "dropout")

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Tree, Output]]:
            target, stats = trainer.forward(params["model"], state.stats, batch.target, key, "target")
            loss, memory = self.loss(target, state.memory, batch.rows, state.step % self.renew == 0)
            return loss, (stats, memory, target)

        (loss, (stats, memory, target)), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        encoder = trainer.encoder_mask(state.params["model"], target.features)
        after = trainer.apply_gradients(state, gradients, stats, {"model": encoder, "method": False})
        metrics = trainer.metrics(loss, alignment=loss)
        return after._replace(memory=memory), metrics

    def loss(self, target: Output, memory: Tree, rows: Array, due: Array | bool = True) -> tuple[Array, Tree]:
        """(the second phase's loss, what is remembered of these target rows [b]); due: centroids are found anew."""
        loss = information_maximisation(target.logits)
        if self.variant == "im":
            return self.weight * loss, memory
        new, last = entries(target.features, jax.nn.softmax(target.logits)), memory["centroids"]

        def found() -> tuple[Array, Array]:
            return of_classes(written(memory["bank"], rows, new))

        centres = jax.lax.cond(due | ~last[1].any(), found, lambda: last)
        labels = nearest_centroid(new.features, *centres)
        loss += self.beta * optax.softmax_cross_entropy_with_integer_labels(target.logits, labels).mean()
        return self.weight * loss, {"bank": new, "centroids": centres}


def of_classes(bank: Bank) -> tuple[Array, Array]:
    """Centroids by which rows get pseudo-labels, of all rows that were seen; see `centroids`."""
    seen = bank.seen[:, None]
    first = nearest_centroid(bank.features, *centroids(bank.features, bank.predictions * seen))
    members = jax.nn.one_hot(first, bank.predictions.shape[1], dtype=bank.features.dtype) * seen
    return centroids(bank.features, members)
