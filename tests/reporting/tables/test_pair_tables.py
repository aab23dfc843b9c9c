import numpy as np
import pytest
from scipy import stats

from da_bench.core.config import UserError
from da_bench.reporting.stats.aggregates import iqm
from da_bench.reporting.stats.rank_tests import holm, signed_rank
from da_bench.reporting.tables.over_pairs import mean_gains, methods_over_pairs
from da_bench.reporting.tables.pair_tables import AdjustedTest, pair_tables, pairs_verdict
from tests.helpers import fake

PAIRS = [f"pair/{i}" for i in range(7)]


def study(gains_of, pairs=PAIRS, seeds=3, noise=0.01, seed=0):
    """Source only at .5, and methods with given gains [pairs] over it; seeds jitter around them."""
    jitter = np.random.default_rng(seed)
    result = []
    for i, task in enumerate(pairs):
        result += fake.runs(0.5 + jitter.normal(0, noise, seeds), task=task, method="source_only")
        for method, shift in gains_of.items():
            result += fake.runs(0.5 + shift[i] + jitter.normal(0, noise, seeds), task=task, method=method)
    return result


def cell(table, method, column):
    keys = [column.key for column in table.columns]
    return next(row for row in table.rows if row[0].text == method)[keys.index(column)]


def notes(table):
    return "\n".join(table.notes)


def test_methods_by_pairs_by_hand():
    records = [fake.record(task=task, method="source_only", target=0.5) for task in "ab"]
    records += [fake.record(task="a", target=0.7), fake.record(task="b", target=0.4)]
    table, over = pair_tables(records)
    assert [column.key for column in table.columns] == ["method", "a", "b", "average", "rank"]
    assert [record.text for record in table.rows[1]] == ["dann", "70.0", "40.0", "55.0", "1.5"]
    assert cell(over, "dann", "better").text == "1 of 2"
    assert cell(over, "dann", "gain").raw[5] == pytest.approx(0.05)
    assert cell(over, "dann", "verdict").text == "no claim (2 pairs)"
    assert cell(over, "source_only", "verdict").text == "reference"


def test_gains_equal_scipys_signed_rank_test_corrected_by_hand():
    shifts = {name: np.random.default_rng(i).normal(i / 50, 0.02, 7) for i, name in enumerate(("dann", "mcc", "cdan"))}
    records = study(shifts)
    _, over = pair_tables(records)
    tasks, lines = methods_over_pairs(records)
    p = []
    for method in shifts:
        differences = [
            np.mean(
                [record.result["rules"]["last"]["target_accuracy"] for record in records if of(record, task, method)]
            )
            - np.mean(
                [
                    record.result["rules"]["last"]["target_accuracy"]
                    for record in records
                    if of(record, task, "source_only")
                ]
            )
            for task in PAIRS
        ]
        (line,) = (line for line in lines if line.name == method)
        assert mean_gains(line, tasks, "last") == pytest.approx(differences)
        p.append(stats.wilcoxon(differences, method="exact").pvalue)
    raw = [cell(over, method, "gain").raw for method in shifts]
    assert [record[3] for record in raw] == pytest.approx(p)
    assert [record[4] for record in raw] == pytest.approx(holm(p))


def of(record, task, method):
    return (record.config["task"], record.config["method"]["name"]) == (task, method)


def test_verdicts():
    steps = np.linspace(0.1, 0.2, 7)
    records = study({"dann": steps, "mcc": -steps, "cdan": [0.1, -0.1, 0.05, -0.06, 0.02, -0.03, 0.01]}, noise=0.001)
    table, over = pair_tables(records)
    result = {name: cell(over, name, "verdict").text for name in ("dann", "mcc", "cdan")}
    assert result == {"dann": "gain", "mcc": "negative transfer", "cdan": "no gain (inside noise)"}
    assert cell(over, "mcc", "negative").text == "7 of 7"
    assert cell(table, "mcc", "pair/0").text.endswith("↓")
    assert cell(over, "dann", "improvement").raw[0] == 1.0
    assert "no claim is possible" not in notes(over)


def test_the_verdict_has_the_sign_of_the_pairs_that_differ():
    """Of 21 pairs fifteen are equal and six gain: the median is 0, but it is a gain."""
    differences = np.r_[np.zeros(15), np.linspace(0.1, 0.2, 6)]
    result = signed_rank(differences)
    assert (result.median, result.p < 0.05) == (0.0, True)
    assert pairs_verdict(AdjustedTest(result, result.p, 1)) == "gain"
    lost = signed_rank(-differences)
    assert pairs_verdict(AdjustedTest(lost, lost.p, 1)) == "negative transfer"


def test_too_many_methods_for_any_claim_are_noted():
    steps = np.linspace(0.1, 0.2, 6)
    _, over = pair_tables(study(dict.fromkeys(("dann", "mcc"), steps), pairs=PAIRS[:6]))
    assert "6 pairs and 2 methods is 0.062" in notes(over)
    assert cell(over, "dann", "verdict").text == "no claim (6 pairs, 2 methods)"


