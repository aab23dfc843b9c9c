"""Result tables: rows, gains, marks, notes and means over pairs."""

import csv
import json
import re
import subprocess
import sys

import pytest

from da_bench.core.config import UserError
from da_bench.evaluation.validators import RULES
from da_bench.reporting.tables.class_accuracy import class_tables
from da_bench.reporting.tables.result_tables import across_pairs_table, result_tables
from da_bench.reporting.tables.write import write_tables
from tests.helpers import fake


def cell(table, method, column):
    keys = [column.key for column in table.columns]
    row = next(row for row in table.rows if row[0].text == method)
    return row[keys.index(column)]


def methods(table):
    return [row[0].text for row in table.rows]


def notes(table):
    return "\n".join(table.notes)


def test_seeds_share_a_row_and_settings_never_do():
    weights = [0.1234567, 0.12345671, 1.0, 2.0]
    records = [fake.record(weight=weight, seed=seed) for weight in weights for seed in range(3)]
    (table,) = result_tables(records)
    assert len(set(methods(table))) == 4
    assert all(cell(table, name, "seeds").raw == (3, 0, 0, 0) for name in methods(table))


def test_a_setting_that_only_some_records_have_separates_rows():
    assert len(result_tables([fake.record(), fake.record(weight=1.0)])[0].rows) == 2


def test_two_results_of_one_run_raise():
    with pytest.raises(UserError, match="two results of 'dann'"):
        result_tables([fake.record(), fake.record(target=0.8)])


def test_source_only_is_first_and_the_upper_bound_last():
    records = [
        fake.record(method="source_only", labels_from="target"),
        fake.record(method="mcc"),
        fake.record(method="source_only"),
        fake.record(method="cdan"),
    ]
    assert methods(result_tables(records)[0]) == ["source_only", "mcc", "cdan", "target only (upper bound)"]


def test_tasks_in_order_of_first_appearance():
    records = [fake.record(task=task, seed=seed) for seed in (0, 1) for task in ("b", "a")]
    assert [table.title for table in result_tables(records)] == ["b", "a"]


def test_gain_is_paired_on_common_seeds_only():
    base = fake.runs([0.50, 0.60, 0.70], method="source_only")
    values = [fake.record(seed=seed, target=target) for seed, target in ((1, 0.62), (2, 0.73), (9, 0.10))]
    gain = cell(result_tables(base + values)[0], "dann", "gain").raw
    assert gain[0] == pytest.approx(0.025)
    # differences .02 and .03: s = .00707, half width 12.7062 * .00707 / sqrt(2) = .0635
    assert gain[1] == pytest.approx(0.0635, abs=1e-4)
    assert gain[3] == 2


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        ([0.10, 0.11, 0.12], "gain"),
        ([-0.1, 0.1, 0.0], "no gain (inside noise)"),
        ([-0.1, -0.11, -0.12], "negative transfer"),
    ],
)
def test_verdict_in_words(shift, expected):
    base = [0.5, 0.6, 0.7]
    records = fake.runs(base, method="source_only") + fake.runs([b + s for b, s in zip(base, shift, strict=True)])
    assert cell(result_tables(records)[0], "dann", "verdict").text == expected


def test_one_seed_claims_nothing():
    table = result_tables([fake.record(method="source_only", target=0.1), fake.record(target=0.9)])[0]
    assert cell(table, "dann", "verdict").text == "untested (one seed)"
    assert cell(table, "dann", "target_last").text == "90.0"
    assert cell(table, "source_only", "target_last").mark == ""


def test_gap_closed_and_distances():
    records = [
        *fake.runs([0.6, 0.6], method="source_only", distance=1.8),
        *fake.runs([0.7, 0.7], distance=0.9),
        *fake.runs([0.8, 0.8], method="source_only", labels_from="target", distance=None),
    ]
    (table,) = result_tables(records)
    assert cell(table, "dann", "gap_closed").text == "50 %"
    assert cell(table, "dann", "a_distance").text == "1.80 → 0.90"
    assert cell(table, "source_only", "a_distance").text == "1.80"
    assert cell(table, "target only (upper bound)", "a_distance").text == "n/a"
    assert cell(table, "dann", "seconds").raw == (2.0, 3.0)


