"""Runs that start from imported weights: resident, streamed and resumed alike."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import da_bench as da
from da_bench import pretrained as weights
from da_bench import training as train
from da_bench.core.config import UserError
from da_bench.core.types import Domain, Splits, Task
from da_bench.data.lazy_arrays import Rows
from da_bench.methods import SourceOnly
from da_bench.studies import data as study_data
from da_bench.studies import fit
from da_bench.studies.experiment_files import from_config
from da_bench.training import streaming as stream
from tests.helpers import published, tiny

pytestmark = pytest.mark.usefixtures("registered")

TASK = "office31/amazon-to-webcam@transductive"
TRAINING = train.Training(steps=2, evaluations=1, batch_size=4)


def small_images(name=TASK, root=None, view=None):
    def whole(seed):
        stored = np.random.default_rng(seed).integers(0, 256, (12, 12, 12, 3)).astype(np.uint8)
        every = Domain(Rows(stored, np.arange(12)), (np.arange(12) % 3).astype(np.int32))
        return Splits(every, every, every)

    return Task(name, ("a", "b", "c"), whole(0), whole(1), protocol="transductive")


@pytest.fixture
def name(tmp_path):
    path = tmp_path / "some.pth"
    path.write_bytes(published.torch_zip(published.arrays()))
    return weights.import_file(path, weights.ImportRequest("small_net", preprocessing="imagenet"))


def experiment(name, **settings):
    model = published.SmallNet(weights=name, bottleneck=4)
    return da.Experiment(task=TASK, method=SourceOnly(), model=model, training=TRAINING, **settings)


def begun(one):
    """The state before the first step."""
    task = small_images()
    group = tiny.prepared(one, task)
    data = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), group.starting_data())
    run, model = fit.run_of(one), group.model
    step = train.make_train_step(model, one.view)
    return jax.jit(lambda run, data: train.initial_carry(run, step, model, data, one.view))(run, data).state


def test_the_trunk_is_the_files_and_the_rest_the_seeds(name):
    first, second = begun(experiment(name)), begun(experiment(name, seed=1))
    own = published.arrays()
    for state in (first, second):
        trunk = state.params["model"]["trunk"]
        np.testing.assert_array_equal(trunk["conv"]["kernel"], own["conv.weight"].transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(state.stats["batch_stats"]["trunk"]["bn"]["var"], own["bn.running_var"])
    assert not np.array_equal(first.params["model"]["head"]["kernel"], second.params["model"]["head"]["kernel"])
    assert first.params["model"]["head"]["kernel"].shape == (4, 3)


def test_what_is_drawn_does_not_depend_on_what_is_given(name):
    """The head of a pretrained run is that of the run from scratch with the same seed."""
    scratch = da.Experiment(
        task=TASK,
        method=SourceOnly(),
        model=published.SmallNet(bottleneck=4),
        training=TRAINING,
        view=weights.view(name),
    )
    assert tiny.prepared(scratch, small_images()).starting_data().pretrained == {}
    plain, given = (begun(one).params["model"] for one in (scratch, experiment(name)))
    np.testing.assert_array_equal(plain["head"]["kernel"], given["head"]["kernel"])
    assert not np.array_equal(plain["trunk"]["conv"]["kernel"], given["trunk"]["conv"]["kernel"])


def test_the_default_view_is_the_weights_and_part_of_the_id(name):
    one = experiment(name)
    assert one.view == weights.view(name)
    assert one.id != experiment(name, view=da.View(pixels=8)).id  # resize "centre", of the weights, is another
    again = from_config(json.loads(json.dumps(one.config())))
    assert again.id == one.id
    assert again.model.weights == name


def test_a_record_is_read_where_its_weights_are_not(name, monkeypatch, tmp_path):
    config = experiment(name).config()
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(tmp_path / "elsewhere"))
    assert from_config(config).config() == config
    with pytest.raises(UserError, match="none are imported"):
        experiment(name)


@pytest.fixture
def options(monkeypatch, tmp_path):
    monkeypatch.setattr(study_data, "load", small_images)
    return da.Options(results=tmp_path / "results", progress="none")


def test_streamed_runs_start_from_the_same_and_no_program_holds_the_weights(name):
    one, task = experiment(name), small_images()
    group = tiny.prepared(one, task)
    data = group.starting_data()
    run = stream.as_arrays(fit.run_of(one))
    programs = stream.build(run, group.model, data, one.view)
    streamed = programs.start(run, data.pretrained).state
    for ours, theirs in zip(jax.tree.leaves(begun(one).params), jax.tree.leaves(streamed.params), strict=True):
        np.testing.assert_array_equal(ours, theirs[0])
    zeros = jax.tree.map(np.zeros_like, data.pretrained)
    assert not np.any(programs.start(run, zeros).state.params["model"]["trunk"]["conv"]["kernel"])


def test_a_run_is_recorded_with_its_weights(name, options):
    view = weights.view(name, augment="none")  # which compiles sooner
    (record,) = da.study([experiment(name, view=view)], options).records
    assert record.result["status"] == "ok"
    assert record.config["model"]["weights"] == name
    assert record.config["view"]["resize"] == "centre"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"view": da.View(pixels=8, channels="bgr")}, "View.channels = bgr, but the weights"),
        ({"model": published.OtherNet(weights="NAME"), "view": da.View(pixels=8)}, "'small_net'"),
        (
            {"model": published.SmallNet(weights="small_net-x-0123"), "view": da.View(pixels=8)},
            "no weights 'small_net-x",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(change, words, name, options, monkeypatch):
    monkeypatch.setattr(fit, "InMemory", None)
    if "model" in change and change["model"].weights == "NAME":
        change = {**change, "model": change["model"].clone(weights=name)}
    with pytest.raises(UserError, match=words):
        da.study([dataclasses.replace(experiment(name), **change)], options)
    assert not options.results.exists()
