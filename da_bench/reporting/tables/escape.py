"""Escape text from records for Markdown, LaTeX and CSV, so that it is never markup, a command or a formula."""

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

LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", "±": r"$\pm$", "→": r"$\to$", "†": r"$\dagger$",
    "↓": r"$\downarrow$",
    # After the \\ of the row above, a bare [ or * would be its argument.
    "[": "{[}", "*": "{*}",
}  # fmt: skip


def escape_markdown(text: str) -> str:
    """Text on one line that GitHub shows character by character: markup becomes HTML entities."""
    line = html.escape(single_line(text), quote=False)
    line = MARKUP.sub(lambda match: _entities(match[0]), line)
    return NUMBERED.sub(lambda match: match[1] + _entities(match[2]), line)


def _entities(characters: str) -> str:
    return "".join(f"&#{ord(character)};" for character in characters)


def escape_latex(text: str) -> str:
    """Text on one line with every special character of LaTeX replaced by its command."""
    escaped = "".join(LATEX_CHARACTERS.get(character, character) for character in single_line(text))
    return re.sub("-(?=-)", "-{}", escaped)  # the -- of a command's options would become a dash


def escape_csv(value: float | int | str | None) -> float | int | str | None:
    """A value that no spreadsheet reads as a formula; numbers are unchanged."""
    if not isinstance(value, str):
        return value
    text = single_line(value)  # a leading apostrophe says "text" to a spreadsheet
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
