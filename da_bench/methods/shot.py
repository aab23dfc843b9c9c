"""Source hypothesis transfer."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Count, Fraction, NonNegative, field
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.clusters import centroids, nearest_centroid
from da_bench.losses.entropy import information_maximisation
from da_bench.methods._memory_bank import MemoryBank, MemoryBankMethod, bank_entries, empty_bank, update_bank
from da_bench.methods.base import MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer


@register(expected_failures={"weight_zero_is_source_only": "the source's labels are smoothed"})
class Shot(MemoryBankMethod):
    """Source hypothesis transfer (SHOT): first the source; then the encoder fits the target to the fixed head.

    The second phase, without the source, minimises the target's information maximisation loss, mean H(p) - H(mean p),
    + beta * the cross-entropy with pseudo-labels. The pseudo-label of a row is the class whose centroid is nearest in
    cosine. Centroids are first means weighted by the predictions, then means of the classes assigned by those
    (Eq. 5-7).

    Args:
        weight: of the second phase's loss, >= 0; 1 as in the paper.
        pretrain: share of the run that trains on the source, in [0, 1].
        restart: whether the second phase starts with a fresh optimizer and learning rate, as in the paper; otherwise
            they continue.
        smoothing: of the source labels, in [0, 1].
        beta: of the cross-entropy with pseudo-labels, >= 0; 0.3 as in the paper, which has 0.1 on digits.
        variant: "shot", or "im" without pseudo-labels (the paper's SHOT-IM).
        renew: number of steps between two computations of the centroids, >= 1. With many target rows they cost more
            than the network's step.

    Deviations: the paper computes pseudo-labels of all rows once an epoch, in evaluation mode. Here each step computes
    its own, from the features and predictions that target rows had in training when they were last in a batch; unseen
    rows are left out. The paper's network has batch normalisation before its features and weight normalisation in its
    last layer; here the network is the experiment's.

    References:
        Liang, Hu and Feng, Do We Really Need to Access the Source Data? Source Hypothesis Transfer for Unsupervised
        Domain Adaptation, ICML 2020. arXiv:2002.08546, Section 3.
    """

    weight: NonNegative = 1.0
    pretrain: Fraction = 0.5
    restart: bool = field(default=False, since="0.1")
    smoothing: Fraction = 0.1
    beta: NonNegative = 0.3
    variant: Literal["shot", "im"] = "shot"
    renew: Count = field(default=1, since="0.1")

    @property
    def label_smoothing(self) -> Array | float:
        """Smoothing of the source labels in the first phase."""
        return self.smoothing

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the empty bank of the target rows, and centroids of no row."""
        if self.variant == "im":
            return MethodState()
        bank = empty_bank(spec.output, spec.num_targets)
        no_centroids = centroids(bank.features[:1], jnp.zeros_like(bank.predictions[:1]))
        return MethodState(memory={"bank": bank, "centroids": no_centroids})

    def target_step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Update the encoder on the target."""
        key = named_key(trainer.step_key(state), "dropout")

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Tree, Output]]:
            target, stats = trainer.forward(params["model"], state.stats, batch.target, key, "target")
            loss, memory = self.loss(target, state.memory, batch.rows, state.step % self.renew == 0)
            return loss, (stats, memory, target)

        (loss, (stats, memory, target)), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        mask = {"model": trainer.encoder_mask(state.params["model"], target.features), "method": False}
        after = trainer.apply_gradients(state, gradients, stats, mask)
        return after._replace(memory=memory), trainer.metrics(loss, alignment=loss)

    def loss(self, target: Output, memory: Tree, rows: Array, is_due: Array | bool = True) -> tuple[Array, Tree]:
        """Loss of the second phase, and the new memory with the entries of these rows only.

        Args:
            target: output of the batch's target rows.
            memory: the bank of all target rows, and the centroids.
            rows: [b] which rows of the bank the batch holds.
            is_due: whether to compute new centroids.
        """
        loss = information_maximisation(target.logits)
        if self.variant == "im":
            return self.weight * loss, memory
        entries = bank_entries(target.features, jax.nn.softmax(target.logits))
        previous = memory["centroids"]

        def renewed() -> tuple[Array, Array]:
            return class_centroids(update_bank(memory["bank"], rows, entries))

        centres = jax.lax.cond(is_due | ~previous[1].any(), renewed, lambda: previous)
        labels = nearest_centroid(entries.features, *centres)
        loss += self.beta * optax.softmax_cross_entropy_with_integer_labels(target.logits, labels).mean()
        return self.weight * loss, {"bank": entries, "centroids": centres}


def class_centroids(bank: MemoryBank) -> tuple[Array, Array]:
    """Centroids of the classes from all rows that were seen, see `losses.clusters.centroids`."""
    seen = bank.seen[:, None]
    assigned = nearest_centroid(bank.features, *centroids(bank.features, bank.predictions * seen))
    members = jax.nn.one_hot(assigned, bank.predictions.shape[1], dtype=bank.features.dtype) * seen
    return centroids(bank.features, members)
