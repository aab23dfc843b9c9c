import csv
import io
import json
import re
import subprocess
import sys

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from da_bench.core.config import UserError
from da_bench.evaluation.validators import RULES
from da_bench.reporting.tables.class_accuracy import class_tables
from da_bench.reporting.tables.naming import row_names
from da_bench.reporting.tables.result_tables import across_pairs_table, result_tables
from da_bench.reporting.tables.rows import build_rows, reference_row
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.reporting.tables.write import write_tables
from tests.helpers import fake

HOSTILE = [
    "<script>alert(1)</script>",
    r"_ & % $ # { } ~ ^ \ end",
    "=HYPERLINK(1)",
    "\t=1+1",
    "@sum",
    "a | b\nc",
    "[x](http://evil) **b** `c` --> <!--",
    r"\input{/etc/passwd}",
    "[1cm]",
    "[bold red]rich[/bold red]",
    "\x1b[31mred\x1b[0m",
    "# heading",
    "1. item",
    "12) item",
    "\u200b =1+1",
    "\ud800 lone surrogate",
]


def cell(table, method, column):
    keys = [one.key for one in table.columns]
    row = next(row for row in table.rows if row[0].text == method)
    return row[keys.index(column)]


def methods(table):
    return [row[0].text for row in table.rows]


def notes(table):
    return "\n".join(table.notes)


# --- names and rows


def test_a_name_has_just_the_fields_that_vary():
    records = [fake.record(weight=weight, steps_d=1, seed=seed) for weight in (1.0, 6.0) for seed in (0, 1)]
    assert row_names(records) == ["dann (weight=1)", "dann (weight=6)"]
    elsewhere = fake.record(weight=1.0, steps_d=1, task="b-to-c")
    assert row_names([*records[:2], elsewhere]) == ["dann"]


def test_training_and_other_methods_fields():
    records = [
        fake.record(weight=1.0),
        fake.record(weight=1.0, training={"learning_rate": 0.1}),
        fake.record(method="coral", weight=9.0),
    ]
    assert row_names(records)[1:] == ["dann (learning_rate=0.1)", "coral"]


def test_seeds_share_a_row_and_settings_never_do():
    weights = [0.1234567, 0.12345671, 1.0, 2.0]
    records = [fake.record(weight=weight, seed=seed) for weight in weights for seed in range(3)]
    (table,) = result_tables(records)
    assert len(set(methods(table))) == 4
    assert all(cell(table, name, "seeds").raw == (3, 0, 0, 0) for name in methods(table))


def test_a_field_that_only_some_records_have_separates_them():
    assert len(result_tables([fake.record(), fake.record(weight=1.0)])[0].rows) == 2


def test_two_results_of_one_run_raise():
    with pytest.raises(UserError, match="two results of 'dann'"):
        result_tables([fake.record(), fake.record(target=0.8)])


def test_source_only_first_bound_last_others_as_they_come():
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


# --- numbers


def test_gain_is_paired_on_common_seeds_only():
    base = fake.runs([0.50, 0.60, 0.70], method="source_only")
    ours = [fake.record(seed=seed, target=target) for seed, target in ((1, 0.62), (2, 0.73), (9, 0.10))]
    gain = cell(result_tables(base + ours)[0], "dann", "gain").raw
    assert gain[0] == pytest.approx(0.025)
    # differences .02 and .03: s = .00707, half width 12.7062 * .00707 / sqrt(2) = .0635
    assert gain[1] == pytest.approx(0.0635, abs=1e-4)
    assert gain[3] == 2


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        ([0.10, 0.11, 0.12], "gain"),
        ([-0.1, 0.1, 0.0], "no gain (inside noise)"),
        ([-0.1, -0.11, -0.12], "negative transfer"),
    ],
)
def test_verdict_in_words(shift, said):
    base = [0.5, 0.6, 0.7]
    records = fake.runs(base, method="source_only") + fake.runs([b + s for b, s in zip(base, shift, strict=True)])
    assert cell(result_tables(records)[0], "dann", "verdict").text == said


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
    """A transductive pair whose own upper bound knows what it is scored on, and the inductive pair's bound."""
    bound = {"method": "source_only", "labels_from": "target"}
    return [
        *fake.runs([0.6, 0.6], task="a@transductive", method="source_only"),
        *fake.runs([0.7, 0.7], task="a@transductive"),
        *fake.runs([1.0, 1.0], task="a@transductive", **bound),
        *fake.runs([0.8, 0.8], task="a", environment={"data": "f" * 64}, **bound),
    ]


def test_a_bound_of_held_out_rows_is_lent_to_the_transductive_table_and_bounds_the_gap():
    (table,) = result_tables(bounds())
    assert table.title == "a@transductive"
    held_out = "target only, held-out rows (upper bound)"
    assert methods(table)[2:] == ["target only (upper bound)", held_out]
    assert cell(table, held_out, "target_last").text == "80.0 ± 0.0"
    assert cell(table, held_out, "verdict").text == "upper bound"
    assert cell(table, "dann", "gap_closed").text == "50 %"  # of 60 to 80, not to 100
    assert "scored on its test split" in notes(table)
    assert "WARNING" not in notes(table)


