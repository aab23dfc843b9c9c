"""Searches on records whose answer is known; expectations against all subsets and all orders."""

import itertools

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.reporting.plots.search import plot_search
from da_bench.reporting.tables.search_tables import search_tables
from da_bench.reporting.tables.searches import expected_best, find_searches
from da_bench.studies.archive import NAME, pack, unpack
from tests.helpers import fake

RULES = ["last", "im", "source_validation", "oracle"]


def run(method="dann", seed=0, rate=0.01, im=0.0, target=0.5, *, best=None, **more):
    """A run whose best checkpoint has the IM score `im` and the target accuracy `target`."""
    rules = {"im": target, "oracle": target if best is None else best}
    record = fake.record("moons/35", method, seed, target, rules=rules, training={"learning_rate": rate}, **more)
    record.curves["validators"] = {"im": [im - 1, im, None], "source_validation": [0.9, 0.9, 0.9]}
    return record


def setting(seeds=(0, 1), target=0.5, best=None, **more):
    """Runs of one setting, whose target accuracies are one point around the given one."""
    best = target if best is None else best
    spread = [0.01 * (-1) ** seed for seed in seeds]
    return [
        run(seed=seed, target=target + off, best=best + off, **more) for seed, off in zip(seeds, spread, strict=True)
    ]


def study():
    """Source only and DANN, three settings each; IM selects the second, the oracle the third."""
    return [
        *setting(method="source_only", rate=0.01, im=1.0, target=0.50),
        *setting(method="source_only", rate=0.1, im=2.0, target=0.55),
        *setting(method="source_only", rate=0.001, im=0.0, target=0.60),
        *setting(weight=1.0, rate=0.01, im=1.0, target=0.52),
        *setting(weight=0.2, rate=0.1, im=2.0, target=0.65),
        *setting(weight=7.0, rate=0.001, im=0.5, target=0.80),
    ]


def cell(table, method, rule, key):
    places = {column.key: i for i, column in enumerate(table.columns)}
    (row,) = [row for row in table.rows if row[0].text == method and row[places["rule"]].text.startswith(rule)]
    return row[places[key]]


def brute_force(scores, accuracies, k, first=None):
    """Mean accuracy of the best-scored over all draws of k that contain `first`, if given."""
    draws = [draw for draw in itertools.combinations(range(len(scores)), k) if first is None or first in draw]
    return np.mean([accuracies[max(draw, key=lambda i: scores[i])] for draw in draws])


def test_expected_best_is_the_mean_over_all_subsets(rng):
    scores, accuracies = rng.normal(size=7), rng.uniform(size=7)
    result = expected_best(scores, accuracies)
    assert result == pytest.approx([brute_force(scores, accuracies, k) for k in range(1, 8)])
    assert result[0] == pytest.approx(accuracies.mean())
    assert result[-1] == pytest.approx(accuracies[scores.argmax()])
    assert np.all(np.diff(expected_best(accuracies, accuracies)) > 0)  # by the oracle more is never worse


def test_expected_best_of_a_hundred_settings_follows_order_statistics():
    """The largest of k out of 0 .. n - 1, drawn without replacement, is k (n + 1) / (k + 1) - 1 on average."""
    numbers, k = np.arange(100.0), np.arange(1, 101)
    np.testing.assert_allclose(expected_best(numbers, numbers), k * 101 / (k + 1) - 1, rtol=1e-12, atol=1e-12)


def random_search(rng, count=6):
    result = []
    for i in range(count):
        weight, rate = (1.0, 0.01) if i == 0 else (0.1 + i, 0.002 * (i + 1))
        result += [run(seed=0, weight=weight, rate=rate, im=rng.normal(), target=rng.uniform())]
    return result


def test_best_so_far_is_the_mean_over_all_orders_that_begin_with_the_default(rng):
    (search,) = find_searches(random_search(rng))
    assert search.default is search.rows[0]
    scores, accuracies = search.scores("im"), search.accuracies("im")
    result = search.best_so_far("im")
    assert result == pytest.approx([brute_force(scores, accuracies, k, first=0) for k in range(1, 7)])
    assert result[0] == search.accuracies("im")[0]


def test_best_so_far_without_a_known_default_is_over_all_orders(rng):
    records = [record for record in random_search(rng) if record.config["method"]["weight"] != 1.0]
    (search,) = find_searches(records)
    assert search.default is None
    scores, accuracies = search.scores("im"), search.accuracies("im")
    assert search.best_so_far("im") == pytest.approx([brute_force(scores, accuracies, k) for k in range(1, 6)])


