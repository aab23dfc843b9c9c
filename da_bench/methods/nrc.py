"""Neighbourhood reciprocity clustering."""

import jax
import jax.numpy as jnp

from da_bench.core.config import Count, Fraction, NonNegative, field
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.clusters import nearest_neighbours
from da_bench.losses.entropy import marginal_divergence
from da_bench.methods._memory_bank import MemoryBank, MemoryBankMethod, bank_entries, empty_bank, update_bank
from da_bench.methods.base import MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer


@register(expected_failures={"weight_zero_is_source_only": "the source's labels are smoothed"})
class Nrc(MemoryBankMethod):
    """Neighbourhood reciprocity clustering (NRC): first the source, then each target row agrees with its neighbours.

    Let p_i be the prediction of row i and S_k the stored prediction of row k, which carries no gradient. The second
    phase, without the source, minimises KL(mean p || uniform) - the mean over the batch of the sum of three agreements:

    - A_ik S_k'p_i over the nearest `neighbours` k, with A_ik = 1 if i is among the `extended` nearest of k, else r;
    - r S_m'p_i over the `extended` nearest m of each of these k;
    - S_i'p_i.

    Args:
        weight: of the second phase's loss, >= 0; 1 as in the paper.
        pretrain: share of the run that trains on the source, in [0, 1].
        restart: whether the second phase starts with a fresh optimizer and learning rate, as in the paper; otherwise
            they continue.
        smoothing: of the source labels, in [0, 1].
        neighbours: K >= 1; 3, and 5 for many rows (VisDA).
        extended: M >= 1; 2, and 5 for many rows (VisDA).
        r: affinity of neighbours that are not reciprocal, in [0, 1]; 0.1 as in the paper.

    Deviations: neighbours are the nearest in cosine among the features that target rows had when they were last in a
    batch; unseen rows are no neighbours. A row may be among its own extended neighbours; the authors' code leaves it
    out there, or else drops the third agreement. The paper fills the memory before the second phase begins.

    References:
        Yang, Wang, van de Weijer, Herranz and Jui, Exploiting the Intrinsic Neighborhood Structure for Source-free
        Domain Adaptation, NeurIPS 2021. arXiv:2110.04202, Eq. 2-9.
    """

    weight: NonNegative = 1.0
    pretrain: Fraction = 0.5
    restart: bool = field(default=False, since="0.1")
    smoothing: Fraction = 0.1
    neighbours: Count = 3
    extended: Count = 2
    r: Fraction = 0.1

    @property
    def label_smoothing(self) -> Array | float:
        """Smoothing of the source labels in the first phase."""
        return self.smoothing

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the empty bank of features and predictions of the target rows."""
        return MethodState(memory={"bank": empty_bank(spec.output, spec.num_targets)})

    def target_step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Update the whole network on the target."""
        key = named_key(trainer.step_key(state), "dropout")

        def objective(params: Tree) -> tuple[Array, tuple[Tree, MemoryBank]]:
            target, stats = trainer.forward(params["model"], state.stats, batch.target, key, "target")
            entries = bank_entries(target.features, jax.nn.softmax(target.logits))
            bank = update_bank(state.memory["bank"], batch.rows, entries)
            return self.loss(target, bank, batch.rows), (stats, entries)

        (loss, (stats, entries)), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        after = trainer.apply_gradients(state, gradients, stats, {"model": True, "method": False})
        return after._replace(memory={"bank": entries}), trainer.metrics(loss, alignment=loss)

    def loss(self, target: Output, bank: MemoryBank, rows: Array) -> Array:
        """Loss of the second phase.

        Args:
            target: output of the batch's target rows.
            bank: entries of all target rows, those of the batch up to date.
            rows: [b] which rows of the bank the batch holds.
        """
        p = jax.nn.softmax(target.logits)
        neighbour_predictions = bank.predictions[rows] + self._sum_over_neighbours(bank, rows)
        agreement = jnp.sum(jax.lax.stop_gradient(neighbour_predictions) * p, axis=1).mean()
        return self.weight * (marginal_divergence(target.logits) - agreement)

    def _sum_over_neighbours(self, bank: MemoryBank, rows: Array) -> Array:
        """[b, c] sum of the predictions of nearest and extended neighbours, weighted by their affinities."""
        nearest, exists = nearest_neighbours(bank.features[rows], rows, bank.features, bank.seen, self.neighbours)
        extended, extended_exists = nearest_neighbours(
            bank.features[nearest.ravel()], nearest.ravel(), bank.features, bank.seen, self.extended
        )
        extended, extended_exists = (x.reshape(*nearest.shape, self.extended) for x in (extended, extended_exists))
        extended_exists &= exists[:, :, None]
        reciprocal = (extended_exists & (extended == rows[:, None, None])).any(axis=2)
        affinities = jnp.where(reciprocal, 1.0, self.r) * exists
        over_nearest = jnp.sum(affinities[:, :, None] * bank.predictions[nearest], axis=1)
        return over_nearest + self.r * jnp.sum(extended_exists[..., None] * bank.predictions[extended], axis=(1, 2))

    def discrepancy(self, source: Output, target: Output) -> Array:
        """1 - mean p'p, how undecided target predictions are, + KL(mean p || uniform)."""
        return 1 - jnp.sum(jax.nn.softmax(target.logits) ** 2, axis=1).mean() + marginal_divergence(target.logits)
