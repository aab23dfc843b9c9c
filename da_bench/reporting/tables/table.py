"""A table and its five forms: terminal, Markdown, LaTeX, CSV, JSON.

Text from records is data in all of them, never markup, a formula or a command.
"""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table as RichTable
from rich.text import Text

from da_bench.reporting.tables.escape import escape_csv, escape_latex, escape_markdown
from da_bench.reporting.tables.text import single_line

Raw = float | int | str | None
Mark = Literal["", "best", "tied", "oracle", "other"]

STYLES = {"best": "bold", "tied": "underline", "oracle": "dim italic", "other": "dim italic"}
# Plain text has no bold: the marks are part of the cell.
PLAIN = {"best": "**{}**", "tied": "_{}_"}
MARKDOWN = {"best": "**{}**", "tied": "<u>{}</u>", "oracle": "*{}*", "other": "*{}*"}
LATEX = {"best": r"\textbf{{{}}}", "tied": r"\underline{{{}}}", "oracle": r"\textit{{{}}}", "other": r"\textit{{{}}}"}

MAX_COLUMN_WIDTH = 40  # characters in a terminal; longer text, such as why a method was skipped, is folded


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        key: name in CSV and JSON.
        title: heading; may have line breaks.
        parts: names of the raw numbers in its cells; empty for a column of text.
    """

    key: str
    title: str
    parts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: what is shown.
        raw: one value for each part of the column.
        mark: "best"; "tied", not significantly different from the best; "oracle"; "other", a number from another
            experiment; or "".
    """

    text: str
    raw: tuple[Raw, ...] = ()
    mark: Mark = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with formatted and raw numbers.

    Args:
        title: heading of the table.
        columns: k columns.
        rows: rows of k cells.
        notes: lines below the table.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def rich(self) -> "Page":
        """For `rich.print`: best in bold, tied underlined, in as many blocks as the terminal needs."""
        return Page(self)

    def text(self, width: int = 1000) -> str:
        """Plain text of at most `width` characters a line: **best**, _near_."""
        rows = [
            [_cell_text(column, cell, PLAIN) for column, cell in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]
        buffer = io.StringIO()
        console = Console(file=buffer, width=width, color_system=None)
        console.print(*_grids(self, rows, width), *(Text(single_line(note)) for note in self.notes), sep="\n")
        return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())

    def markdown(self) -> str:
        """A GitHub table with title and notes; names cannot open a tag, a link, a column or emphasis."""
        sides = [" ---: " if column.parts else " :--- " for column in self.columns]
        lines = [_markdown_row([escape_markdown(column.title) for column in self.columns]), f"|{'|'.join(sides)}|"]
        lines += [
            _markdown_row([_marked(escape_markdown(cell.text), cell, MARKDOWN) for cell in row]) for row in self.rows
        ]
        notes = "\n".join(f"- {escape_markdown(note)}" for note in self.notes)
        return f"### {escape_markdown(self.title)}\n\n" + "\n".join(lines) + f"\n\n{notes}\n"

    def latex(self) -> str:
        r"""A `table*` that needs only \usepackage{booktabs}; every special letter is escaped."""
        body = [_latex_row([_latex_heading(column) for column in self.columns]), r"\midrule"]
        body += [_latex_row([_marked(escape_latex(cell.text), cell, LATEX) for cell in row]) for row in self.rows]
        sides = "".join("r" if column.parts else "l" for column in self.columns)
        head = [
            r"\begin{table*}",
            r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escape_latex(self.title)}}}",
        ]
        notes = [rf"\par {escape_latex(note)}" for note in self.notes]
        grid = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"]
        return "\n".join([*head, *grid, *notes, r"\end{table*}"]) + "\n"

    def csv(self) -> str:
        """CSV with a column for each raw number ("target_last.mean"), with all digits; empty if there is none."""
        return tables_csv([self])

    def json(self) -> str:
        """Strict JSON, NaN as null: {"title", "columns": {key: title}, "rows": [{key: text or {part: n}}], "notes"}."""
        return json.dumps(self.data(), ensure_ascii=False, allow_nan=False, indent=1)

    def data(self) -> dict[str, Any]:
        """The values that `json` writes."""
        columns = {column.key: single_line(column.title) for column in self.columns}
        rows = [
            {column.key: _value(column, cell) for column, cell in zip(self.columns, row, strict=True)}
            for row in self.rows
        ]
        notes = [single_line(note) for note in self.notes]
        return {"title": single_line(self.title), "columns": columns, "rows": rows, "notes": notes}

    def flat(self) -> list[dict[str, Raw]]:
        """One flat dict a row: {"table": title, "method": text, "target_last.mean": number, ...}."""
        rows = []
        for row in self.rows:
            flat: dict[str, Raw] = {"table": self.title}
            for column, cell in zip(self.columns, row, strict=True):
                value = _value(column, cell)
                if isinstance(value, dict):
                    flat |= {f"{column.key}.{part}": value[part] for part in column.parts}
                else:
                    flat[column.key] = value
            rows.append(flat)
        return rows