@pytest.mark.parametrize("pairs", [2, 5])
def test_no_claim_below_six_pairs(pairs):
    table, over = pair_tables(study({"dann": [0.3] * pairs}, pairs=PAIRS[:pairs], noise=0.001))
    assert cell(over, "dann", "verdict").text == f"no claim ({pairs} pairs)"
    assert "no test" in cell(over, "dann", "gain").text
    assert {row[-2].mark for row in table.rows} == {"best", ""}


def test_aggregates_come_from_all_runs():
    records = study({"dann": [0.1] * 7}, seeds=5, noise=0.02)
    _, over = pair_tables(records)
    scores = [
        [record.result["rules"]["last"]["target_accuracy"] for record in records if of(record, task, "dann")]
        for task in PAIRS
    ]
    result = cell(over, "dann", "iqm")
    assert result.raw[0] == pytest.approx(iqm(scores)) == pytest.approx(0.6, abs=0.02)
    assert result.raw[1] < result.raw[0] < result.raw[2]
    assert cell(pair_tables(study({"dann": [0.1] * 7}))[1], "dann", "iqm").text.count("[") == 0  # 21 runs are too few


def test_a_method_missing_on_a_pair_is_only_in_the_first_table():
    records = study({"dann": [0.1] * 7}) + study({"mcc": [0.1] * 7})[3:15]
    records = list(
        {
            (record.config["task"], record.config["method"]["name"], record.config["seed"]): record
            for record in records
        }.values()
    )
    table, over = pair_tables(records)
    assert cell(table, "mcc", "pair/6").text == cell(table, "mcc", "average").text == "n/a"
    assert cell(table, "mcc", "rank").text == "–"
    assert "mcc" not in [row[0].text for row in over.rows]
    assert any(note.startswith("Left out") and note.endswith(": mcc.") for note in over.notes)


def test_two_settings_of_one_name_are_two_rows():
    records = [fake.record(task=task, method="source_only", target=0.5) for task in "abcd"]
    records += [fake.record(task=task, target=0.6, weight=1.0 if task in "ab" else 6.0) for task in "abcd"]
    table, over = pair_tables(records)
    assert [[record.text for record in row[1:5]] for row in table.rows[1:]] == [
        ["60.0", "60.0", "n/a", "n/a"],
        ["n/a", "n/a", "60.0", "60.0"],
    ]
    assert [row[0].text for row in over.rows] == ["source_only"]


def test_diverged_runs_count_and_the_bound_does_not_compete():
    table, over = pair_tables(fake.suite())
    name = "target only (upper bound)"
    assert "†" in cell(table, "dann", "digits/synthetic-to-real").text
    assert cell(table, name, "average").mark == cell(table, name, "digits/synthetic-to-real").mark == ""
    assert cell(table, name, "rank").text == "–"
    assert cell(over, name, "verdict").text == "upper bound"


def test_costs():
    records = [
        *study({"dann": [0.1] * 7}),
        *(record for task in PAIRS for record in fake.runs([0.6, 0.6], task=task, weight=2.0)),
    ]
    for record in records:
        record.result["peak_bytes"] = {"host": 3 * 2**30, "device": None}
    records[0].result["peak_bytes"] = {"host": 3 * 2**30, "device": 2**32}
    _, over = pair_tables(records)
    row = "dann (weight=2)"
    assert [cell(over, row, key).text for key in ("seconds", "steps", "trials", "memory")] == [
        "2",
        "500",
        "2",
        "3.0 GiB",
    ]
    assert cell(over, "source_only", "memory").text == "4.0 GiB"
    assert cell(pair_tables(fake.suite())[1], "dann", "memory").text == "n/a"


def test_a_single_pair_has_no_table_over_pairs_and_errors_are_user_errors():
    assert pair_tables(fake.runs([0.5])) == []
    with pytest.raises(UserError, match="no records"):
        pair_tables([])
    with pytest.raises(UserError, match="unknown rule"):
        pair_tables(fake.suite(), "best")


def claims(studies, pairs, methods, seeds=3):
    """Share of studies with a claim, if all methods are source only under other names."""
    nothing = {f"method_{i}": np.zeros(pairs) for i in range(methods)}
    tables = [
        pair_tables(study(nothing, [f"pair/{i}" for i in range(pairs)], seeds, seed=i))[1] for i in range(studies)
    ]
    verdicts = [{row[3].text for row in table.rows} for table in tables]
    return np.mean([bool(texts & {"gain", "negative transfer"}) for texts in verdicts])


@pytest.mark.slow
@pytest.mark.parametrize(("pairs", "methods"), [(6, 1), (8, 2), (12, 5)])
def test_the_table_claims_falsely_in_at_most_5_percent_of_studies(pairs, methods):
    studies = 400
    # three standard errors of a share of .05
    assert claims(studies, pairs, methods) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
