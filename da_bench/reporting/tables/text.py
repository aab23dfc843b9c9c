"""Text from records on one line."""

import unicodedata
from collections.abc import Iterable


def single_line(text: object) -> str:
    """One line without control characters: a name from a file must not move the cursor or start a new row."""
    given = str(text)
    if not given.isprintable():
        given = "".join(one for one in given if one.isspace() or not unicodedata.category(one).startswith("C"))
    return " ".join(given.split())


def join_unique(values: Iterable[object]) -> str:
    """Distinct values in order of first appearance, as text."""
    return ", ".join(dict.fromkeys(map(single_line, dict.fromkeys(map(str, values)))))