def test_each_rule_selects_by_mean_score_and_is_compared_with_source_only_under_the_same_rule():
    (table,) = search_tables(study(), RULES)
    assert table.title == "Search, moons/35"
    assert cell(table, "dann", "last step", "setting").text == "learning_rate=0.01, weight=1 (default)"
    assert cell(table, "dann", "IM", "setting").text == "learning_rate=0.1, weight=0.2"
    assert cell(table, "dann", "oracle", "setting").text == "learning_rate=0.001, weight=7"
    assert cell(table, "dann", "oracle", "setting").mark == "oracle"
    assert cell(table, "dann", "IM", "target").raw[0] == pytest.approx(0.65)
    assert cell(table, "dann", "IM", "default").raw[0] == pytest.approx(0.52)
    assert cell(table, "dann", "IM", "budget").raw == (3, 2)
    assert cell(table, "dann", "IM", "seconds").raw == pytest.approx((6 * 10.0 / 5,))  # five together in ten seconds
    assert cell(table, "source_only", "IM", "setting").text == "learning_rate=0.1"
    gains = {rule: cell(table, "dann", rule, "gain").raw[0] for rule in ("last step", "IM", "oracle")}
    assert gains == pytest.approx({"last step": 0.02, "IM": 0.10, "oracle": 0.20})
    (oracle_note,) = [note for note in table.notes if note.startswith("* The oracle")]
    # source only .60 - .55, DANN .80 - .65: mean .10
    assert "10.0 above IM + source-val floor" in oracle_note


def test_the_default_is_selected_among_equal_scores():
    (table,) = search_tables(study(), RULES)
    assert cell(table, "dann", "source validation", "setting").text.endswith("(default)")


def test_means_that_differ_by_rounding_only_are_ties():
    """Source validation of 0.1, 0.2, 0.3 in two orders: sums that differ in their last bit."""
    orders = ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1))
    assert sum(orders[0]) != sum(orders[1])
    records = []
    for rate, values in zip((0.01, 0.1), orders, strict=True):
        for seed, value in enumerate(values):
            records.append(run(seed=seed, rate=rate, weight=1.0))
            records[-1].curves["validators"]["source_validation"] = [value + 1e-9 * seed]
    (search,) = find_searches(records)
    assert len(set(search.scores("source_validation"))) == 1
    assert search.selected_row("source_validation") is search.rows[0]


@pytest.mark.parametrize("digits", [4, 6, 8, 16])  # an archive keeps six
def test_a_search_selects_the_same_from_an_archive_as_from_its_records(digits, rng, tmp_path):
    runs = []
    for i, seed in itertools.product(range(20), range(3)):  # scores that are near each other
        score, target = (1 / 3 + 10.0**-digits * rng.integers(0, 3), rng.uniform())
        runs.append(run(seed=seed, weight=1.0 + i, rate=0.002 * (i + 1), im=score, target=target))
    (tmp_path / NAME).write_bytes(pack(runs, "im"))
    result = [find_searches(records)[0] for records in (runs, unpack(tmp_path / NAME).records)]
    for rule in RULES[1:]:
        chosen = [search.rows.index(search.selected_row(rule)) for search in result]
        assert chosen[0] == chosen[1]


def test_the_default_of_source_only_is_at_the_learning_rate_of_the_others():
    records = [
        *setting(method="source_only", rate=0.3, target=0.50),
        *setting(method="source_only", rate=0.01, target=0.55),
        *setting(weight=1.0, rate=0.3),
        *setting(weight=0.2, rate=0.01),
    ]
    base, dann = find_searches(records)
    assert base.default.first.config["training"]["learning_rate"] == 0.3
    assert dann.default.first.config["method"]["weight"] == 1.0
    (alone,) = find_searches(records[:4])
    assert alone.default.first.config["training"]["learning_rate"] == 0.01  # of `Training`


def test_another_budget_is_not_compared():
    records = study()[2:]  # source only has one setting less
    (table,) = search_tables(records, RULES)
    assert table.notes[0].startswith("WARNING: budgets differ (trials × seeds: 2 × 2, 3 × 2)")
    assert cell(table, "dann", "IM", "gain").text == "n/a"


def test_a_setting_without_all_seeds_or_scores_is_never_selected():
    records = study()
    missing = [
        record
        for record in records
        if not (record.config["method"].get("weight") == 7.0 and record.config["seed"] == 1)
    ]
    (table,) = search_tables(missing, RULES)
    assert cell(table, "dann", "oracle", "target").raw[0] == pytest.approx(0.65)
    records[-3].curves["validators"]["im"] = [None, None, None]
    (table,) = search_tables(records, RULES)
    assert cell(table, "dann", "IM", "setting").text.endswith("(default)")


def test_variants_of_a_method_are_separate_searches():
    records = study() + [run for rate in (0.01, 0.1) for run in setting(weight=1.0, rate=rate, schedule="constant")]
    assert [search.name for search in find_searches(records)] == [
        "source_only",
        "dann (unset)",
        "dann (schedule=constant)",
    ]


def test_a_sweep_of_one_field_is_not_a_search():
    assert search_tables(fake.sweep(seeds=2), RULES) == []
    assert plot_search(fake.sweep(seeds=2)) is None
    with pytest.raises(UserError, match="no records"):
        search_tables([], RULES)


def test_the_plot_has_one_panel_per_method_and_one_line_per_rule():
    figure = plot_search(study(), "im")
    base, dann = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["moons: 35, source_only", "moons: 35, dann"]
    lines = {line.get_label(): line for line in dann.lines}
    assert list(lines) == ["default setting, last step", "IM + source-val floor", "source validation", "oracle"]
    np.testing.assert_allclose(lines["IM + source-val floor"].get_ydata(), [52.0, 58.5, 65.0])  # (65 + 52) / 2
    np.testing.assert_allclose(lines["oracle"].get_ydata(), [52.0, 72.5, 80.0])
    assert base.get_ylim() == dann.get_ylim()
