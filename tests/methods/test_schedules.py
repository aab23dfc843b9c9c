"""Schedules against tabulated values, and that no field of a method changes what progress means."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.types import Batch
from da_bench.methods import METHODS, Penalty, Trainer, register
from da_bench.methods.schedules import SCHEDULES, cosine_rise, linear_rise, ramp, scheduled, slow_ramp, warm_start
from tests.helpers import tiny


def test_ramp_starts_at_zero_and_has_the_papers_values(x64):
    """tanh(5 p): 0, tanh(2.5) = 0.98661..., tanh(5) = 0.99990920..., from a table of the hyperbolic tangent."""
    values = [ramp(jnp.asarray(step), 10) for step in (0, 5, 10)]
    assert values == pytest.approx([0.0, 0.986614298151430, 0.999909204262595], abs=1e-12)


# TLlib's own formula, 2 (hi - lo) / (1 + exp(-alpha i / max_iters)) - (hi - lo) + lo, in decimal arithmetic
TLLIB = [(0, 0.0), (1000, 0.46211715726000975), (6000, 0.9950547536867305), (20000, 0.9999999958776927)]


@pytest.mark.parametrize(("step", "expected"), TLLIB)
@pytest.mark.parametrize("num_steps", [20_001, 100_000])
def test_a_warm_start_counts_steps_whatever_the_length_of_the_run(step, expected, num_steps, x64):
    """TLlib's alpha = 1 over 1000 steps, hi = 0.1 as for MDD; CDAN's authors' alpha = 10 over 10000 is the same."""
    assert scheduled(0.1, "warm_start", jnp.asarray(step), num_steps) == pytest.approx(0.1 * expected, abs=1e-15)
    assert 2 / (1 + np.exp(-10 * step / 10000)) - 1 == pytest.approx(expected, abs=1e-15)


def test_the_slow_ramp_ends_below_a_half(x64):
    """DeepDA's gamma = 1: tanh(0.25) in the middle of the run, tanh(0.5) at its end."""
    values = [slow_ramp(jnp.asarray(step), 4) for step in (0, 2, 4)]
    assert values == pytest.approx([0.0, 0.24491866240370913, 0.46211715726000975], abs=1e-15)


def test_a_constant_schedule_is_the_weight():
    assert scheduled(0.7, "constant", jnp.asarray(0), 10) == 0.7


@pytest.mark.parametrize("schedule", sorted(SCHEDULES.keys() - {"constant"}))
def test_schedules_rise_from_zero_to_at_most_the_weight(schedule):
    values = np.asarray(scheduled(0.5, schedule, jnp.arange(50), 50))
    assert values[0] == 0
    assert (np.diff(values) > 0).all()
    assert values[-1] < 0.5


def test_linear_and_cosine_rise_by_hand(x64):
    steps = jnp.arange(0, 9)
    np.testing.assert_allclose(linear_rise(steps, 8, 0.25, 0.75), [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1], atol=1e-12)
    assert linear_rise(jnp.asarray(4), 8, 0.5, 0.5) == 0 < linear_rise(jnp.asarray(5), 8, 0.5, 0.5)
    np.testing.assert_allclose(cosine_rise(steps[::2], 8), [0, 0.5, 1, 1, 1], atol=1e-12)


def test_a_field_called_schedule_does_not_change_progress(monkeypatch):
    """A user's own field may have any name and value; only `ctx.progress` and `ctx.step` say how far the run is."""
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))

    @register
    class ReportsProgress(Penalty):
        """The term is the progress."""

        schedule: Literal["mine", "warm_start"] = "mine"

        def loss(self, ctx):
            return ctx.progress

    trainer = Trainer(tiny.MODEL.clone(classes=3), tiny.TRAINING.make_optimizer(), 4000)
    batch = Batch(jnp.ones((6, 2)), jnp.arange(6) % 3, jnp.ones((6, 2)), jnp.arange(6))
    for schedule in ("mine", "warm_start"):
        method = ReportsProgress(schedule=schedule)
        state = train.init_state(jax.random.key(0), method, trainer, batch.source, 6)._replace(step=jnp.asarray(1000))
        assert tiny.step(method, trainer, state, batch)[1]["alignment"] == 0.25


def test_a_warm_start_depends_on_the_step_alone(x64):
    """Step 1000 of 4000 and of 40000: the same weight."""
    assert warm_start(jnp.asarray(1000), 4000) == warm_start(jnp.asarray(1000), 40_000)
