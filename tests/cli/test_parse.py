"""Command lines read by tyro: the wording of every mistake."""

import dataclasses
from typing import Literal

import pytest
from tyro.conf import Positional

from da_bench.cli.parse import Words, read, run_group, take
from da_bench.core.config import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cook:
    """Cook a dish.

    A long text with an option's name: --heat.
    """

    EXAMPLES = "  $ kitchen cook soup"

    dish: Positional[str]
    """What to cook."""
    cook_name: str
    """Who cooks."""
    heat: Literal["low", "high"] = "low"
    minutes: int = 3
    salt: float | None = None
    sizes: tuple[int, int] = (1, 2)
    quiet: bool = False

    def run(self):
        print(f"{self.cook_name} cooks {self.dish}")


def message(*words):
    with pytest.raises(UserError) as caught:
        read(Cook, Words("kitchen cook", list(words)))
    return str(caught.value)


GIVEN = ("soup", "--cook-name", "Ada")


def test_values_are_read():
    cook = read(Cook, Words("kitchen cook", [*GIVEN, "--sizes", "3", "4", "--quiet", "--salt", "-0.5"]))
    assert (cook.dish, cook.cook_name, cook.sizes, cook.quiet, cook.salt) == ("soup", "Ada", (3, 4), True, -0.5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "missing: DISH, --cook-name STR; see `kitchen cook --help`"),
        (("soup",), "missing: --cook-name STR; see `kitchen cook --help`"),
        ((*GIVEN, "--minutes", "x"), "--minutes: 'x' is not a whole number; see `kitchen cook --help`"),
        ((*GIVEN, "--minutes"), "--minutes needs a value; see `kitchen cook --help`"),
        ((*GIVEN, "--sizes", "3"), "--sizes needs 2 values; see `kitchen cook --help`"),
        ((*GIVEN, "--salt", "x"), "--salt: 'x' is not {None}|FLOAT; see `kitchen cook --help`"),
        ((*GIVEN, "--heat", "hihg"), "--heat: unknown value 'hihg'; did you mean 'high'? See `kitchen cook --help`"),
        ((*GIVEN, "--miuntes", "3"), "unknown option '--miuntes'; did you mean '--minutes'? See `kitchen cook --help`"),
        ((*GIVEN, "--miuntes=3"), "unknown option '--miuntes=3'; did you mean '--minutes'? See `kitchen cook --help`"),
        ((*GIVEN, "--xyz"), "unknown option '--xyz'; see `kitchen cook --help`"),
        ((*GIVEN, "salad"), "unexpected argument 'salad'; see `kitchen cook --help`"),
    ],
)
@pytest.mark.parametrize("columns", ["30", "80", "200"])
def test_a_mistake_is_one_line_at_any_width(columns, words, expected, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert message(*words) == expected


def test_help_has_the_text_and_the_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        read(Cook, Words("kitchen cook", ["--help"]))
    assert not stop.value.code
    printed = capsys.readouterr().out
    assert all(
        text in printed for text in ("Cook a dish.", "Examples:", "$ kitchen cook soup", "--cook-name STR", "Who")
    )


def test_a_group_lists_its_commands_and_runs_the_chosen_one(capsys):
    run_group({"cook": Cook}, Words("kitchen", []), "A kitchen.")
    printed = capsys.readouterr().out
    assert "A kitchen." in printed
    assert "Cook a dish." in printed
    run_group({"cook": Cook}, Words("kitchen", ["cook", *GIVEN]), "A kitchen.")
    assert capsys.readouterr().out == "Ada cooks soup\n"
    with pytest.raises(UserError, match="unknown command 'kitchen cokk'; did you mean 'cook'"):
        take({"cook": Cook}, Words("kitchen", ["cokk"]))
