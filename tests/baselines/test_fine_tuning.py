"""Fine-tuning: frozen stages do not change, and the others train at their own learning rates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from da_bench.baselines import StagedFineTuning

import da_bench as da
from da_bench.core.types import Batch, TrainState
from da_bench.models import forward, initialise, last_stage, stage_numbers
from da_bench.training import RunSettings, make_trainer, scale_trunk_updates
from tests.helpers import published

MODEL = published.SmallNet(classes=3, bottleneck=4)
TRAINING = da.Training(steps=10, evaluations=1, batch_size=6, learning_rate=0.1, momentum=0.0, decay_rate=0.0)
INPUTS = jax.random.normal(jax.random.key(1), (6, 8, 8, 3))
BATCH = Batch(INPUTS, jnp.arange(6) % 3, INPUTS, jnp.arange(6))


def trainer_and_state(step, training=TRAINING, model=MODEL):
    params, stats = initialise(model, jax.random.key(0), INPUTS)
    trainer = make_trainer(RunSettings(jax.random.key(0), da.methods.SourceOnly(), training), model)
    all_params = {"model": params, "method": {}}
    opt_state = trainer.optimizer.init(all_params)
    return trainer, TrainState(jnp.asarray(step), all_params, stats, {}, {}, opt_state, jax.random.key(2))


def changed_parts(before, after):
    """Names of the top-level parts that differ."""
    differs = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
    return {name for name, part in differs.items() if any(jax.tree.leaves(part))}


def test_stages_are_numbered_from_the_inputs():
    params, stats = initialise(MODEL, jax.random.key(0), INPUTS)
    assert last_stage(MODEL) == 2
    numbers = stage_numbers(MODEL, params)
    assert (numbers["trunk"]["conv"]["kernel"], numbers["trunk"]["bn"]["scale"]) == (0, 1)
    assert set(jax.tree.leaves((numbers["neck"], numbers["head"]))) == {2}
    assert set(jax.tree.leaves(stage_numbers(MODEL, stats["batch_stats"]["trunk"]["bn"]))) == {
        2
    }  # without its path, it counts as part of the head


@pytest.mark.parametrize(("step", "trained"), [(0, set()), (1, set()), (2, {"bn"}), (5, {"bn"}), (6, {"bn", "conv"})])
def test_stages_are_unfrozen_from_the_top_down(step, trained):
    trainer, before = trainer_and_state(step)
    after, _ = StagedFineTuning(head_first=0.2).step(trainer, before, BATCH)
    assert changed_parts(before.params["model"]["trunk"], after.params["model"]["trunk"]) == trained
    assert changed_parts(before.params["model"], after.params["model"]) >= {"head", "neck"}
    updated_stats = changed_parts(before.stats["batch_stats"]["trunk"], after.stats["batch_stats"]["trunk"])
    assert updated_stats == trained & {"bn"}


def test_each_stage_has_the_learning_rate_of_the_one_above_times_decay():
    trainer, before = trainer_and_state(9)
    equal, _ = StagedFineTuning(head_first=0.0, decay=1.0).step(trainer, before, BATCH)
    decayed, _ = StagedFineTuning(head_first=0.0, decay=0.5).step(trainer, before, BATCH)
    for path, factor in ((("trunk", "conv"), 0.25), (("trunk", "bn"), 0.5), (("head",), 1.0)):
        initial, full, scaled = (jax.tree.leaves(subtree(state, path)) for state in (before, equal, decayed))
        for a, b, c in zip(initial, full, scaled, strict=True):
            np.testing.assert_allclose(c - a, factor * (b - a), atol=1e-6)


def subtree(state, path):
    tree = state.params["model"]
    for name in path:
        tree = tree[name]
    return tree


def test_the_trunk_has_its_own_learning_rate():
    updates = {"model": {"trunk": {"a": jnp.ones(2)}, "head": jnp.ones(2)}, "method": {"b": jnp.ones(1)}}
    scaled = scale_trunk_updates(updates, 0.1)
    np.testing.assert_allclose(scaled["model"]["trunk"]["a"], 0.1)
    assert scaled["model"]["head"].tolist() == [1.0, 1.0]
    assert scaled["method"]["b"].tolist() == [1.0]
    assert scale_trunk_updates({"head": 1.0}, 0.1) == {"head": 1.0}


def test_a_frozen_trunk_is_unchanged_and_in_evaluation_mode():
    model = MODEL.clone(frozen=True)
    trainer, before = trainer_and_state(0, da.Training(steps=10, evaluations=1, batch_size=6, weight_decay=0.1), model)
    after, _ = da.methods.SourceOnly().step(trainer, before, BATCH)
    assert changed_parts(before.params["model"], after.params["model"]) == {"neck", "head"}
    assert changed_parts(before.stats["batch_stats"], after.stats["batch_stats"]) == {"neck"}
    training, _ = forward(model, before.params["model"], before.stats, INPUTS, jax.random.key(0))
    trunk = {"params": before.params["model"]["trunk"], "batch_stats": before.stats["batch_stats"]["trunk"]}
    features = published.Trunk().apply(trunk, INPUTS, False)
    mapped = np.asarray(features @ before.params["model"]["neck"]["Dense_0"]["kernel"])
    expected = np.maximum((mapped - mapped.mean(0)) / np.sqrt(mapped.var(0) + 1e-5), 0)
    np.testing.assert_allclose(training.features, expected, atol=1e-4)


def test_a_network_without_a_trunk_has_two_stages():
    model = da.models.Lenet(classes=3)
    params, _ = initialise(model, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    numbers = stage_numbers(model, params)
    assert set(jax.tree.leaves(numbers["head"])) == {last_stage(model)} == {1}
    assert set(jax.tree.leaves(numbers["bottleneck"])) == {0}


def test_with_all_stages_trained_it_equals_source_only():
    trainer, before = trainer_and_state(9)
    staged, _ = StagedFineTuning(head_first=0.0).step(trainer, before, BATCH)
    source_only, _ = da.methods.SourceOnly().step(trainer, before, BATCH)
    for a, b in zip(jax.tree.leaves(staged.params), jax.tree.leaves(source_only.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    assert optax.tree.norm(jax.tree.map(jnp.subtract, staged.params, before.params)) > 0
