"""Methods of two phases in one run: the source first, then the target."""

import abc

import jax
import optax

from da_bench.core.config import UserError
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.methods.base import Method
from da_bench.methods.trainer import Metrics, Trainer


class Phased(Method):
    """A method of two phases, with these two fields, and `smoothing` of the source's labels if it has such a field.

    pretrain: share of the run that learns the source; restart: whether the second phase begins with an optimizer and a
    learning rate of its own.
    """

    pretrain: float
    restart: bool
    smoothing: float = 0.0

    @property
    def restart_at(self) -> Array | float | None:
        """Where the optimizer begins anew."""
        return self.pretrain if self.restart else None

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One step of the phase in which the run is.

        Of runs that are computed side by side both phases are, in every step, and one is chosen.
        """

        def later(state: TrainState) -> tuple[TrainState, Metrics]:
            if self.restart:
                before = trainer.progress(state._replace(step=state.step - 1))
                opt_state = jax.lax.cond(
                    before < self.pretrain, trainer.reset_optimizer, lambda one: one.opt_state, state
                )
                state = state._replace(opt_state=opt_state)
            return self.adapt(trainer, state, batch)

        first = trainer.progress(state) < self.pretrain
        after, metrics = jax.lax.cond(first, lambda state: self.learn(trainer, state, batch), later, state)
        return after._replace(memory=self.keep(state.memory, after.memory, batch.rows)), metrics

    def keep(self, memory: Tree, new: Tree, rows: Array) -> Tree:
        """The next memory, of the last one and of what `learn` or `adapt` left in its place for target rows [b].

        All of it, if it is small: what one phase writes and the other hands on is copied in every step.
        """
        return new

    def learn(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """A step of the first phase."""
        return source_step(trainer, state, batch, self.smoothing)

    @abc.abstractmethod
    def adapt(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """A step of the second phase, with the metrics of the first."""


def source_step(
    trainer: Trainer, state: TrainState, batch: Batch, smoothing: Array | float = 0.0
) -> tuple[TrainState, Metrics]:
    """A step of the network on the source's cross-entropy alone, with labels smoothed by so much, in [0, 1].

    Domain-specific statistics of the target are the source's. The method's own parameters stay.
    """
    key = named_key(trainer.step_key(state), "dropout")

    def objective(params: Tree) -> tuple[Array, Tree]:
        output, stats = trainer.forward(params["model"], state.stats, batch.source, key)
        return smoothed_cross_entropy(output, batch.labels, smoothing), stats

    (task, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    moves = {"model": True, "method": False}
    after = trainer.apply_gradients(state, gradients, trainer.sync_target_stats(stats), moves)
    return after, trainer.metrics(task, task)


def smoothed_cross_entropy(output: Output, labels: Array, smoothing: Array | float) -> Array:
    """Mean over the rows of the cross-entropy with (1 - smoothing) of the label + smoothing / c of every class."""
    hard = optax.softmax_cross_entropy_with_integer_labels(output.logits, labels).mean()
    even = -jax.nn.log_softmax(output.logits).mean()
    return (1 - smoothing) * hard + smoothing * even


def require_batch_norm(method: str, stats: Tree) -> None:
    """UserError where a network's statistics are none: it has no batch normalisation."""
    if not jax.tree.leaves(stats):
        raise UserError(
            f"{method} adapts batch normalisation, and this network has none: take a model with it, or another method"
        )
