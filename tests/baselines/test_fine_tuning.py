"""Fine-tuning: stages that are frozen do not move, the others by their own rates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from da_bench.baselines import StagedFineTuning

import da_bench as da
from da_bench.core.types import Batch, TrainState
from da_bench.models import forward, initialise, last_stage, stage_numbers
from da_bench.training.step import Run, _of_trunk, make_trainer
from tests.helpers import published

MODEL = published.SmallNet(classes=3, bottleneck=4)
TRAINING = da.Training(steps=10, evaluations=1, batch_size=6, learning_rate=0.1, momentum=0.0, decay_rate=0.0)
INPUTS = jax.random.normal(jax.random.key(1), (6, 8, 8, 3))
BATCH = Batch(INPUTS, jnp.arange(6) % 3, INPUTS, jnp.arange(6))


def state(step, training=TRAINING, model=MODEL):
    params, stats = initialise(model, jax.random.key(0), INPUTS)
    one = make_trainer(Run(jax.random.key(0), da.methods.SourceOnly(), training), model)
    every = {"model": params, "method": {}}
    return one, TrainState(jnp.asarray(step), every, stats, {}, {}, one.optimizer.init(every), jax.random.key(2))


def moved(before, after):
    apart = jax.tree.map(lambda a, b: bool((a != b).any()), before, after)
    return {name for name, part in apart.items() if any(jax.tree.leaves(part))}


def test_stages_are_numbered_from_the_inputs():
    params, stats = initialise(MODEL, jax.random.key(0), INPUTS)
    assert last_stage(MODEL) == 2
    found = stage_numbers(MODEL, params)
    assert (found["trunk"]["conv"]["kernel"], found["trunk"]["bn"]["scale"]) == (0, 1)
    assert set(jax.tree.leaves((found["neck"], found["head"]))) == {2}
    assert set(jax.tree.leaves(stage_numbers(MODEL, stats["batch_stats"]["trunk"]["bn"]))) == {2}  # without its place


@pytest.mark.parametrize(("step", "trained"), [(0, set()), (1, set()), (2, {"bn"}), (5, {"bn"}), (6, {"bn", "conv"})])
def test_stages_are_unfrozen_from_the_top_down(step, trained):
    one, before = state(step)
    after, _ = StagedFineTuning(head_first=0.2).step(one, before, BATCH)
    trunk, own = before.params["model"]["trunk"], after.params["model"]["trunk"]
    assert moved(trunk, own) == trained
    assert moved(before.params["model"], after.params["model"]) >= {"head", "neck"}
    ran = moved(before.stats["batch_stats"]["trunk"], after.stats["batch_stats"]["trunk"])
    assert ran == trained & {"bn"}


def test_each_stage_has_the_rate_of_the_one_above_times_decay():
    one, before = state(9)
    whole, _ = StagedFineTuning(head_first=0.0, decay=1.0).step(one, before, BATCH)
    slower, _ = StagedFineTuning(head_first=0.0, decay=0.5).step(one, before, BATCH)
    for path, factor in ((("trunk", "conv"), 0.25), (("trunk", "bn"), 0.5), (("head",), 1.0)):
        for first, full, less in zip(
            *map(jax.tree.leaves, (at(before, path), at(whole, path), at(slower, path))), strict=True
        ):
            np.testing.assert_allclose(less - first, factor * (full - first), atol=1e-6)


def at(state, path):
    tree = state.params["model"]
    for name in path:
        tree = tree[name]
    return tree


def test_the_trunk_learns_at_its_rate():
    updates = {"model": {"trunk": {"a": jnp.ones(2)}, "head": jnp.ones(2)}, "method": {"b": jnp.ones(1)}}
    found = _of_trunk(updates, 0.1)
    np.testing.assert_allclose(found["model"]["trunk"]["a"], 0.1)
    assert found["model"]["head"].tolist() == [1.0, 1.0]
    assert found["method"]["b"].tolist() == [1.0]
    assert _of_trunk({"head": 1.0}, 0.1) == {"head": 1.0}


def test_a_frozen_trunk_stays_to_the_bit_and_is_in_evaluation_mode():
    model = MODEL.clone(frozen=True)
    one, before = state(0, da.Training(steps=10, evaluations=1, batch_size=6, weight_decay=0.1), model)
    after, _ = da.methods.SourceOnly().step(one, before, BATCH)
    assert moved(before.params["model"], after.params["model"]) == {"neck", "head"}
    assert moved(before.stats["batch_stats"], after.stats["batch_stats"]) == {"neck"}
    training, _ = forward(model, before.params["model"], before.stats, INPUTS, jax.random.key(0))
    trunk = {"params": before.params["model"]["trunk"], "batch_stats": before.stats["batch_stats"]["trunk"]}
    features = published.Trunk().apply(trunk, INPUTS, False)
    mapped = np.asarray(features @ before.params["model"]["neck"]["Dense_0"]["kernel"])
    expected = np.maximum((mapped - mapped.mean(0)) / np.sqrt(mapped.var(0) + 1e-5), 0)
    np.testing.assert_allclose(training.features, expected, atol=1e-4)


def test_a_network_without_a_trunk_has_two_stages():
    model = da.models.Lenet(classes=3)
    params, _ = initialise(model, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    found = stage_numbers(model, params)
    assert set(jax.tree.leaves(found["head"])) == {last_stage(model)} == {1}
    assert set(jax.tree.leaves(found["bottleneck"])) == {0}


def test_with_all_open_it_is_source_only():
    one, before = state(9)
    ours, _ = StagedFineTuning(head_first=0.0).step(one, before, BATCH)
    theirs, _ = da.methods.SourceOnly().step(one, before, BATCH)
    for a, b in zip(jax.tree.leaves(ours.params), jax.tree.leaves(theirs.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    assert optax.tree.norm(jax.tree.map(jnp.subtract, ours.params, before.params)) > 0
