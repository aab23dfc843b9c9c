"""Quality of validators, on records whose answer is known."""

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.reporting.tables.transferability import transferability_tables
from da_bench.reporting.tables.validators import build_pool, evaluate_rule, validator_tables
from tests.helpers import fake


def run(accuracy, seed=0, task="moons/35", method="dann", validators=None, **fields):
    """A run with these target accuracies and scores of validators."""
    record = fake.record(task, method, seed, accuracy[-1], **fields)
    record.curves["target_accuracy"] = accuracy
    record.curves["validators"] = validators or {}
    return record


def cell(table, rule, key):
    row = next(row for row in table.rows if row[0].text.rstrip("*") == rule)
    return row[[column.key for column in table.columns].index(key)]


def test_regret_of_every_kind_of_rule():
    scores = {"im": [1.0, 3.0, 2.0], "snd": [3.0, 3.0, None], "dev": [None, None, None]}
    pool = build_pool([run([0.9, 0.5, 0.7], validators=scores)])
    regrets = {rule: evaluate_rule(pool, rule).regret for rule in ("last", "im", "snd", "oracle")}
    assert regrets == pytest.approx({"last": 0.2, "im": 0.4, "snd": 0.4, "oracle": 0.0})
    assert evaluate_rule(pool, "dev") is None
    assert evaluate_rule(pool, "bnm") is None


def test_checkpoints_without_reverse_validation_do_not_count_as_low_scores():
    """Over settings only scored checkpoints correlate. A single run has no correlation, but a regret."""
    scores = [[None, 0.7, None], [0.9, None, None]]
    accuracy = [[0.1, 0.6, 0.8], [0.5, 0.2, 0.3]]
    runs = [
        run(a, validators={"reverse_validation": s}, weight=w)
        for w, a, s in zip((0.1, 1.0), accuracy, scores, strict=True)
    ]
    result = evaluate_rule(build_pool(runs), "reverse_validation")
    assert result == pytest.approx((-1.0, -1.0, 0.3))
    alone = evaluate_rule(build_pool(runs[:1]), "reverse_validation")
    assert np.isnan(alone.spearman)
    assert alone.regret == pytest.approx(0.2)
    assert [cell(table, "reverse validation", "regret").text for table in validator_tables(runs)] == ["10.0", "30.0"]


def test_pools_of_checkpoints_and_of_settings_by_seed():
    def of(weight, seed, accuracy, score):
        return run(accuracy, seed, weight=weight, validators={"im": score})

    records = [
        of(0.1, 0, [0.6, 0.5], [1.0, 2.0]),  # regret .1
        of(1.0, 0, [0.8, 0.9], [3.0, 4.0]),  # 0
        of(0.1, 1, [0.7, 0.7], [9.0, 9.0]),  # 0
        of(1.0, 1, [0.9, 0.5], [1.0, 2.0]),  # .4
    ]
    checkpoints, settings = validator_tables(records)
    title = "IM + source-val floor"
    assert cell(checkpoints, title, "regret").raw == pytest.approx((0.125, 4))
    assert cell(checkpoints, title, "worst").raw == pytest.approx((0.4,))
    assert cell(checkpoints, title, "spearman").raw == pytest.approx((-1 / 3, 3))
    assert cell(checkpoints, "last step", "regret").raw == pytest.approx((0.125, 4))
    # seed 0 takes .9 of .9, seed 1 .7 of .9
    assert cell(settings, title, "regret").raw == pytest.approx((0.1, 2))
    assert cell(settings, "last step", "regret").text == "n/a"
    assert cell(settings, "oracle", "worst").raw == (0.0,)


def test_one_table_per_pair_or_per_method_without_the_upper_bound():
    records = fake.suite(seeds=2)
    assert [table.title for table in validator_tables(records)] == [
        f"Validators, {task}, over checkpoints" for task in ("digits/synthetic-to-real", "mnist/to-usps")
    ]
    titles = [table.title for table in validator_tables(records, by_method=True)]
    assert len(titles) == 2 * len(fake.METHODS)
    assert "Validators, mnist/to-usps: mcc, over checkpoints" in titles
    (pools, *_) = validator_tables(records)[0].notes
    assert pools.startswith("12 pools")


def pair(task, mmd, gain):
    """Source only with a measure, and a method with a gain."""
    base = fake.record(task, "source_only", target=0.5, distance=mmd / 2)
    base.result["transferability"] = {"mmd": mmd, "leep": None}
    return [base, fake.record(task, "dann", target=0.5 + gain), fake.record(task, "mcc", target=0.5 + 3 * gain)]


def test_measures_gains_and_their_correlation_over_pairs():
    records = [record for i, gain in enumerate((0.1, -0.1, 0.05)) for record in pair(f"task/{i}", 1.0 + i, gain)]
    pairs, correlated = transferability_tables(records)
    assert [column.key for column in pairs.columns] == [
        "pair", "proxy_a_distance", "mmd", "mean_gain", "best_gain", "best",
    ]  # fmt: skip
    assert [row[2].raw for row in pairs.rows] == [(1.0,), (2.0,), (3.0,)]
    assert [row[3].raw[0] for row in pairs.rows] == pytest.approx([0.2, -0.2, 0.1])
    assert [row[4].raw[0] for row in pairs.rows] == pytest.approx([0.3, -0.1, 0.15])
    assert [row[5].text for row in pairs.rows] == ["mcc", "dann", "mcc"]
    # gains rank 3, 1, 2 on measures that rank 1, 2, 3
    assert [cell(correlated, "MMD²", key).raw for key in ("mean_gain", "best_gain")] == [
        pytest.approx((-0.5, 3)), pytest.approx((-0.5, 3)),
    ]  # fmt: skip


def test_two_pairs_have_no_correlation_and_records_without_measures_no_columns():
    records = pair("task/0", 1.0, 0.1) + pair("task/1", 2.0, 0.1)
    assert cell(transferability_tables(records)[1], "MMD²", "mean_gain").text == "–"
    pairs, _ = transferability_tables(fake.suite())
    assert "mmd" not in [column.key for column in pairs.columns]
    with pytest.raises(UserError, match="no records"):
        transferability_tables([])