def bounds():
    """A transductive pair whose upper bound trained on the rows it is scored on, and the inductive pair's bound."""
    bound = {"method": "source_only", "labels_from": "target"}
    return [
        *fake.runs([0.6, 0.6], task="a@transductive", method="source_only"),
        *fake.runs([0.7, 0.7], task="a@transductive"),
        *fake.runs([1.0, 1.0], task="a@transductive", **bound),
        *fake.runs([0.8, 0.8], task="a", environment={"data": "f" * 64}, **bound),
    ]


def test_the_inductive_upper_bound_is_shown_in_the_transductive_table_and_bounds_the_gap():
    (table,) = result_tables(bounds())
    assert table.title == "a@transductive"
    held_out = "target only, held-out rows (upper bound)"
    assert methods(table)[2:] == ["target only (upper bound)", held_out]
    assert cell(table, held_out, "target_last").text == "80.0 ± 0.0"
    assert cell(table, held_out, "verdict").text == "upper bound"
    assert cell(table, "dann", "gap_closed").text == "50 %"  # of 60 to 80, not to 100
    assert "scored on its test split" in notes(table)
    assert "WARNING" not in notes(table)


def test_tasks_that_only_provide_bounds_are_not_counted_as_pairs():
    others = [
        fake.record(task="b@transductive", method=record, target=0.5, seed=i) for record in fake.METHODS for i in (0, 1)
    ]
    table = across_pairs_table([*bounds(), *others])
    assert table.notes[0].startswith("2 pairs.")
    assert methods(table) == ["source_only", "dann"]


def test_the_upper_bound_stays_on_a_task_with_other_runs_or_without_a_transductive_one():
    alone = fake.runs([0.8, 0.8], task="a", method="source_only", labels_from="target")
    assert [table.title for table in result_tables(alone)] == ["a"]
    assert methods(result_tables(alone)[0]) == ["target only (upper bound)"]
    both = [*bounds(), *fake.runs([0.7, 0.7], task="a")]
    assert [table.title for table in result_tables(both)] == ["a@transductive", "a"]
    assert all("held-out" not in name for table in result_tables(both) for name in methods(table))


def test_without_references_there_is_no_gain():
    (table,) = result_tables(fake.runs([0.6, 0.7]))
    assert [cell(table, "dann", key).text for key in ("gain", "verdict", "gap_closed")] == ["n/a"] * 3


def test_other_training_is_not_compared():
    records = fake.runs([0.5, 0.6], method="source_only") + fake.runs([0.7, 0.8], training={"batch_size": 128})
    (table,) = result_tables(records)
    assert cell(table, "dann", "gain").text == "n/a"
    assert "WARNING: Rows differ in more than the method (training.batch_size)" in notes(table)


def test_rows_of_a_grid_over_training_are_compared_at_equal_values():
    records = []
    for rate, shift in ((0.1, 0.0), (0.01, 0.2)):
        training = {"learning_rate": rate}
        records += fake.runs([0.5 + shift, 0.6 + shift], method="source_only", training=training)
        records += fake.runs([0.6 + shift, 0.71 + shift], training=training)
    (table,) = result_tables(records)
    assert cell(table, "dann (learning_rate=0.01)", "gain").raw[0] == pytest.approx(0.105)
    assert "WARNING" not in notes(table)


def test_best_tied_oracle_and_upper_bound_cells_are_marked():
    records = [
        *fake.runs([0.50, 0.51, 0.52], method="source_only"),
        *fake.runs([0.70, 0.71, 0.72], method="mcc"),
        *fake.runs([0.69, 0.72, 0.70], method="cdan"),
        *fake.runs([0.9, 0.9, 0.9], method="source_only", labels_from="target"),
    ]
    (table,) = result_tables(records)
    assert [row[3].mark for row in table.rows] == ["", "best", "tied", ""]
    assert {row[6].mark for row in table.rows} == {"oracle"}
    assert "**71.0 ± 2.5**" in table.markdown()
    assert re.search(r"<u>70\.3 ± .*?</u>", table.markdown())
    assert r"\textbf{71.0 $\pm$ 2.5}" in table.latex()
    assert "**71.0 ± 2.5**" in table.text()


