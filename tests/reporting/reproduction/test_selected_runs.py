"""Which run of a cell a selection rule picks."""

import pytest

from da_bench.core.config import UserError
from da_bench.reporting.reproduction.selected_runs import select_runs, selected_accuracies
from tests.helpers import fake

TASK = "moons/35"


def sweep(scores_by_weight, rule="im"):
    """One run for each weight, of target accuracy .5, .6, ..., and the given score at the checkpoint the rule chose."""
    records = []
    for i, (weight, score) in enumerate(scores_by_weight.items()):
        (record,) = fake.runs([0.5 + 0.1 * i], task=TASK, weight=weight)
        record.curves["validators"][rule][record.result["rules"][rule]["evaluation"]] = score
        records.append(record)
    return records


def test_settings_are_selected_by_score_and_not_by_target_accuracy():
    runs = sweep({0.1: 0.3, 1.0: 0.9, 6.0: None})
    assert selected_accuracies(runs, "im") == {0: pytest.approx(0.6)}
    assert selected_accuracies(runs, "oracle") == {0: pytest.approx(0.7)}
    assert select_runs(runs, "im")[0].config["method"]["weight"] == 1.0


def test_the_rule_last_cannot_select_a_setting():
    with pytest.raises(UserError, match=r"2 settings of 'dann' on 'moons/35'.*'last'"):
        select_runs(sweep({0.1: 0.3, 1.0: 0.9}), "last")


def test_runs_without_a_result_are_left_out():
    runs = [*fake.runs([0.5], task=TASK), fake.record(TASK, seed=1, status="failed", reason="killed")]
    assert selected_accuracies(runs, "last") == {0: 0.5}
