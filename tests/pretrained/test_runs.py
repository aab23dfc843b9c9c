"""Runs that start from imported weights, with data in memory and streamed."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import da_bench as da
from da_bench import pretrained
from da_bench import training as train
from da_bench.core.config import UserError
from da_bench.core.types import Domain, Splits, Task
from da_bench.data.lazy_arrays import Rows
from da_bench.methods import SourceOnly
from da_bench.studies import data as study_data
from da_bench.studies import fit
from da_bench.studies.experiment_files import from_config
from da_bench.training import streaming
from tests.helpers import published, tiny

pytestmark = pytest.mark.usefixtures("registered")

TASK = "office31/amazon-to-webcam@transductive"
TRAINING = train.Training(steps=2, evaluations=1, batch_size=4)


def small_images(name=TASK, root=None, view=None):
    def splits(seed):
        stored = np.random.default_rng(seed).integers(0, 256, (12, 12, 12, 3)).astype(np.uint8)
        domain = Domain(Rows(stored, np.arange(12)), (np.arange(12) % 3).astype(np.int32))
        return Splits(domain, domain, domain)

    return Task(name, ("a", "b", "c"), splits(0), splits(1), protocol="transductive")


@pytest.fixture
def name(tmp_path):
    path = tmp_path / "some.pth"
    path.write_bytes(published.torch_zip(published.arrays()))
    return pretrained.import_file(path, pretrained.ImportRequest("small_net", preprocessing="imagenet"))


def make_experiment(name, **settings):
    model = published.SmallNet(weights=name, bottleneck=4)
    return da.Experiment(task=TASK, method=SourceOnly(), model=model, training=TRAINING, **settings)


def initial_state(experiment):
    """The state before the first step."""
    task = small_images()
    group = tiny.prepared(experiment, task)
    data = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), group.starting_data())
    run, model = fit.run_of(experiment), group.model
    step = train.make_train_step(model, experiment.view)
    return jax.jit(lambda run, data: train.initial_carry(run, step, model, data, experiment.view))(run, data).state


def test_the_trunk_comes_from_the_file_and_the_rest_from_the_seed(name):
    first, second = initial_state(make_experiment(name)), initial_state(make_experiment(name, seed=1))
    arrays = published.arrays()
    for state in (first, second):
        trunk = state.params["model"]["trunk"]
        np.testing.assert_array_equal(trunk["conv"]["kernel"], arrays["conv.weight"].transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(state.stats["batch_stats"]["trunk"]["bn"]["var"], arrays["bn.running_var"])
    assert not np.array_equal(first.params["model"]["head"]["kernel"], second.params["model"]["head"]["kernel"])
    assert first.params["model"]["head"]["kernel"].shape == (4, 3)


def test_the_head_is_drawn_as_without_weights(name):
    """The head of a pretrained run is that of the run from scratch with the same seed."""
    scratch = da.Experiment(
        task=TASK,
        method=SourceOnly(),
        model=published.SmallNet(bottleneck=4),
        training=TRAINING,
        view=pretrained.view(name),
    )
    assert tiny.prepared(scratch, small_images()).starting_data().pretrained == {}
    from_scratch, from_weights = (
        initial_state(experiment).params["model"] for experiment in (scratch, make_experiment(name))
    )
    np.testing.assert_array_equal(from_scratch["head"]["kernel"], from_weights["head"]["kernel"])
    assert not np.array_equal(from_scratch["trunk"]["conv"]["kernel"], from_weights["trunk"]["conv"]["kernel"])


def test_the_default_view_is_that_of_the_weights_and_part_of_the_id(name):
    experiment = make_experiment(name)
    assert experiment.view == pretrained.view(name)
    assert experiment.id != make_experiment(name, view=da.View(pixels=8)).id  # the weights' view has resize "centre"
    again = from_config(json.loads(json.dumps(experiment.config())))
    assert again.id == experiment.id
    assert again.model.weights == name


def test_a_record_can_be_read_without_its_weights(name, monkeypatch, tmp_path):
    config = make_experiment(name).config()
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(tmp_path / "elsewhere"))
    assert from_config(config).config() == config
    with pytest.raises(UserError, match="none are imported"):
        make_experiment(name)


@pytest.fixture
def options(monkeypatch, tmp_path):
    monkeypatch.setattr(study_data, "load", small_images)
    return da.Options(results=tmp_path / "results", progress="none")


@pytest.mark.conformance
def test_streamed_runs_start_equally_and_programs_do_not_contain_the_weights(name):
    experiment, task = make_experiment(name), small_images()
    group = tiny.prepared(experiment, task)
    data = group.starting_data()
    run = streaming.as_arrays(fit.run_of(experiment))
    programs = streaming.build(run, group.model, data, experiment.view)
    streamed = programs.start(run, data.pretrained).state
    for in_memory, from_stream in zip(
        jax.tree.leaves(initial_state(experiment).params), jax.tree.leaves(streamed.params), strict=True
    ):
        np.testing.assert_array_equal(in_memory, from_stream[0])
    zeros = jax.tree.map(np.zeros_like, data.pretrained)
    assert not np.any(programs.start(run, zeros).state.params["model"]["trunk"]["conv"]["kernel"])


def test_a_run_is_recorded_with_its_weights(name, options):
    view = pretrained.view(name, augment="none")  # compiles faster
    (record,) = da.study([make_experiment(name, view=view)], options).records
    assert record.result["status"] == "ok"
    assert record.config["model"]["weights"] == name
    assert record.config["view"]["resize"] == "centre"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"view": da.View(pixels=8, channels="bgr")}, "View.channels = bgr, but the weights"),
        ({"model": published.OtherNet(weights="NAME"), "view": da.View(pixels=8)}, "'small_net'"),
        (
            {"model": published.SmallNet(weights="small_net-x-0123"), "view": da.View(pixels=8)},
            "no weights 'small_net-x",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_training(change, text, name, options, monkeypatch):
    monkeypatch.setattr(fit, "InMemory", None)
    if "model" in change and change["model"].weights == "NAME":
        change = {**change, "model": change["model"].clone(weights=name)}
    with pytest.raises(UserError, match=text):
        da.study([dataclasses.replace(make_experiment(name), **change)], options)
    assert not options.results.exists()