def test_each_rule_reports_its_own_number():
    rules = {"last": 0.5, "im": 0.6, "source_validation": 0.7, "oracle": 0.8}
    (table,) = result_tables([fake.record(rules=rules), fake.record(method="source_only", target=0.3)], rule="im")
    assert [cell(table, "dann", f"target_{rule}").text for rule in rules] == ["50.0", "60.0", "70.0", "80.0"]
    assert cell(table, "dann", "gain").raw[0] == pytest.approx(0.3)
    assert [column.key for column in table.columns if "(declared)" in column.title] == ["target_im"]


def test_skipped_rows_show_why_and_diverged_runs_count():
    records = fake.suite()
    (table, _) = result_tables(records)
    assert cell(table, "shot", "verdict").text == "skipped: needs batch normalisation"
    assert cell(table, "dann", "seeds").text == "5 (1†)"
    assert cell(table, "dann", "target_last").raw[2] == 5
    assert "† Runs that diverged" in notes(table)


def test_failed_runs_are_shown_with_their_cause_and_left_out_of_means():
    lost = [
        fake.record(seed=seed, status="failed", cause="out_of_memory", reason="RESOURCE_EXHAUSTED: 9 GiB")
        for seed in (2, 3)
    ]
    gone = fake.record(method="mcc", status="failed", cause="timeout", reason="not done after 60 seconds")
    (table,) = result_tables([*fake.runs([0.6, 0.7]), *lost, gone])
    assert cell(table, "dann", "seeds").text == "2 (2 failed)"
    assert cell(table, "dann", "target_last").raw[0] == pytest.approx(0.65)
    assert "dann: failed (out_of_memory): RESOURCE_EXHAUSTED: 9 GiB" in notes(table)
    assert cell(table, "mcc", "verdict").text == "failed (timeout): not done after 60 seconds"


def test_only_requested_rules_have_a_column():
    records = fake.runs([0.6, 0.7])
    keys = [column.key for column in result_tables(records, "dev", ("snd",))[0].columns]
    assert [key for key in keys if key.startswith("target_")] == [
        f"target_{rule}" for rule in RULES if rule in ("last", "dev", "snd", "oracle")
    ]
    default = [column.key for column in result_tables(records)[0].columns]
    assert [key for key in default if key.startswith("target_")] == [
        "target_last", "target_im", "target_source_validation", "target_oracle",
    ]  # fmt: skip
    assert any(
        "SND and DEV select" in note or "DEV and SND select" in note
        for note in result_tables(records, "dev", ("snd",))[0].notes
    )
    with pytest.raises(UserError, match="did you mean 'snd'"):
        result_tables(records, "last", ("sdn",))


def test_the_selection_gap_is_between_the_oracle_and_the_declared_rule():
    records = [
        fake.record(seed=seed, rules={"last": 0.6, "im": 0.5, "oracle": best}) for seed, best in enumerate((0.7, 0.8))
    ]
    for rule, gap in (("last", 0.15), ("im", 0.25), ("oracle", 0.0)):
        (table,) = result_tables(records, rule)
        assert cell(table, "dann", "selection_gap").raw[0] == pytest.approx(gap)
        elsewhere = [fake.record("other/pair", seed=seed, rules={rule: 0.4, "oracle": 0.5}) for seed in range(2)]
        across = cell(across_pairs_table(records + elsewhere, rule), "dann", "selection_gap").raw[0]
        assert across == pytest.approx((gap + (0.1 if rule != "oracle" else 0.0)) / 2)


