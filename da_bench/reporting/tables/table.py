"""One table and its five forms. Text from records is data in all of them: never markup, a formula or a command."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table as RichTable
from rich.text import Text

from da_bench.reporting.tables.escape import escape_csv, escape_latex, escape_markdown
from da_bench.reporting.tables.text import single_line

Raw = float | int | str | None

STYLES = {"best": "bold", "near": "underline", "oracle": "dim italic", "other": "dim italic"}
# Text without a terminal has no bold: the marks stand in the cell.
PLAIN = {"best": "**{}**", "near": "_{}_"}
MARKDOWN = {"best": "**{}**", "near": "<u>{}</u>", "oracle": "*{}*", "other": "*{}*"}
LATEX = {"best": r"\textbf{{{}}}", "near": r"\underline{{{}}}", "oracle": r"\textit{{{}}}", "other": r"\textit{{{}}}"}

WIDEST = 40  # letters in a column of a terminal; longer text, such as why a method was skipped, is folded


@dataclasses.dataclass(frozen=True)
class Column:
    """A heading, which may have line breaks, and the names of the raw numbers below it; no parts: text."""

    key: str
    title: str
    parts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is shown, one raw value for each of the column's parts, and its mark.

    mark: "best", "near" (not distinguishable from it), "oracle", "other" (another experiment's) or "".
    """

    text: str
    raw: tuple[Raw, ...] = ()
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """title, columns [k], rows of k cells, notes below: numbers as shown and, next to them, as they are."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def rich(self) -> "Page":
        """For `rich.print`: best bold, not distinguishable underlined, in as many blocks as the terminal needs."""
        return Page(self)

    def text(self, width: int = 1000) -> str:
        """Plain text at most `width` letters wide: best as **best**, not distinguishable as _not distinguishable_."""
        rows = [[_lines(column, cell, PLAIN) for column, cell in self._pairs(row)] for row in self.rows]
        sheet = io.StringIO()
        console = Console(file=sheet, width=width, color_system=None)
        console.print(*self._grids(rows, width), *(Text(single_line(note)) for note in self.notes), sep="\n")
        return "".join(f"{line.rstrip()}\n" for line in sheet.getvalue().splitlines())

    def _pairs(self, row: tuple[Cell, ...]) -> list[tuple[Column, Cell]]:
        return list(zip(self.columns, row, strict=True))

    def _grids(self, rows: list[list[Text]], width: int) -> list[RichTable]:
        """One grid, or as many below each other as the width needs; each begins with the first column."""
        widths = [_width(column, [row[i] for row in rows]) for i, column in enumerate(self.columns)]
        blocks: list[list[int]] = [[0]]
        for i in range(1, len(widths)):
            room = width - 1 - sum(widths[j] for j in blocks[-1])
            blocks = [*blocks, [0, i]] if widths[i] > room and len(blocks[-1]) > 1 else [*blocks[:-1], [*blocks[-1], i]]
        titles = [self.title, *[f"{self.title} (continued)"] * (len(blocks) - 1)]
        return [self._grid(title, block, rows) for title, block in zip(titles, blocks, strict=True)]

    def _grid(self, title: str, block: list[int], rows: list[list[Text]]) -> RichTable:
        grid = RichTable(title=Text(single_line(title), "bold"), title_justify="left")
        for column in (self.columns[i] for i in block):
            side: Any = "right" if column.parts else "left"
            grid.add_column(Text(_heading(column)), justify=side, overflow="fold", max_width=WIDEST)
        for row in rows:
            grid.add_row(*(row[i] for i in block))
        return grid

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
        """Raw numbers in columns of their own ("target_last.mean"), all digits, empty where there is none."""
        return tables_csv([self])

    def json(self) -> str:
        """Strict JSON, NaN as null: {"title", "columns": {key: title}, "rows": [{key: text or {part: n}}], "notes"}."""
        return json.dumps(self.data(), ensure_ascii=False, allow_nan=False, indent=1)

    def data(self) -> dict[str, Any]:
        """What `json` writes, as Python values."""
        columns = {column.key: single_line(column.title) for column in self.columns}
        rows = [
            {column.key: _value(column, cell) for column, cell in zip(self.columns, row, strict=True)}
            for row in self.rows
        ]
        notes = [single_line(note) for note in self.notes]
        return {"title": single_line(self.title), "columns": columns, "rows": rows, "notes": notes}

    def flat(self) -> list[dict[str, Raw]]:
        """One flat dict a row: {"table": title, "method": text, "target_last.mean": number, ...}."""
        return [{"table": self.title, **_flat_row(self.columns, row)} for row in self.rows]


@dataclasses.dataclass(frozen=True)
class Page:
    """A table for a terminal, laid out for the terminal's width when it is printed."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        table = self.table
        rows = [[_styled(column, cell) for column, cell in table._pairs(row)] for row in table.rows]
        yield from table._grids(rows, options.max_width)
        yield from (
            Text(single_line(note), "bold red" if note.startswith("WARNING") else "dim") for note in table.notes
        )


def _styled(column: Column, cell: Cell) -> Text:
    return Text(_lines(column, cell, {}).plain, STYLES.get(cell.mark, ""))


def _lines(column: Column, cell: Cell, marks: dict[str, str]) -> Text:
    # Only numbers may break their line: a name that does is a name that plays at being two rows.
    lines = cell.text.split("\n") if column.parts else [cell.text]
    return Text(_marked("\n".join(single_line(line) for line in lines), cell, marks))


def _heading(column: Column) -> str:
    return "\n".join(single_line(line) for line in column.title.split("\n"))


def _width(column: Column, cells: list[Text]) -> int:
    """Columns of the terminal that it takes, with its border and padding."""
    lines = [line for text in [_heading(column), *(cell.plain for cell in cells)] for line in text.split("\n")]
    return min(WIDEST, max(cell_len(line) for line in lines)) + 3


def tables_csv(tables: list[Table]) -> str:
    """All `tables` as one CSV, its columns the union of theirs; empty where a row has none."""
    rows = [row for table in tables for row in table.flat()]
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writerow({name: escape_csv(name) for name in writer.fieldnames})
    writer.writerows({name: escape_csv(value) for name, value in row.items()} for row in rows)
    return sheet.getvalue()


def _flat_row(columns: tuple[Column, ...], row: tuple[Cell, ...]) -> dict[str, Raw]:
    flat: dict[str, Raw] = {}
    for column, cell in zip(columns, row, strict=True):
        value = _value(column, cell)
        flat |= (
            {f"{column.key}.{part}": value[part] for part in column.parts}
            if isinstance(value, dict)
            else {column.key: value}
        )
    return flat


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
