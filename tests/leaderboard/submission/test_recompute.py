"""Numbers recomputed from predictions: by hand, as scored, and how false records are found."""

import copy
import dataclasses

import numpy as np
import pytest

from da_bench.core.types import Domain, Splits, Task
from da_bench.data.tasks import load
from da_bench.leaderboard.submission.reader import PredictedRun
from da_bench.leaderboard.submission.recompute import recompute
from da_bench.studies.records import Record
from tests.helpers.synthetic_runs import TASK, predicted_run


@pytest.fixture(scope="module")
def run():
    return predicted_run("coral", 0)


def test_a_scored_record_follows_from_its_predictions(run):
    again, findings = recompute(run, load(TASK))
    assert findings == []
    assert again == run.record


def by_hand():
    """Four rows, three classes: accuracies that can be computed by hand."""
    rows = lambda labels: Domain(np.zeros((len(labels), 2), np.float32), np.array(labels, np.int32))  # noqa: E731
    splits = Splits(*[rows([0, 1, 2, 2])] * 3)
    task = Task("moons/35", ("a", "b", "c"), splits, splits)
    target = np.array([[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 2, 2]], np.uint16)  # 1/4, 3/4, 3/4
    source = np.array([[0, 1, 2, 2], [1, 1, 2, 2], [1, 1, 1, 1]], np.uint16)
    empty = {
        "source_accuracy": [0.0] * 3,
        "target_accuracy": [0.0] * 3,
        "source_macro": [0.0] * 3,
        "target_macro": [0.0] * 3,
    }
    curves = {"step": [10, 20, 30], **empty, "validators": {"im": [0.1, 0.9, None]}, "metrics": {}}
    result = {"status": "ok", "classes": ["a", "b", "c"], "protocol": "inductive", "rules": {}}
    record = Record("id", {"task": "moons/35"}, result, curves, {"data": task.fingerprint})
    return PredictedRun(record, {"source_test": source, "target_test": target}), task


def test_accuracies_by_hand():
    again, _ = recompute(*by_hand())
    assert again.curves["target_accuracy"] == [0.25, 0.75, 0.75]
    np.testing.assert_allclose(again.curves["target_macro"], [1 / 3, (1 + 1 + 0.5) / 3, (1 + 0 + 1) / 3])
    assert again.curves["source_accuracy"] == [1.0, 0.75, 0.25]
    rules = again.result["rules"]
    assert (rules["last"]["evaluation"], rules["oracle"]["evaluation"], rules["im"]["evaluation"]) == (2, 2, 1)
    assert rules["im"]["target_per_class"] == [1.0, 1.0, 0.5]
    assert rules["im"]["step"] == 20


def test_a_diverged_evaluation_still_counts_as_guessing():
    run, task = by_hand()
    run.record.result["status"] = "diverged"
    guess = 1 / 3
    for name in ("source_accuracy", "target_accuracy", "source_macro", "target_macro"):
        run.record.curves[name][2] = guess
    again, _ = recompute(run, task)
    np.testing.assert_allclose(again.curves["target_accuracy"], [0.25, 0.75, guess])


def changed(run, **parts):
    record = copy.deepcopy(run.record)
    return run._replace(
        record=dataclasses.replace(record, **{name: change(getattr(record, name)) for name, change in parts.items()})
    )


def set_at(*path, value):
    def change(tree):
        inner = tree
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        return tree

    return change


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"result": set_at("rules", "last", "target_accuracy", value=0.99)}, "rules.last.target_accuracy"),
        ({"result": set_at("rules", "last", "evaluation", value=1)}, "rules.last.evaluation"),
        ({"result": set_at("rules", "im", "target_per_class", value=[1.0, 1.0])}, "rules.im.target_per_class"),
        ({"result": set_at("rules", "made_up", value={})}, "rules.made_up"),
        ({"curves": set_at("target_macro", 0, value=0.5)}, "curves.target_macro"),
        ({"curves": set_at("step", value=[1, 2])}, "curve 'step'"),
        ({"curves": set_at("validators", "im", value=[9.0, 0.0])}, "curve 'im'"),
        ({"curves": set_at("validators", "made_up", value=[1.0, 2.0, 3.0])}, "validator 'made_up'"),
        ({"environment": set_at("data", value="0" * 64)}, "other data"),
        ({"result": set_at("classes", value=["upper", "lower"])}, "classes"),
        ({"result": set_at("protocol", value="transductive")}, "protocol"),
    ],
)
def test_every_false_number_is_found(run, parts, text):
    _, findings = recompute(changed(run, **parts), load(TASK))
    assert [finding.level for finding in findings] == ["refused"]
    assert text in findings[0].what


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda array: array[:, :-1], "predictions for"),
        (lambda array: array + np.uint16(1), "class 2, but classes are 0 to 1"),
    ],
)
def test_predictions_of_other_rows_or_classes_are_found(run, change, text):
    predictions = {**run.predictions, "target_test": change(run.predictions["target_test"])}
    _, findings = recompute(run._replace(predictions=predictions), load(TASK))
    assert text in findings[0].what
