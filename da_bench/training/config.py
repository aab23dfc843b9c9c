"""The training configuration: schedule, optimizer and numerical precision of a run."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Count, Fraction, NonNegative, Positive, UserError, config_dataclass, field
from da_bench.core.types import Array, Tree
from da_bench.methods import BatchNorm
from da_bench.models import Precision


@config_dataclass
class Training:
    """How long and how a run trains.

    The learning rate at progress p in [0, 1) is mu_0 / (1 + a p)^b, with the defaults of DANN (Ganin et al., JMLR 2016,
    Section 5.2.2). Suites that count steps i use mu_0 / (1 + gamma i)^b whatever the length of the run; then a is gamma
    times the steps. TLlib's gamma of 0.001 or 0.0003 equals the paper's a = 10 in a run of 10000 or 33333 steps, and is
    next to constant in a short one.

    Args:
        steps: number of updates.
        evaluations: number of evaluations, evenly spaced; divides `steps`.
        batch_size: rows of each domain in a step; None takes all of them.
        optimizer: "sgd" with momentum, "nesterov" or "adam".
        learning_rate: mu_0, of one step.
        decay_rate: a of the schedule; 0 is a constant rate.
        decay_power: b of the schedule.
        momentum: of "sgd" and "nesterov", b1 of "adam"; in [0, 1].
        weight_decay: added to the gradient before the momentum, as in SGD papers.
        precision: of the network's computation, see `models.forward`. Alignment terms and parameters are always
            float32.
        batch_norm: how batch normalisation treats the two domains of a step, see `Trainer.forward_domains`.
        trunk_rate: factor of the learning rate of a backbone's trunk. Papers that start from ImageNet's weights use
            0.1, described as "the new layers learn ten times as fast".

    Raises:
        UserError: a field is unknown or out of range, or `evaluations` does not divide `steps`.
    """

    steps: Count = 1000
    evaluations: Count = 10
    batch_size: Count | None = 64
    optimizer: Literal["sgd", "nesterov", "adam"] = "sgd"
    learning_rate: Positive = 0.01
    decay_rate: NonNegative = 10.0
    decay_power: NonNegative = 0.75
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 0.0
    precision: Precision = "float32"
    batch_norm: BatchNorm = "joint"
    trunk_rate: NonNegative = field(default=1.0, since="0.1")

    def __post_init__(self) -> None:
        if self.steps % self.evaluations:
            raise UserError(f"Training.evaluations = {self.evaluations} must divide steps = {self.steps}")

    def make_optimizer(
        self, frozen: bool = False, restart_at: Array | float | None = None
    ) -> optax.GradientTransformation:
        """Return the optax chain of these settings.

        Args:
            frozen: whether the trunk stays exactly unchanged.
            restart_at: share of the run in (0, 1) at which the schedule restarts, see `Method.restart_at`; None: never.
        """

        def rate(step: Array) -> Array:
            if restart_at is None:
                decay = self.decay_rate * step / self.steps
            else:
                decay = self.decay_rate * self._progress_of_phase(step, restart_at)
            return self.learning_rate / (1 + decay) ** self.decay_power

        if self.optimizer == "adam":
            direction = optax.scale_by_adam(b1=self.momentum)
        else:
            direction = optax.trace(self.momentum, nesterov=self.optimizer == "nesterov")
        trunk_rate = 0.0 if frozen else self.trunk_rate
        scale_trunk = optax.stateless(lambda updates, _: scale_trunk_updates(updates, trunk_rate))
        weight_decay = optax.add_decayed_weights(self.weight_decay)
        return optax.chain(weight_decay, direction, scale_trunk, optax.scale_by_learning_rate(rate))

    def _progress_of_phase(self, step: Array, restart_at: Array | float) -> Array:
        """Progress in [0, 1) of the phase before the restart, or of the phase after it."""
        first = step / self.steps < restart_at
        return (step / self.steps - jnp.where(first, 0.0, restart_at)) / jnp.where(first, restart_at, 1 - restart_at)


def scale_trunk_updates(updates: Tree, rate: Array | float) -> Tree:
    """Multiply the updates of the network's trunk, if it has one, by `rate`."""
    if not isinstance(updates, dict) or "trunk" not in updates.get("model", {}):
        return updates
    model = updates["model"]
    return {**updates, "model": {**model, "trunk": jax.tree.map(lambda update: rate * update, model["trunk"])}}
