"""Settings: frozen dataclasses that are at once configuration, documentation, record and JAX pytree.

A float field is an array leaf, so a whole grid of its values runs in one compiled program. Every other field
(sizes, switches, tuples) is static, so another value of it is another program.
"""

import dataclasses
import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_type_hints

import jax
import pydantic
from pydantic import Field

T = TypeVar("T")
Thing = TypeVar("Thing")

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # larger ones would be cut to 32 bits, and two seeds be one


def round_to_digits(value: float, digits: int) -> float:
    """A number to so many significant digits."""
    return float(f"{value:.{digits}g}")


class UserError(ValueError):
    """Something the user gave is wrong; the message names the thing, the place and the remedy.

    code: of the process that it ends.
    """

    code: ClassVar[int] = 2


class StorageError(UserError):
    """Something cannot be written: no space, no permission. What was there before still is."""

    code = 74


MAX_NAMES = 60  # that a message lists


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The ending "; did you mean 'dann'?" for the nearest known name, else the known names, of many only some."""
    known = sorted(known)
    if near := difflib.get_close_matches(name, known, n=1, cutoff=0.5):
        return f"; did you mean '{near[0]}'?"
    if len(known) > MAX_NAMES:
        return f"; there are {len(known)}, such as {', '.join(known[:: len(known) // 5][:5])}"
    return f"; there are: {', '.join(known)}"


class Registry(Mapping[str, Thing], Generic[Thing]):
    """Names to things of one kind ("method", "task"), in order of registration."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Thing] = {}

    def add(self, name: str, thing: Thing) -> None:
        """Register `thing`; another thing under the same name raises UserError."""
        if self._entries.get(name, thing) is not thing:
            raise UserError(f"{self.kind} '{name}' is registered twice: {self._entries[name]} and {thing}")
        self._entries[name] = thing

    def __getitem__(self, name: str) -> Thing:
        if name not in self._entries:
            raise UserError(f"unknown {self.kind} '{name}'{did_you_mean(name, self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def field(*, default: T, since: str) -> T:
    """Declare a field that was added after runs were recorded.

    `as_dict` leaves such a field out while it has its default value, so runs recorded before it existed keep their ids.
    A subclass inherits the mark, also where it declares the field again with another default.

    Args:
        default: value of the field in all earlier runs.
        since: version that added the field, as in "0.3".
    """
    return dataclasses.field(default=default, metadata={"since": since})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def config_dataclass(cls: type[T]) -> type[T]:
    """Make `cls` a frozen keyword-only dataclass whose fields are checked and whose float fields are leaves.

    Raises:
        UserError: from the constructor, for an unknown field (naming the nearest one), a value of the wrong type
            or out of its range, NaN or infinity.
    """
    config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)
    checked = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=config)(cls)
    _explain_errors(checked)
    _register_pytree(checked)
    return checked  # type: ignore[return-value]


def _explain_errors(cls: Any) -> None:
    build = cls.__init__

    def explained(self: Any, **values: Any) -> None:
        try:
            build(self, **values)
        except pydantic.ValidationError as error:
            raise UserError(_one_message(cls, error)) from None

    cls.__init__ = explained


def _one_message(cls: Any, error: pydantic.ValidationError) -> str:
    fault = error.errors()[0]
    if fault["type"] == "value_error":  # raised by the class's own __post_init__, which says it all
        return str(fault["ctx"]["error"])
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = [field.name for field in dataclasses.fields(cls)]
        return f"{cls.__name__} has no field '{place}'{did_you_mean(place, known)}"
    return f"{cls.__name__}.{place} = {fault['input']!r}: {fault['msg'].lower()}"


def _register_pytree(cls: Any) -> None:
    leaves = float_fields(cls)
    static = [field.name for field in dataclasses.fields(cls) if field.name not in leaves]

    def flatten(self: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        keyed = [(jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in leaves]
        return keyed, tuple(getattr(self, name) for name in static)

    def unflatten(aux: tuple[Any, ...], values: Iterable[Any]) -> Any:
        self = object.__new__(cls)  # not through __init__: leaves may be tracers, which are no valid floats
        for name, value in [*zip(static, aux, strict=True), *zip(leaves, values, strict=True)]:
            object.__setattr__(self, name, value)
        return self

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)


def float_fields(cls: type) -> list[str]:
    """Names of the float fields of a setting: its array leaves."""
    hints = get_type_hints(cls)  # without extras: Annotated[float, ...] reads as float
    return [field.name for field in dataclasses.fields(cls) if hints[field.name] is float]


def as_dict(value: Any) -> Any:
    """A setting as JSON-able values, with its class's registered `name` first where it has one.

    A field with a `since` mark (see `field`) appears only where its value differs from the default.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        since = since_marks(type(value))
        fields = {
            each.name: as_dict(getattr(value, each.name))
            for each in dataclasses.fields(value)
            if each.name not in since or getattr(value, each.name) != each.default
        }
        return {"name": value.name, **fields} if hasattr(value, "name") else fields
    if isinstance(value, (list, tuple)):
        return [as_dict(item) for item in value]
    return value


def since_marks(cls: type) -> dict[str, str]:
    """Versions by field, for the fields of a setting that `field(since=...)` marks in it or in a parent class."""
    declared = [each for base in cls.__mro__ for each in vars(base).get("__dataclass_fields__", {}).values()]
    return {each.name: each.metadata["since"] for each in declared if "since" in each.metadata}


def snake_case(name: str) -> str:
    """SourceOnly -> source_only."""
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def export_all(package: str, registry: Registry[Any]) -> None:
    """Import every file of `package` and set its registered classes as attributes of it: `methods.Dann`."""
    room = sys.modules[package]
    for module in pkgutil.iter_modules(room.__path__):
        importlib.import_module(f"{package}.{module.name}")
    for thing in registry.values():
        setattr(room, thing.__name__, thing)
