"""Suspicious predictions: the statistics by hand, and what honest runs may have in common."""

import numpy as np
import pytest
from scipy.stats import norm

from da_bench.leaderboard.submission.suspicion import copies, disagreement, equal_seeds, excess, perfect, too_good
from tests.helpers.synthetic_runs import predicted_run


def test_the_excess_is_a_standard_normal_where_rows_are_drawn_at_random(rng):
    """Over many random draws it has mean 0, deviation 1, and the tail of a normal distribution."""
    hardness = rng.beta(0.5, 0.5, 400)
    values = []
    for _ in range(2000):
        chosen = np.zeros(400, bool)
        chosen[rng.choice(400, 60, replace=False)] = True
        values.append(excess(hardness, chosen))
    assert abs(np.mean(values)) < 0.1
    assert abs(np.std(values) - 1) < 0.06
    assert abs(np.mean(np.array(values) > 1) - norm.sf(1)) < 0.03


def test_the_excess_by_hand():
    """Rows 2, 3 of (0, 0, 1, 1): mean 1 against 1/2, variance (1/3) / 2 * (1 - 2/4) = 1/12."""
    values = excess(np.array([0.0, 0.0, 1.0, 1.0]), np.array([False, False, True, True]))
    assert values == pytest.approx(0.5 * np.sqrt(12))


def test_disagreement_is_high_where_runs_differ():
    runs = [predicted_run("coral", seed) for seed in range(3)]
    votes = np.stack([run.last for run in runs])
    agreed = (votes == votes[0]).all(axis=0)
    np.testing.assert_allclose(disagreement(runs), np.where(agreed, 0, 1 / 3))


def test_collapsed_seeds_are_not_copies_of_each_other():
    runs = [predicted_run("coral", seed) for seed in range(2)]
    flat = {name: np.zeros_like(value) for name, value in runs[0].predictions.items()}
    assert list(equal_seeds([run._replace(predictions=flat) for run in runs], {})) == []
    mixed = runs[0].predictions
    assert len(list(equal_seeds([run._replace(predictions=mixed) for run in runs], {}))) == 1


def test_a_method_is_not_compared_with_itself():
    run = predicted_run("coral", 0)
    assert list(copies([run], [run])) == []


def test_no_errors_are_allowed_if_the_upper_bound_has_none():
    run, bound = predicted_run("coral", 0), predicted_run("source_only", 0, labels_from="target", skill=0.95)
    for perfect_run in (run, bound):
        perfect_run.record.result["rules"]["last"]["target_accuracy"] = 1.0
    assert list(perfect([run], [bound], "last")) == []
    assert [finding.level for finding in perfect([run], [], "last")] == ["flagged"]
    assert [finding.level for finding in too_good([run], [], "last")] == ["noted"]
    assert list(too_good([run], [bound], "last")) == []
