"""Schema of the JSON files of a submission. An unknown, missing or wrongly typed field is an error."""

import functools
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from da_bench.core.strict_json import StrictError
from da_bench.data.splits import Protocol
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.text import single_line

CODE = r"code/[a-z_][a-z0-9_]{0,40}\.py"
RUN = r"runs/[0-9a-f]{16}/(?:(?:config|result|curves|environment)\.json|predictions\.npz)"
SHORT = 300  # letters of a short text
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _plain(text: str) -> str:
    if text != single_line(text):
        raise ValueError("want words separated by single spaces, without control characters")
    return text


def _bibtex(text: str) -> str:
    """Printable BibTeX entries with closed braces, which cannot swallow what follows them in a file."""
    lines = [line.strip() for line in text.splitlines()]
    is_closed = text.count("{") == text.count("}")
    if text and not (
        re.match(r"@[A-Za-z]+\{", text) and is_closed and all(line == single_line(line) for line in lines)
    ):
        raise ValueError("want BibTeX entries, each @kind{...} with its braces closed")
    return text


def _rule(name: str) -> str:
    check_rule(name)
    return name


Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+()-]{0,59}$"), AfterValidator(_plain)]
Author = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_plain)]
Link = Annotated[str, Field(pattern=r"^https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~/%+-]*)?$", max_length=SHORT)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
ShortText = Annotated[str, Field(max_length=SHORT)]
Numbers = list[float | None]


@with_config(STRICT)
class Manifest(TypedDict):
    """A manifest.json.

    Attributes:
        schema: version of this format.
        name: name of the submission on the leaderboard.
        authors: 1 to 50 names.
        link: https address of a page with more about it.
        citation: BibTeX entries; may be empty.
        rule: the selection rule declared for comparisons.
        files: path of every other file -> its sha256.
    """

    schema: Literal[1]
    name: Name
    authors: Annotated[list[Author], Field(min_length=1, max_length=50)]
    link: Link | None
    citation: Annotated[str, Field(max_length=4000), AfterValidator(_bibtex)]
    rule: Annotated[str, AfterValidator(_rule)]
    files: dict[Annotated[str, Field(pattern=rf"^(?:{CODE}|{RUN})$")], Sha256]


@with_config(STRICT)
class Selected(TypedDict):
    """What one selection rule reports: an evaluation (from 0), its step, and accuracies in [0, 1]."""

    evaluation: Count
    step: Count
    source_accuracy: Share
    source_macro: Share
    target_accuracy: Share
    target_macro: Share
    target_per_class: list[Share | None]


@with_config(STRICT)
class Seconds(TypedDict):
    """Wall time in seconds, and the number of runs that shared it."""

    compile: float
    run: float
    together: int


@with_config(STRICT)
class Result(TypedDict):
    """The result.json of a finished run."""

    status: Literal["ok", "diverged"]
    adapts: bool
    expected_failed_checks: dict[ShortText, ShortText]
    protocol: Protocol
    split: ShortText
    classes: list[ShortText]
    rules: dict[ShortText, Selected]
    proxy_a_distance: float | None
    transferability: dict[ShortText, float | None] | None
    seconds: Seconds
    peak_bytes: dict[ShortText, Count | None]
    state: Sha256 | None


@with_config(STRICT)
class Curves(TypedDict):
    """A curves.json: one value for each evaluation."""

    step: Annotated[list[Count], Field(min_length=1)]
    source_accuracy: list[Share]
    target_accuracy: list[Share]
    source_macro: list[Share]
    target_macro: list[Share]
    validators: dict[ShortText, Numbers]
    metrics: dict[ShortText, Numbers]


@with_config(STRICT)
class Environment(TypedDict):
    """An environment.json."""

    commit: ShortText | None
    dirty: bool | None
    command: ShortText
    packages: dict[ShortText, ShortText]
    python: ShortText
    platform: ShortText
    device: ShortText
    device_count: Annotated[int, Field(ge=1)]
    data: Sha256
    seed: Count


@with_config({**STRICT, "extra": "allow"})
class Component(TypedDict):
    """A method or a model: its registered name and its fields."""

    name: ShortText


@with_config(STRICT)
class Config(TypedDict):
    """A config.json. Whether the fields of its parts are valid is for `da_bench.studies.experiment` to decide."""

    schema: Literal[2]
    task: ShortText
    method: Component
    model: Component | None
    training: dict[ShortText, Any] | None
    view: dict[ShortText, Any] | None
    labels_from: Literal["source", "target"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


PARTS = {"config": Config, "result": Result, "curves": Curves, "environment": Environment}


def validate(schema: Any, value: Any, where: str) -> Any:
    """`value`, if it fits a schema.

    Args:
        schema: one of the typed dictionaries above.
        value: parsed JSON.
        where: name of the file, for error messages.

    Raises:
        StrictError: it does not fit; the message names the field.
    """
    try:
        return _adapter(schema).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(single_line(part)[:60] for part in problem["loc"]) or "the value"
        raise StrictError(
            f"{where}: {field}: {problem['msg'].lower()}; `da-bench submit pack` writes valid files"
        ) from None


@functools.cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)
