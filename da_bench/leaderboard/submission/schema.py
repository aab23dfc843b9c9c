"""What the files of a submission hold, field by field; a field too many or too few is an error, and so is a kind."""

import functools
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # typing's own is not enough for pydantic before Python 3.12

from da_bench.core.strict_json import StrictError
from da_bench.data.splits import Protocol
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.text import single_line

CODE = r"code/[a-z_][a-z0-9_]{0,40}\.py"
RUN = r"runs/[0-9a-f]{16}/(?:(?:config|result|curves|environment)\.json|predictions\.npz)"
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _plain(text: str) -> str:
    if text != single_line(text):
        raise ValueError("no control characters, and no space that is not single and between words")
    return text


def _bibtex(text: str) -> str:
    """Printable, an entry or several, and closed: what follows it in a file is not swallowed."""
    lines = [line.strip() for line in text.splitlines()]
    closed = text.count("{") == text.count("}")
    if text and not (re.match(r"@[A-Za-z]+\{", text) and closed and all(line == single_line(line) for line in lines)):
        raise ValueError("want BibTeX entries, each @kind{...} with its braces closed")
    return text


def _rule(name: str) -> str:
    check_rule(name)
    return name


Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+()-]{0,59}$"), AfterValidator(_plain)]
Author = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_plain)]
Link = Annotated[str, Field(pattern=r"^https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~/%+-]*)?$", max_length=300)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Evaluation = Annotated[int, Field(ge=0)]
Word = Annotated[str, Field(max_length=300)]
Numbers = list[float | None]


@with_config(STRICT)
class Manifest(TypedDict):
    """Who submits what. rule: the selection rule declared for the comparison; files: path -> sha256."""

    schema: Literal[1]
    name: Name
    authors: Annotated[list[Author], Field(min_length=1, max_length=50)]
    link: Link | None
    citation: Annotated[str, Field(max_length=4000), AfterValidator(_bibtex)]
    rule: Annotated[str, AfterValidator(_rule)]
    files: dict[Annotated[str, Field(pattern=rf"^(?:{CODE}|{RUN})$")], Sha256]


@with_config(STRICT)
class Chosen(TypedDict):
    """What one selection rule reports."""

    evaluation: Evaluation
    step: Evaluation
    source_accuracy: Share
    source_macro: Share
    target_accuracy: Share
    target_macro: Share
    target_per_class: list[Share | None]


@with_config(STRICT)
class Seconds(TypedDict):
    """Wall time."""

    compile: float
    run: float
    together: int


@with_config(STRICT)
class Result(TypedDict):
    """A result.json, as `da_bench.studies.judge` writes it of a run that was made."""

    status: Literal["ok", "diverged"]
    adapts: bool
    expected_failed_checks: dict[Word, Word]
    protocol: Protocol
    split: Word
    classes: list[Word]
    rules: dict[Word, Chosen]
    proxy_a_distance: float | None
    transferability: dict[Word, float | None] | None
    seconds: Seconds
    peak_bytes: dict[Word, Annotated[int, Field(ge=0)] | None]
    state: Sha256 | None


@with_config(STRICT)
class Curves(TypedDict):
    """A curves.json: one value an evaluation."""

    step: Annotated[list[Evaluation], Field(min_length=1)]
    source_accuracy: list[Share]
    target_accuracy: list[Share]
    source_macro: list[Share]
    target_macro: list[Share]
    validators: dict[Word, Numbers]
    metrics: dict[Word, Numbers]


@with_config(STRICT)
class Environment(TypedDict):
    """An environment.json."""

    commit: Word | None
    dirty: bool | None
    command: Word
    packages: dict[Word, Word]
    python: Word
    platform: Word
    device: Word
    device_count: Annotated[int, Field(ge=1)]
    data: Sha256
    seed: Evaluation


@with_config({**STRICT, "extra": "allow"})
class Named(TypedDict):
    """A method or a model: a registered name, and fields of its own."""

    name: Word


@with_config(STRICT)
class Config(TypedDict):
    """A config.json; what its parts hold is for `da_bench.studies.experiment` to say."""

    schema: Literal[2]
    task: Word
    method: Named
    model: Named | None
    training: dict[Word, Any] | None
    view: dict[Word, Any] | None
    labels_from: Literal["source", "target"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


PARTS = {"config": Config, "result": Result, "curves": Curves, "environment": Environment}


def fits(kind: Any, value: Any, where: str) -> Any:
    """`value`, if it is of this kind.

    Raises:
        StrictError: it is not; the message names the place in it.
    """
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(single_line(part)[:60] for part in fault["loc"]) or "it"
        raise StrictError(
            f"{where}: {place}: {fault['msg'].lower()}; `da-bench submit pack` writes it as it has to be"
        ) from None


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
