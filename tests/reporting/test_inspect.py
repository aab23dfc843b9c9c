"""Figures of recorded runs: stored predictions against labels, and repeated runs for features and boundaries."""

import dataclasses
import shutil

import numpy as np
import pytest

import da_bench as da
from da_bench.classical import LogisticRegression
from da_bench.core.config import UserError
from da_bench.evaluation.transferability import proxy_a_distance
from da_bench.reporting import inspect
from da_bench.reporting.plots.distances import initials
from da_bench.studies import data as study_data
from da_bench.studies.records import Records
from tests.helpers import tiny


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """A folder with one run of DANN and one of a classical method, on data of sixty rows."""
    folder = tmp_path_factory.mktemp("results")
    dann = da.Experiment(task="moons/35", method=da.methods.Dann(widths=(4,)), model=tiny.MODEL, training=tiny.TRAINING)
    classical = da.Experiment(task="moons/35", method=LogisticRegression())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
        da.study([dann, classical], da.Options(results=folder, progress="none"))
    return folder


@pytest.fixture
def results(two_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
    return shutil.copytree(two_runs, tmp_path / "results")


def record_of(results, method):
    return next(record for record in Records(results).all() if record.config["method"]["name"] == method)


def percentages(figure):
    return np.array([text.get_text() for text in figure.axes[0].texts], float).reshape(3, 3)


@pytest.mark.parametrize("rule", ["last", "oracle"])
def test_confusion_has_the_accuracies_of_the_record(results, rule):
    record = record_of(results, "dann")
    matrix = percentages(inspect.confusion(results, record.id[:8], rule=rule))
    assert matrix.sum(axis=1) == pytest.approx([100] * 3, abs=2)
    assert matrix.diagonal() == pytest.approx(
        100 * np.array(record.result["rules"][rule]["target_per_class"]), abs=0.51
    )


def test_features_equal_those_of_the_run_and_of_source_only(results, monkeypatch):
    drawn = {}
    monkeypatch.setattr(inspect, "require_package", lambda embedding: None)
    monkeypatch.setattr(inspect, "plot_features", lambda *arguments: drawn.update(zip("rces", arguments, strict=True)))
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    inspect.features(results, record_of(results, "dann").id)
    assert drawn["s"]  # a repeated run ends in the same bits as its record
    first, last = drawn["c"].values()
    assert list(drawn["c"]) == ["before: source only", "after: dann"]
    assert first.source.shape == last.source.shape == (18, 6)
    assert not np.array_equal(first.target, last.target)
    assert np.array_equal(last.target_labels, tiny.task().target.test.labels)
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_boundaries_equal_those_of_the_run(results, monkeypatch):
    drawn = {}
    monkeypatch.setattr(inspect, "GRID_SIDE", 40)
    monkeypatch.setattr(inspect, "plot_boundaries", lambda *arguments: drawn.update(zip("rps", arguments, strict=True)))
    record = record_of(results, "dann")
    inspect.boundaries(results, record.id)
    assert drawn["s"]  # the grid in place of the test split does not change training
    plane = drawn["p"]["after: dann"]
    assert plane.classes.shape == (40, 40)
    x, y = tiny.task().target.test.inputs.T
    nearest = plane.classes[np.abs(plane.y[:, None] - y).argmin(axis=0), np.abs(plane.x[:, None] - x).argmin(axis=0)]
    assert np.mean(nearest == Records(results).predictions(record.id)["target_test"][-1]) > 0.9


@pytest.mark.parametrize(
    ("plot", "run_id", "message"),
    [
        (inspect.confusion, "zzz", "0 runs .*'zzz'"),
        (inspect.confusion, "../..", "0 runs"),
        (inspect.confusion, "", "0 runs"),
        (inspect.features, "classical", "logistic_regression"),
        (inspect.boundaries, "classical", "logistic_regression"),
    ],
)
def test_an_invalid_run_is_named_in_the_error(results, plot, run_id, message, monkeypatch):
    monkeypatch.setattr(inspect, "require_package", lambda embedding: None)
    if run_id == "classical":
        run_id = record_of(results, "logistic_regression").id
    with pytest.raises(UserError, match=message):
        plot(results, run_id)


def test_rules_and_data_must_match_the_record(results, monkeypatch):
    record = record_of(results, "dann")
    with pytest.raises(UserError, match="'dev'"):
        inspect.confusion(results, record.id, rule="dev")
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name, shift=0.9))
    with pytest.raises(UserError, match="moons/35"):
        inspect.confusion(results, record.id)


def test_a_run_without_a_result_has_nothing_to_draw(results):
    record = record_of(results, "dann")
    Records(results).forget(record.id)
    failed = type(record)(record.id, record.config, {"status": "failed", "rules": {}}, {}, record.environment)
    Records(results).publish(failed, {})
    with pytest.raises(UserError, match="failed"):
        inspect.confusion(results, record.id)


def test_distances_equal_those_of_the_records_and_of_the_inputs(results):
    first = record_of(results, "dann")
    config, result = first.config, first.result
    second = dataclasses.replace(first, config={**config, "seed": 1}, result={**result, "proxy_a_distance": 0.5})
    named = {**config, "method": {"name": "source_only"}}
    plain = dataclasses.replace(first, config=named, result={**result, "proxy_a_distance": 1.5})
    figure = inspect.distances([first, second, plain], "dann")
    inputs, features = figure.axes
    assert features.get_xlabel() == "features of source_only"
    after = (result["proxy_a_distance"] + 0.5) / 2
    assert [line.get_xydata().tolist() for line in features.lines[1:]] == [[[1.5, after]]]
    task = tiny.task("moons/35")
    expected = proxy_a_distance(*(domain.test.inputs for domain in (task.source, task.target)))
    assert [line.get_xydata().tolist() for line in inputs.lines[1:]] == [[[expected, after]]]
    assert [text.get_text() for text in inputs.texts] == [initials("moons/35")]


def test_distances_need_a_pair_with_both_methods(results):
    with pytest.raises(UserError, match="dann and source_only"):
        inspect.distances([record_of(results, "dann")], "dann")


def test_initials():
    assert initials("amazon_reviews/books-to-dvd") == "B→D"