def test_pairs_are_counted_without_the_tasks_that_lend_bounds():
    others = [
        fake.record(task="b@transductive", method=one, target=0.5, seed=i) for one in fake.METHODS for i in (0, 1)
    ]
    table = across_pairs_table([*bounds(), *others])
    assert table.notes[0].startswith("2 pairs.")
    assert methods(table) == ["source_only", "dann"]


def test_a_bound_is_not_lent_where_its_task_has_runs_of_its_own_or_stands_alone():
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


def test_a_grid_over_training_is_compared_value_by_value():
    records = []
    for rate, shift in ((0.1, 0.0), (0.01, 0.2)):
        training = {"learning_rate": rate}
        records += fake.runs([0.5 + shift, 0.6 + shift], method="source_only", training=training)
        records += fake.runs([0.6 + shift, 0.71 + shift], training=training)
    (table,) = result_tables(records)
    assert cell(table, "dann (learning_rate=0.01)", "gain").raw[0] == pytest.approx(0.105)
    assert "WARNING" not in notes(table)


def test_marks_of_best_near_oracle_and_bound():
    records = [
        *fake.runs([0.50, 0.51, 0.52], method="source_only"),
        *fake.runs([0.70, 0.71, 0.72], method="mcc"),
        *fake.runs([0.69, 0.72, 0.70], method="cdan"),
        *fake.runs([0.9, 0.9, 0.9], method="source_only", labels_from="target"),
    ]
    (table,) = result_tables(records)
    assert [row[3].mark for row in table.rows] == ["", "best", "near", ""]
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


def test_gains_are_over_source_only_whatever_reference_was_made_first():
    other = fake.runs([0.3, 0.31], method="staged_fine_tuning")
    for one in other:
        one.result["adapts"] = False
    records = [*other, *fake.runs([0.6, 0.62], method="source_only"), *fake.runs([0.7, 0.72], method="dann")]
    (dann,) = (row for row in build_rows(records) if row.name == "dann")
    assert reference_row(dann, build_rows(records)).name == "source_only"


def test_a_classical_method_is_read_against_its_own_classifier():
    names = ("nearest_neighbour", "svm", "logistic_regression")
    records = [fake.record(method=name, target=0.1 * i) for i, name in enumerate(names, 5)]
    for one in records:
        one.result["adapts"] = False
    wanted = {"1nn": "nearest_neighbour", "svm": "svm", "logistic": "logistic_regression"}
    records += [fake.record(method=f"map_{kind}", target=0.9, classifier=kind) for kind in wanted]
    records.append(fake.record(method="weighted", target=0.9))  # has no such field: by a logistic regression
    for one in records:
        one.config["training"] = one.config["model"] = None
    rows = build_rows(records)
    found = {row.name: reference_row(row, rows).name for row in rows if not row.is_source_only}
    assert found == {**{f"map_{kind}": name for kind, name in wanted.items()}, "weighted": "logistic_regression"}


def test_skipped_rows_show_why_and_diverged_runs_count():
    records = fake.suite()
    (table, _) = result_tables(records)
    assert cell(table, "shot", "verdict").text == "skipped: needs batch normalisation"
    assert cell(table, "dann", "seeds").text == "5 (1†)"
    assert cell(table, "dann", "target_last").raw[2] == 5
    assert "† Runs that diverged" in notes(table)


def test_failed_runs_are_shown_with_their_cause_and_are_in_no_mean():
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


# --- notes


def test_only_the_rules_that_are_asked_for_have_a_column():
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
    said = notes(result_tables(fake.runs([0.6, 0.7], environment={"dirty": True}))[0])
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
        assert part in said
    assert "WARNING" not in said


def test_declared_failures_of_checks_are_noted_once_with_their_reason():
    records = [*fake.runs([0.5], method="source_only"), *fake.runs([0.6, 0.7]), *fake.runs([0.7], method="coral")]
    assert "equal_domains_do_no_harm" not in notes(result_tables(records)[0])
    for record in records[1:]:
        record.result["expected_failed_checks"] = {"equal_domains_do_no_harm": "it draws noise"}
    said = "dann, coral: equal_domains_do_no_harm (it draws noise)."
    assert said in notes(result_tables(records)[0])


@pytest.mark.parametrize("field", ["commit", "data", "device"])
def test_records_that_disagree_are_said_loudly(field):
    records = [fake.record(), fake.record(seed=1, environment={field: "something else"})]
    assert re.search(f"WARNING: .*{field}", notes(result_tables(records)[0]))


# --- more tables


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
    assert [one.text for one in table.rows[0]] == ["dann", "52.5", "25.0", "n/a", "75.0"]


