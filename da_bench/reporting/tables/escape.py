"""Text from records, made inert in the languages of the tables: never markup, a formula or a command."""

import html
import re

from da_bench.reporting.tables.text import single_line

# What GitHub's Markdown acts on, inside a line and at its start.
MARKUP = re.compile(
    r"[\\`*|~$@]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis; not the _ inside of source_only
    r"|\](?=[\[(:])|://|(?<=www)\."  # links
    r"|^\[(?=[ xX]\])|^(?:[+-]|#+|=+|-+)(?=\s|$)"  # tasks, lists, headings, rules
)
NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")

LATEX_LETTERS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", "±": r"$\pm$", "→": r"$\to$", "†": r"$\dagger$",
    "↓": r"$\downarrow$",
    # After the \\ of the row above, a bare [ or * would be its argument.
    "[": "{[}", "*": "{*}",
}  # fmt: skip


def escape_markdown(text: str) -> str:
    """`text` on one line, as GitHub shows it letter by letter: markup becomes entities, which are never markup."""
    line = html.escape(single_line(text), quote=False)
    line = MARKUP.sub(lambda found: _entities(found[0]), line)
    return NUMBERED.sub(lambda found: found[1] + _entities(found[2]), line)


def _entities(letters: str) -> str:
    return "".join(f"&#{ord(letter)};" for letter in letters)


def escape_latex(text: str) -> str:
    """`text` on one line with every letter that LaTeX would act on spelt out."""
    spelt = "".join(LATEX_LETTERS.get(letter, letter) for letter in single_line(text))
    return re.sub("-(?=-)", "-{}", spelt)  # the -- of a command's options would become a dash


def escape_csv(value: float | int | str | None) -> float | int | str | None:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = single_line(value)  # a leading apostrophe says "text" to a spreadsheet
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
