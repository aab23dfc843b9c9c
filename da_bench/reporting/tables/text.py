"""Text from records as one printable line."""

import unicodedata
from collections.abc import Iterable


def single_line(text: object) -> str:
    """Text on one line without control characters, so that a name can neither move the cursor nor start a new row."""
    characters = str(text)
    if not characters.isprintable():
        characters = "".join(
            character
            for character in characters
            if character.isspace() or not unicodedata.category(character).startswith("C")
        )
    return " ".join(characters.split())


def join_unique(values: Iterable[object]) -> str:
    """Distinct values as text, in order of first appearance, separated by commas."""
    return ", ".join(dict.fromkeys(map(single_line, dict.fromkeys(map(str, values)))))