@dataclasses.dataclass(frozen=True)
class Page:
    """A table for a terminal, laid out for the terminal's width when it is printed."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        table = self.table
        rows = [
            [
                Text(_cell_text(column, cell, {}).plain, STYLES.get(cell.mark, ""))
                for column, cell in zip(table.columns, row, strict=True)
            ]
            for row in table.rows
        ]
        yield from _grids(table, rows, options.max_width)
        yield from (
            Text(single_line(note), "bold red" if note.startswith("WARNING") else "dim") for note in table.notes
        )


def _grids(table: Table, rows: list[list[Text]], width: int) -> list[RichTable]:
    """One grid, or several below each other if the width needs them; each begins with the first column."""
    widths = [_column_width(column, [row[i] for row in rows]) for i, column in enumerate(table.columns)]
    blocks: list[list[int]] = [[0]]
    for i in range(1, len(widths)):
        available = width - 1 - sum(widths[j] for j in blocks[-1])
        if widths[i] > available and len(blocks[-1]) > 1:
            blocks.append([0])
        blocks[-1].append(i)
    grids = []
    for number, block in enumerate(blocks):
        title = single_line(table.title if number == 0 else f"{table.title} (continued)")
        grid = RichTable(title=Text(title, "bold"), title_justify="left")
        for column in (table.columns[i] for i in block):
            justify: Any = "right" if column.parts else "left"
            grid.add_column(Text(_heading(column)), justify=justify, overflow="fold", max_width=MAX_COLUMN_WIDTH)
        for row in rows:
            grid.add_row(*(row[i] for i in block))
        grids.append(grid)
    return grids


def _cell_text(column: Column, cell: Cell, marks: dict[str, str]) -> Text:
    # Only cells of numbers may have line breaks: a name with one could pass for two rows.
    lines = cell.text.split("\n") if column.parts else [cell.text]
    return Text(_marked("\n".join(single_line(line) for line in lines), cell, marks))


def _heading(column: Column) -> str:
    return "\n".join(single_line(line) for line in column.title.split("\n"))


def _column_width(column: Column, cells: list[Text]) -> int:
    """Width of a column in the terminal, with border and padding."""
    lines = [line for text in [_heading(column), *(cell.plain for cell in cells)] for line in text.split("\n")]
    return min(MAX_COLUMN_WIDTH, max(cell_len(line) for line in lines)) + 3


def tables_csv(tables: Sequence[Table]) -> str:
    """All tables as one CSV with the union of their columns; a cell is empty if its table has no such column."""
    rows = [row for table in tables for row in table.flat()]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writerow({name: escape_csv(name) for name in writer.fieldnames})
    writer.writerows({name: escape_csv(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def _value(column: Column, cell: Cell) -> Any:
    if not column.parts:
        return single_line(cell.text)
    raw = cell.raw or (None,) * len(column.parts)
    return {part: _finite(number) for part, number in zip(column.parts, raw, strict=True)}


def _finite(value: Raw) -> Raw:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _marked(text: str, cell: Cell, marks: dict[str, str]) -> str:
    return marks.get(cell.mark, "{}").format(text)


def _markdown_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _latex_heading(column: Column) -> str:
    lines = [escape_latex(line) for line in column.title.split("\n")]
    return lines[0] if len(lines) == 1 else r"\shortstack[r]{" + r" \\ ".join(lines) + "}"


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
