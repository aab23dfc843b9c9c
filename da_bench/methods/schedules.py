"""Schedules of loss weights: functions of the step (counted from 0) and the number of steps of the run."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from da_bench.core.types import Array

Schedule = Literal["ramp", "constant", "slow_ramp", "warm_start"]
WARM_START_STEPS = 1000


def sigmoid_ramp(x: Array) -> Array:
    """2 / (1 + exp(-x)) - 1: from 0 at x = 0 to 1."""
    return 2.0 / (1.0 + jnp.exp(-x)) - 1.0


def ramp(step: Array, num_steps: int) -> Array:
    """DANN's schedule, 2 / (1 + exp(-10 p)) - 1 with the progress p = step / num_steps.

    References:
        Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016. arXiv:1505.07818, Section 5.2.2.
    """
    return sigmoid_ramp(10.0 * (step / num_steps))


def slow_ramp(step: Array, num_steps: int) -> Array:
    """2 / (1 + exp(-p)) - 1, which ends at 0.46: DeepDA's schedule with gamma = 1."""
    return sigmoid_ramp(step / num_steps)


def warm_start(step: Array, num_steps: int) -> Array:
    """2 / (1 + exp(-step / 1000)) - 1, whatever the length of the run: 0.46 at step 1000, 0.995 at step 6000.

    This is TLlib's WarmStartGradientReverseLayer with alpha = 1 and max_iters = 1000. It equals the schedule of CDAN's
    authors, alpha = 10 over 10000 steps.
    """
    return sigmoid_ramp(step / WARM_START_STEPS)


def constant(step: Array, num_steps: int) -> float:
    """1 throughout, as in pytorch-adapt and WILDS."""
    return 1.0


def linear_rise(step: Array, num_steps: int, begin: Array | float, end: Array | float) -> Array:
    """From 0 to 1 between the shares `begin` and `end` of the run, both in [0, 1]."""
    return jnp.clip((step / num_steps - begin) / jnp.maximum(end - begin, 1e-6), 0.0, 1.0)


def cosine_rise(step: Array, num_steps: int) -> Array:
    """1/2 - cos(min(pi, 2 pi p)) / 2 with p = step / num_steps: from 0 at the start to 1 in the middle of the run."""
    return 0.5 - jnp.cos(jnp.minimum(jnp.pi, 2 * jnp.pi * (step / num_steps))) / 2


SCHEDULES: dict[Schedule, Callable[[Array, int], Array | float]] = {
    "ramp": ramp,
    "constant": constant,
    "slow_ramp": slow_ramp,
    "warm_start": warm_start,
}


def scheduled(weight: Array | float, schedule: Schedule, step: Array, num_steps: int) -> Array | float:
    """`weight` times the value of the named schedule at this step."""
    return weight * SCHEDULES[schedule](step, num_steps)
