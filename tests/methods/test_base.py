"""The interface of a method: its state in three parts, and what `register` declares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.types import Batch
from da_bench.methods import METHODS, Dann, LogUniform, MethodState, NonNegative, Penalty, Trainer, register
from tests.helpers import tiny


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))


def test_parameters_constants_and_memory_of_one_name_do_not_mix(registry, rng):
    """Parameters that share a key with a constant still reach the loss, and learn."""

    @register
    class SameNames(Penalty):
        """Three arrays called "w"."""

        def init(self, key, spec):
            return MethodState(params={"w": jnp.ones(2)}, constants={"w": jnp.full(2, 3.0)}, memory={"w": jnp.zeros(2)})

        def loss(self, ctx):
            return jnp.sum(ctx.params["w"] * ctx.constants["w"])

    trainer = Trainer(
        tiny.MODEL.clone(classes=3), train.Training(learning_rate=0.1, decay_rate=0.0).make_optimizer(), 10
    )
    batch = Batch(*map(jnp.asarray, (rng.normal(size=(6, 2)), np.arange(6) % 3, rng.normal(size=(6, 2)), np.arange(6))))
    state = train.init_state(jax.random.key(0), SameNames(), trainer, batch.source, 6)
    after, metrics = tiny.step(SameNames(), trainer, state, batch)
    assert metrics["alignment"] == 6.0
    np.testing.assert_allclose(after.params["method"]["w"], 1 - 0.1 * 3, rtol=1e-6)
    np.testing.assert_array_equal(after.constants["w"], 3.0)
    np.testing.assert_array_equal(after.memory["w"], 0.0)


def test_register_takes_arguments_or_none(registry):
    @register
    class Plain(Penalty):
        """Nothing declared."""

        weight: NonNegative = 1.0

        def loss(self, ctx):
            return jnp.zeros(())

    @register(search={"weight": LogUniform(0.01, 10)}, adapts=False, paper="unpublished")
    class Declared(Penalty):
        """Everything declared."""

        weight: NonNegative = 1.0

        def loss(self, ctx):
            return jnp.zeros(())

    assert METHODS["plain"] is Plain
    assert Plain.metadata.adapts
    assert Declared.metadata.search == {"weight": LogUniform(0.01, 10)}
    assert (Declared.metadata.adapts, Declared.metadata.paper) == (False, "unpublished")


def test_what_register_declares_is_not_inherited(registry):
    @register
    class MyDann(Dann):
        """DANN under another name."""

    assert Dann.metadata.expected_failures
    assert not MyDann.metadata.expected_failures
    assert MyDann.metadata.search != Dann.metadata.search