# --- errors


def test_user_errors():
    with pytest.raises(UserError, match="did you mean 'last'"):
        result_tables([fake.record()], rule="lst")
    for report in (result_tables, class_tables, across_pairs_table):
        with pytest.raises(UserError, match="da-bench run"):
            report([])


# --- formats


def hostile_table(name):
    columns = (Column("method", name), Column("score", "Score", ("mean", "n")))
    return Table(name, columns, ((Cell(name), Cell("0.5", (0.5, 3), "best")), (Cell("plain"), Cell("n/a"))), (name,))


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_is_inert(name):
    text = hostile_table(name).markdown()
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    inline = [one for token in tokens if token.type == "inline" for one in token.children]
    kinds = {token.type for token in tokens} | {token.type for token in inline}
    assert not kinds & {"html_block", "html_inline", "link_open", "code_inline", "em_open", "s_open", "image", "hr"}
    assert sum(token.type == "heading_open" for token in tokens) == 1
    assert sum(token.type == "list_item_open" for token in tokens) == 1
    assert sum(token.type == "th_open" for token in tokens) == 2
    assert sum(token.type == "td_open" for token in tokens) == 4
    # What the reader sees is the name, letter by letter, on one line.
    shown = " ".join(re.sub("[\x1b\u200b\ud800]", "", name).split())
    assert "".join(one.content for one in tokens[1].children) == shown


@pytest.mark.parametrize("name", HOSTILE)
def test_latex_is_inert(name):
    text = hostile_table(name).latex()
    row = next(line for line in text.splitlines() if "0.5" in line)
    assert row.endswith(r" & \textbf{0.5} \\")
    first = row.removesuffix(r" & \textbf{0.5} \\")
    known = r"\\text(backslash|less|greater|bar|asciitilde|asciicircum|asciigrave)\{\}|\\[{}$&#%_]|\{[\[*]\}|-\{\}"
    rest = re.sub(known, "", first)
    assert not set(rest) & set("\\{}$&#%_~^<>|\n")
    assert not first.startswith(("[", "*"))


@pytest.mark.parametrize("name", HOSTILE)
def test_csv_is_inert_and_complete(name):
    rows = list(csv.DictReader(io.StringIO(hostile_table(name).csv())))
    assert len(rows) == 2
    assert not rows[0]["method"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert (rows[0]["score.mean"], rows[0]["score.n"], rows[1]["score.mean"]) == ("0.5", "3", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_text_and_terminal_are_inert(name):
    table = hostile_table(name)
    text = table.text()
    page = Console(file=io.StringIO(), force_terminal=True, width=80, color_system="standard")
    page.print(table.rich())
    assert "\x1b" not in text
    assert "\x1b[31m" not in page.file.getvalue()
    # Title, grid of two rows, one note; a heading, and nothing else, may have a second line.
    assert len(text.splitlines()) == 1 + 6 + 1 + name.count("\n")
    if name.startswith("[bold"):
        assert name in text


def test_csv_keeps_all_digits_and_negative_numbers():
    records = fake.runs([1 / 3, 0.5], method="source_only") + fake.runs([0.1, 0.2])
    rows = list(csv.DictReader(io.StringIO(result_tables(records)[0].csv())))
    assert float(rows[0]["target_last.mean"]) == (1 / 3 + 0.5) / 2
    assert float(rows[1]["gain.mean"]) < 0


@pytest.mark.parametrize("name", HOSTILE)
def test_json_survives(name):
    data = json.loads(hostile_table(name).json().encode())
    assert data["rows"][0]["score"] == {"mean": 0.5, "n": 3}


def test_json_is_strict():
    text = result_tables([fake.record()])[0].json()
    data = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert data["rows"][0]["target_last"] == {"mean": 0.7, "half_width": None, "n": 1}


def test_a_narrow_terminal_shortens_nothing():
    (table, _) = result_tables(fake.suite())
    text = table.text(80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    assert "needs batch" in text
    assert text.count("target only (upper bound)") > 1


# --- files


def test_written_files_say_where_they_come_from(tmp_path):
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


def test_a_hostile_command_stays_in_its_comment(tmp_path):
    record = fake.record(environment={"command": "x --> <script>alert(1)</script>\n\\input{evil}"})
    markdown, latex, *_ = write_tables([record], tmp_path)
    tokens = MarkdownIt("commonmark", {"html": True}).parse(markdown.read_text())
    assert [token.content.count("\n") for token in tokens if token.type == "html_block"] == [1]
    assert "<script" not in markdown.read_text()
    assert r"\input" not in latex.read_text()


def test_writing_twice_gives_the_same_bytes(tmp_path):
    first, second = (write_tables(fake.suite(), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_import_is_light():
    code = "import sys, da_bench.reporting.tables.result_tables, da_bench.reporting.plots.write; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"scipy.stats", "matplotlib", "pandas"} & set(loaded)
