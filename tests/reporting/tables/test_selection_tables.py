"""Remaining shares of gains, on records whose gains are known by construction."""

import numpy as np
import pytest
from scipy import stats

from da_bench.core.config import UserError
from da_bench.evaluation.validators import ORACLE
from da_bench.reporting.plots.selection import plot_selection
from da_bench.reporting.stats.aggregates import mean_interval, ratio_interval
from da_bench.reporting.tables.selection_gains import mean_over_methods, require_gains
from da_bench.reporting.tables.selection_tables import selection_tables
from tests.helpers import fake

PAIRS = ("a/x-to-y", "a/y-to-x")
NOISE = (0.0, 0.01, -0.01)


def study(chosen=0.05, best=0.10, pairs=PAIRS):
    """Source only at .5 by every rule; a method `best` above it by the oracle and `chosen` above it by every other."""
    records = []
    for pair in pairs:
        for seed, noise in enumerate(NOISE):
            records.append(fake.record(pair, "source_only", seed, 0.5))
            records.append(fake.record(pair, "dann", seed, 0.5 + chosen + noise, rules={ORACLE: 0.5 + best + noise}))
    return records


def cell(table, row, key):
    index = [column.key for column in table.columns].index(key)
    return table.rows[row][index]


def test_half_of_a_gain_remains():
    by_method, by_rule = selection_tables(study(), ["last", "im"])
    assert cell(by_method, 0, "oracle").raw[0] == pytest.approx(0.10)
    assert cell(by_method, 0, "last").raw[0] == pytest.approx(0.05)
    assert cell(by_method, 0, "left").raw[0] == pytest.approx(0.5)
    last = [row[0].text for row in by_rule.rows].index("last step")
    assert cell(by_rule, last, "left").raw[0] == pytest.approx(0.5)
    assert cell(by_rule, last, "lost").raw == (pytest.approx(0.05),)
    assert cell(by_rule, last, "base").raw == (pytest.approx(0.50),)
    assert cell(by_rule, last, "reached").raw == (pytest.approx(0.55),)
    assert cell(by_rule, len(by_rule.rows) - 1, "left").raw == pytest.approx((1, 1, 1))


def test_methods_are_averaged_over_the_seeds_that_all_of_them_have():
    """Gains by seed: .1, .2, .3 of one method; .5, .7 of another whose first seed has no result."""
    gains = {"dann": {0: 0.1, 1: 0.2, 2: 0.3}, "coral": {1: 0.5, 2: 0.7}}
    records = [fake.record(pair, "source_only", seed, 0.1) for pair in PAIRS for seed in range(3)]
    records += [
        fake.record(pair, name, seed, 0.1 + gain)
        for pair in PAIRS
        for name, of_seed in gains.items()
        for seed, gain in of_seed.items()
    ]
    for values in mean_over_methods("last", require_gains(records)):
        assert values == pytest.approx([(0.2 + 0.5) / 2, (0.3 + 0.7) / 2])


def test_without_a_gain_no_share_is_shown():
    by_method, by_rule = selection_tables(study(chosen=-0.05, best=0.0), ["last"])
    assert cell(by_method, 0, "left").text == cell(by_rule, 0, "left").text == "–"
    assert cell(by_rule, 0, "losing").raw == (1, 1)


def test_only_methods_with_checkpoints_and_a_reference_on_two_pairs_count():
    shallow = [fake.record(pair, "svm", 0, 0.9) for pair in PAIRS]
    for record in shallow:
        record.config["training"] = record.config["model"] = None
    lonely = [fake.record(PAIRS[0], "coral", seed, 0.6) for seed in range(3)]
    assert [record.name for record in require_gains([*study(), *shallow, *lonely])] == ["dann"]
    with pytest.raises(UserError, match="two pairs"):
        require_gains(study(pairs=PAIRS[:1]))
    assert plot_selection(study(pairs=PAIRS[:1])) is None
    assert plot_selection(study()) is not None


def test_a_failing_method_does_not_stretch_the_axis():
    failed = [fake.record(pair, "cmd", seed, 0.1, rules={ORACLE: 0.1}) for pair in PAIRS for seed in range(3)]
    axes = plot_selection([*study(), *failed]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["◂ -40.0"]
    assert axes.get_xlim()[0] > -20
    assert list(plot_selection(study()).axes[0].texts) == []


def test_the_interval_over_pairs_equals_welchs(rng):
    a, b = rng.normal(size=5), rng.normal(size=8)
    values = mean_interval([a, -b])  # half the difference of two means
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (2 * (values.mean - values.half_width), 2 * (values.mean + values.half_width)) == pytest.approx(
        tuple(expected)
    )
    assert np.isnan(mean_interval([a, [1.0]]).half_width)
    assert mean_interval([[1.0, 1.0], [2.0, 2.0]])[:2] == (1.5, 0.0)


def test_the_interval_of_a_ratio_has_its_coverage(rng):
    covered = []
    for _ in range(2000):
        below = [rng.normal(mean, 0.05, 5) for mean in (1.0, 0.5, 0.3)]
        above = [0.8 * values + rng.normal(0, 0.05, 5) for values in below]
        _, low, high = ratio_interval(above, below)
        covered.append(low <= 0.8 <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_the_interval_of_a_ratio_may_be_unbounded():
    assert ratio_interval([[1.0, 2.0]], [[-1.0, 1.1]])[1:] == (float("-inf"), float("inf"))
    assert np.isnan(ratio_interval([[1.0]], [[2.0]])[1:]).all()
    assert ratio_interval([[1.0, 2.0]], [[2.0, 4.0]]) == pytest.approx((0.5, 0.5, 0.5))


def searched(pairs=PAIRS):
    """Three settings of each method: IM selects the second, where DANN gains .2; the oracle selects the one with .3."""
    records = []
    for pair in pairs:
        for seed, noise in enumerate(NOISE):
            for rate, im, base, values in ((0.01, 1.0, 0.50, 0.55), (0.1, 2.0, 0.55, 0.75), (0.001, 0.5, 0.60, 0.90)):
                training = {"learning_rate": rate}
                records.append(fake.record(pair, "source_only", seed, base, training=training))
                records.append(fake.record(pair, "dann", seed, values + noise, training=training, weight=100 * rate))
                for record in records[-2:]:
                    record.curves["validators"] = {"im": [im - 1, im]}
    return records


def test_a_rule_also_selects_the_setting_if_methods_were_searched():
    (result,) = require_gains(searched())
    assert (result.name, result.trials, result.pairs) == ("dann", 3, PAIRS)
    assert set(result.by_rule) == {"last", "im", ORACLE}  # the rules that scored every run
    gains = {rule: result.mean(rule).mean for rule in result.by_rule}
    assert gains == pytest.approx({"last": 0.05, "im": 0.20, ORACLE: 0.30})
    by_method, by_rule = selection_tables(searched(), ["last", "im"])
    assert cell(by_method, 0, "left").raw[0] == pytest.approx(2 / 3)
    assert any("run at 3 settings on a pair" in note for note in by_method.notes)
    assert not any("settings on a pair" in note for note in selection_tables(study(), ["last"])[0].notes)
    assert [row[0].text for row in by_rule.rows] == ["last step", "IM + source-val floor", "oracle*"]
    bases = [cell(by_rule, row, "base").raw[0] for row in range(3)]
    assert bases == pytest.approx([0.50, 0.55, 0.60])  # source only is chosen by the rule, too
    assert plot_selection(searched()) is not None


def test_searches_on_a_single_pair_are_not_averaged():
    with pytest.raises(UserError, match="two pairs"):
        require_gains(searched(PAIRS[:1]))
