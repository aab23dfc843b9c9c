"""Methods of two phases in one run: source first, then target."""

import abc

import jax
import optax

from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.methods.base import Method
from da_bench.methods.trainer import Metrics, Trainer


class TwoPhaseMethod(Method):
    """A method that first trains on the source and then adapts. Subclasses declare the two fields.

    Args:
        pretrain: share of the run that trains on the source, in [0, 1].
        restart: whether the second phase starts with a fresh optimizer and its own learning-rate schedule.
    """

    pretrain: float
    restart: bool

    @property
    def restart_at(self) -> Array | float | None:
        """Where the second phase begins, if it restarts the optimizer."""
        return self.pretrain if self.restart else None

    @property
    def label_smoothing(self) -> Array | float:
        """Smoothing of the source labels in the first phase, in [0, 1]."""
        return 0.0

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take one step of the current phase. Runs that are vmapped compute both phases and select one."""

        def second_phase(state: TrainState) -> tuple[TrainState, Metrics]:
            if self.restart:
                previous = trainer.progress(state._replace(step=state.step - 1))
                opt_state = jax.lax.cond(
                    previous < self.pretrain, trainer.reset_optimizer, lambda state: state.opt_state, state
                )
                state = state._replace(opt_state=opt_state)
            return self.target_step(trainer, state, batch)

        in_first_phase = trainer.progress(state) < self.pretrain
        after, metrics = jax.lax.cond(
            in_first_phase, lambda state: self.source_step(trainer, state, batch), second_phase, state
        )
        return after._replace(memory=self.merge_memory(state.memory, after.memory, batch.rows)), metrics

    def merge_memory(self, memory: Tree, new: Tree, rows: Array) -> Tree:
        """Return the memory after a step. All that a phase returns is copied in every step, so keep it small.

        Args:
            memory: before the step.
            new: what the phase returned as its memory.
            rows: [b] target rows of the batch.
        """
        return new

    def source_step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take a step of the first phase."""
        return source_only_step(trainer, state, batch, self.label_smoothing)

    @abc.abstractmethod
    def target_step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take a step of the second phase; its metrics are those of the first."""


def source_only_step(
    trainer: Trainer, state: TrainState, batch: Batch, label_smoothing: Array | float = 0.0
) -> tuple[TrainState, Metrics]:
    """Take a step of the network on the source cross-entropy alone. The method's own parameters stay.

    Domain-specific batch statistics of the target are copied from the source.
    """
    key = named_key(trainer.step_key(state), "dropout")

    def objective(params: Tree) -> tuple[Array, Tree]:
        output, stats = trainer.forward(params["model"], state.stats, batch.source, key)
        return smoothed_cross_entropy(output, batch.labels, label_smoothing), stats

    (task, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    mask = {"model": True, "method": False}
    after = trainer.apply_gradients(state, gradients, trainer.sync_target_stats(stats), mask)
    return after, trainer.metrics(task, task)


def smoothed_cross_entropy(output: Output, labels: Array, smoothing: Array | float) -> Array:
    """Mean cross-entropy with labels smoothed to (1 - smoothing) of the label + smoothing / c of every class."""
    hard = optax.softmax_cross_entropy_with_integer_labels(output.logits, labels).mean()
    uniform = -jax.nn.log_softmax(output.logits).mean()
    return (1 - smoothing) * hard + smoothing * uniform
