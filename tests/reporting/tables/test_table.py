"""Formats of tables, with names that try to be markup, a formula or a command."""

import csv
import io
import json
import re

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from da_bench.reporting.tables.result_tables import result_tables
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


def hostile_table(name):
    columns = (Column("method", name), Column("score", "Score", ("mean", "n")))
    return Table(name, columns, ((Cell(name), Cell("0.5", (0.5, 3), "best")), (Cell("plain"), Cell("n/a"))), (name,))


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_is_inert(name):
    text = hostile_table(name).markdown()
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    inline = [child for token in tokens if token.type == "inline" for child in token.children]
    kinds = {token.type for token in tokens} | {token.type for token in inline}
    assert not kinds & {"html_block", "html_inline", "link_open", "code_inline", "em_open", "s_open", "image", "hr"}
    assert sum(token.type == "heading_open" for token in tokens) == 1
    assert sum(token.type == "list_item_open" for token in tokens) == 1
    assert sum(token.type == "th_open" for token in tokens) == 2
    assert sum(token.type == "td_open" for token in tokens) == 4
    # What the reader sees is the name, letter by letter, on one line.
    shown = " ".join(re.sub("[\x1b\u200b\ud800]", "", name).split())
    assert "".join(child.content for child in tokens[1].children) == shown


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
def test_json_keeps_hostile_names(name):
    data = json.loads(hostile_table(name).json().encode())
    assert data["rows"][0]["score"] == {"mean": 0.5, "n": 3}


def test_json_is_strict():
    text = result_tables([fake.record()])[0].json()
    data = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert data["rows"][0]["target_last"] == {"mean": 0.7, "half_width": None, "n": 1}


def test_a_narrow_terminal_truncates_nothing():
    (table, _) = result_tables(fake.suite())
    text = table.text(80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    assert "needs batch" in text
    assert text.count("target only (upper bound)") > 1


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
