"""Configuration: checked frozen dataclasses that are also JAX pytrees, registries of names, and errors for users.

A float field of a config dataclass is an array leaf, so a grid of its values runs in one compiled program. All other
fields (sizes, switches, tuples) are static: each value needs a program of its own.
"""

import dataclasses
import difflib
import functools
import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_type_hints

import jax
import pydantic
from pydantic import Field

T = TypeVar("T")

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # a larger one would be cut to 32 bits and equal another seed


def round_to_digits(value: float, digits: int) -> float:
    """Round a number to this many significant digits."""
    return float(f"{value:.{digits}g}")


class UserError(ValueError):
    """An input of the user is wrong. The message says what is wrong, where, and what to do.

    Attributes:
        code: exit code of the command that ends with this error.
    """

    code: ClassVar[int] = 2


class StorageError(UserError):
    """A file cannot be written: no space, or no permission. Existing files are unchanged."""

    code = 74


MAX_NAMES = 60  # that a message lists


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known name, or known names, at most `MAX_NAMES`."""
    known = sorted(known)
    if near := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"; did you mean '{near[0]}'?"
    if len(known) > MAX_NAMES:
        return f"; there are {len(known)}, such as {', '.join(known[:: len(known) // 5][:5])}"
    return f"; there are: {', '.join(known)}"


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to objects of one kind, in order of registration.

    Args:
        kind: what the objects are, for messages: "method", "task".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Register an object.

        Raises:
            UserError: another object has the name.
        """
        if self._entries.get(name, entry) is not entry:
            raise UserError(f"{self.kind} '{name}' is registered twice: {self._entries[name]} and {entry}")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> T:
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
    """Make `cls` a frozen, keyword-only dataclass with checked fields, and a JAX pytree whose leaves are its floats.

    Raises:
        UserError: from the constructor, for an unknown field (with the nearest known one), a value of the wrong type or
            out of range, NaN or infinity.
    """
    config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)
    checked = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=config)(cls)
    _raise_user_errors(checked)
    _register_pytree(checked)
    return checked  # type: ignore[return-value]


def _raise_user_errors(cls: Any) -> None:
    original = cls.__init__

    def init(self: Any, **values: Any) -> None:
        try:
            original(self, **values)
        except pydantic.ValidationError as error:
            raise UserError(_first_message(cls, error)) from None

    cls.__init__ = init


def _first_message(cls: Any, error: pydantic.ValidationError) -> str:
    fault = error.errors()[0]
    if fault["type"] == "value_error":  # from the class's own __post_init__, with a complete message
        return str(fault["ctx"]["error"])
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = [each.name for each in dataclasses.fields(cls)]
        return f"{cls.__name__} has no field '{path}'{did_you_mean(path, known)}"
    return f"{cls.__name__}.{path} = {fault['input']!r}: {fault['msg'].lower()}"


def _register_pytree(cls: Any) -> None:
    leaves = float_fields(cls)
    static = [each.name for each in dataclasses.fields(cls) if each.name not in leaves]

    def flatten(self: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        keyed = [(jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in leaves]
        return keyed, tuple(getattr(self, name) for name in static)

    def unflatten(aux: tuple[Any, ...], values: Iterable[Any]) -> Any:
        self = object.__new__(cls)  # without __init__: leaves may be tracers, which are not valid floats
        for name, value in [*zip(static, aux, strict=True), *zip(leaves, values, strict=True)]:
            object.__setattr__(self, name, value)
        return self

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)


def float_fields(cls: type) -> list[str]:
    """Names of the float fields of a config dataclass, which are its array leaves."""
    hints = get_type_hints(cls)  # without extras: Annotated[float, ...] reads as float
    return [each.name for each in dataclasses.fields(cls) if hints[each.name] is float]


def as_dict(value: Any) -> Any:
    """Convert a config dataclass to JSON-able values, with the registered `name` of its class first if it has one.

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


@functools.cache
def since_marks(cls: type) -> dict[str, str]:
    """Versions by field, for the fields that `field(since=...)` marks in it or in a parent class."""
    declared = [each for base in cls.__mro__ for each in vars(base).get("__dataclass_fields__", {}).values()]
    return {each.name: each.metadata["since"] for each in declared if "since" in each.metadata}


def snake_case(name: str) -> str:
    """Convert a class name: SourceOnly -> source_only."""
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def export_all(package: str, registry: Registry[Any]) -> None:
    """Import every module of `package`, and make its registered classes attributes of it: `methods.Dann`."""
    package_module = sys.modules[package]
    for module in pkgutil.iter_modules(package_module.__path__):
        importlib.import_module(f"{package}.{module.name}")
    for cls in registry.values():
        setattr(package_module, cls.__name__, cls)