def test_notes_name_rule_seeds_test_and_origin():
    text = notes(result_tables(fake.runs([0.6, 0.7], environment={"dirty": True}))[0])
    for part in (
        "2 seeds a row",
        "Declared rule: last step",
        "paired t test",
        "below 6 pairs",
        "`da-bench run experiments/quickstart.py`",
        "commit abc1234 + uncommitted changes",
        "device cpu",
        "data 0123456789ab;",
        "steps 1000",
    ):
        assert part in text
    assert "WARNING" not in text


def test_expected_failures_of_checks_are_noted_once_with_their_reason():
    records = [*fake.runs([0.5], method="source_only"), *fake.runs([0.6, 0.7]), *fake.runs([0.7], method="coral")]
    assert "equal_domains_do_no_harm" not in notes(result_tables(records)[0])
    for record in records[1:]:
        record.result["expected_failed_checks"] = {"equal_domains_do_no_harm": "it draws noise"}
    expected = "dann, coral: equal_domains_do_no_harm (it draws noise)."
    assert expected in notes(result_tables(records)[0])


@pytest.mark.parametrize("field", ["commit", "data", "device"])
def test_records_from_different_origins_give_a_warning(field):
    records = [fake.record(), fake.record(seed=1, environment={field: "something else"})]
    assert re.search(f"WARNING: .*{field}", notes(result_tables(records)[0]))


def test_across_pairs_has_only_methods_of_every_pair():
    table = across_pairs_table([*fake.suite(), *fake.runs([0.5], task="mnist/to-usps", method="only_here")])
    assert methods(table) == [*fake.METHODS, "target only (upper bound)"]
    assert table.notes[0].startswith("2 pairs.")
    assert "only_here" in notes(table)
    assert across_pairs_table(fake.runs([0.5])) is None


def test_across_pairs_by_hand():
    records = [fake.record(task=task, method="source_only", target=0.5) for task in "ab"]
    records += [fake.record(task="a", target=0.7), fake.record(task="b", target=0.4)]
    table = across_pairs_table(records)
    assert cell(table, "dann", "target_last").text == "55.0"


def test_across_pairs_does_not_join_other_settings_of_one_name():
    records = [fake.record(task="a", weight=1.0), fake.record(task="b", weight=6.0)]
    assert across_pairs_table(records).rows == ()


def test_class_table_and_a_class_without_images():
    record = fake.record(target=0.5)
    record.result["rules"]["last"]["target_per_class"] = [0.25, None, 0.75]
    (table,) = class_tables([record])
    assert [cell.text for cell in table.rows[0]] == ["dann", "52.5", "25.0", "n/a", "75.0"]


def test_user_errors():
    with pytest.raises(UserError, match="did you mean 'last'"):
        result_tables([fake.record()], rule="lst")
    for report in (result_tables, class_tables, across_pairs_table):
        with pytest.raises(UserError, match="da-bench run"):
            report([])


def test_written_files_name_their_origin(tmp_path):
    paths = write_tables(fake.suite() + fake.sweep(seeds=3), tmp_path / "new", rule="im")
    assert [path.name for path in paths] == ["tables.md", "tables.tex", "tables.csv", "tables.json"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    for path in paths[:3]:
        first = path.read_text().splitlines()[0]
        assert "da-bench run experiments/quickstart.py" in first.replace(r"\_", "_")
        assert " records" in first
    data = json.loads(paths[3].read_text())
    assert (data["command"], data["records"]) == ("da-bench run experiments/quickstart.py", 96)
    assert [table["title"] for table in data["tables"]][3:6] == [
        "Methods x pairs: target accuracy on 3 pairs",
        "Gains over 3 pairs",
        "Mean over 3 pairs",
    ]
    rows = list(csv.reader(paths[2].read_text().splitlines()[1:]))
    assert len({len(row) for row in rows}) == 1


def test_import_is_light():
    code = "import sys, da_bench.reporting.tables.result_tables, da_bench.reporting.plots.write; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"scipy.stats", "matplotlib", "pandas"} & set(loaded)
