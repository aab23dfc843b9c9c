"""Experiments: ids, configs and files of experiments."""

import dataclasses
import json

import pytest

import da_bench as da
from da_bench.core.config import UserError
from da_bench.data.transforms import View
from da_bench.methods import METHODS, Method, load_plugins
from da_bench.models import MODELS, Mlp
from da_bench.studies.experiment import Experiment
from da_bench.studies.experiment_files import from_config, from_file
from da_bench.training import Training

load_plugins()


def toy(**changes):
    defaults = {"task": "moons/35", "method": da.methods.Dann(weight=0.5, widths=(3,)), "training": Training(steps=20)}
    return Experiment(**defaults | changes)


def test_the_id_never_changes():
    """Computed once from the config's canonical JSON; it may change only with SCHEMA, or with a default."""
    assert toy().id == "a3b01be3f23ae135"


@pytest.mark.parametrize(
    "other",
    [
        {"task": "digits/synthetic-to-real"},
        {"method": da.methods.Dann(weight=0.6, widths=(3,))},
        {"method": da.methods.Dann(weight=0.5, widths=(4,))},
        {"method": da.methods.Coral(weight=0.5)},
        {"model": Mlp(hidden=(16,))},
        {"training": Training(steps=40)},
        {"training": Training(steps=20, learning_rate=0.02)},
        {"labels_from": "target"},
        {"seed": 1},
    ],
    ids=str,
)
def test_different_experiments_have_different_ids(other):
    assert toy(**other).id != toy().id


def images(**changes):
    return toy(task="office31/amazon-to-webcam", **changes)


def test_tasks_of_images_have_a_view():
    assert images().view == View()
    assert images(view=View()).id == images().id
    assert images(view=View(pixels=64)).id != images().id
    restored = from_config(json.loads(json.dumps(images(view=View(pixels=64)).config())))
    assert restored.view == View(pixels=64)
    assert restored.id == images(view=View(pixels=64)).id
    assert toy().view is None


def test_a_view_is_refused_where_the_inputs_are_not_images():
    with pytest.raises(UserError, match="moons/35"):
        toy(view=View())


def test_explicit_defaults_give_the_same_id():
    assert toy(model=Mlp(), labels_from="source", seed=0).id == toy().id
    assert toy(method=da.methods.Dann(weight=0.5, widths=[3], schedule="ramp")).id == toy().id


def test_a_list_in_a_network_becomes_a_tuple():
    assert toy(model=Mlp(hidden=[3])).network == toy(model=Mlp(hidden=(3,))).network
    assert hash(toy(model=Mlp(hidden=[3])).network)


@pytest.mark.parametrize("name", METHODS)
def test_an_experiment_survives_a_round_trip_through_its_config(name):
    deep = issubclass(METHODS[name], Method)
    experiment = Experiment(task="moons/35", method=METHODS[name](), model=Mlp(hidden=(4, 5)) if deep else None, seed=3)
    restored = from_config(json.loads(json.dumps(experiment.config())))
    assert restored.config() == experiment.config()
    assert restored.id == experiment.id


@pytest.mark.parametrize("name", MODELS)
def test_every_network_survives_a_round_trip_through_a_config(name):
    experiment = toy(model=MODELS[name]())
    assert from_config(json.loads(json.dumps(experiment.config()))).network == MODELS[name]()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "moons/36"}, "unknown task 'moons/36'; did you mean 'moons/35'"),
        ({"schema": 99}, "schema 99"),
        ({"sede": 1}, "unknown field 'sede'; did you mean 'seed'"),
        ({"method": {"name": "dannn"}}, "unknown method 'dannn'; did you mean 'dann'"),
        ({"method": {"name": "dann", "wieght": 1}}, "has no field 'wieght'"),
        ({"model": {"name": "mpl"}}, "unknown model 'mpl'; did you mean 'mlp'"),
        ({"model": {"name": "mlp", "hiden": [3]}}, "model 'mlp' has no field 'hiden'; did you mean 'hidden'"),
        ({"training": {"stesp": 3}}, "Training has no field 'stesp'; did you mean 'steps'"),
        ({"view": {"pixel": 3}}, "View has no field 'pixel'; did you mean 'pixels'"),
        ({"seed": -1}, "Experiment.seed = -1"),
        ({"method": 3}, "'method' must be an object"),
        ({"method": {"weight": 1.0}}, "'method' needs a 'name'"),
        ({"method": {"name": ["dann"]}}, "'method' needs a 'name'"),
        ({"model": "mlp"}, "'model' must be an object"),
        ({"training": [1]}, "'training' must be an object"),
        ({"training": None}, "only one of 'model' and 'training'"),
        ({"view": 5}, "'view' must be an object"),
    ],
    ids=str,
)
def test_an_error_in_a_config_names_the_field(change, message):
    with pytest.raises(UserError) as error:
        from_config(toy().config() | change)
    assert message in str(error.value)


@pytest.mark.parametrize("missing", ["task", "method", "model", "training", "labels_from", "seed"])
def test_an_incomplete_config_names_the_missing_field(missing):
    config = {name: value for name, value in toy().config().items() if name != missing}
    with pytest.raises(UserError, match=f"no field '{missing}'"):
        from_config(config)


def test_all_methods_run_with_the_same_seeds():
    runs = da.over_seeds([toy(), toy(method=da.methods.Coral())], 3)
    assert [run.seed for run in runs] == [0, 1, 2, 0, 1, 2]


def test_a_field_of_a_wrong_type_is_refused():
    with pytest.raises(UserError, match=r"Experiment\.method"):
        toy(method="dann")
    with pytest.raises(UserError, match=r"Experiment\.model"):
        toy(model="mlp")


def test_experiments_are_equal_by_value_and_frozen():
    assert toy() == toy()
    with pytest.raises(dataclasses.FrozenInstanceError):
        toy().seed = 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.py", "", "must define EXPERIMENTS"),
        ("text.py", "EXPERIMENTS = 'dann'", "must define EXPERIMENTS"),
        ("numbers.py", "EXPERIMENTS = [1]", "must define EXPERIMENTS"),
        ("typo.py", "EXPERIMENTS = [", "cannot be loaded: SyntaxError"),
        ("lost.py", "import nothing_of_the_sort", "cannot be loaded: ModuleNotFoundError"),
        ("failing.py", "raise RuntimeError('no')", "line 1, cannot be loaded: RuntimeError: no"),
        ("broken.json", "{", "is not JSON"),
        ("list.json", "[]", "is not the config of a run"),
    ],
)
def test_a_file_without_experiments_is_named_in_the_error(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name}.*{message}"):
        from_file(tmp_path / name)


def test_a_missing_file_is_named_in_the_error(tmp_path):
    with pytest.raises(UserError, match=r"gone\.py"):
        from_file(tmp_path / "gone.py")
