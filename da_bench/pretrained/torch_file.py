"""Reader of PyTorch's `.pth` files: state dicts, in today's zip format and in the format before torch 1.6.

Both formats describe tensors in protocol 2 of Python's serialisation, a language that can call any function. This
reader cannot. It interprets only the few instructions that state dicts consist of, and its calls build tensors and
dicts and nothing else. A file that names any other function is refused with that name.
"""

import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from da_bench.pretrained.files import damaged, read_bytes, unusable

MAGIC = 0x1950A86A20F9469CFC6C  # of the format before torch 1.6, followed by its version
VERSION = 1001
MAX_LINE = 200  # bytes
DTYPES = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}
CHECKPOINT_KEYS = ("state_dict", "model")  # under which training scripts keep the state dict


class _Name(NamedTuple):
    """A function or type named by the file, "module attribute". It is never imported."""

    name: str


class _Storage(NamedTuple):
    """The numbers behind one or more tensors.

    Attributes:
        key: of the storage in the file.
        dtype: of its numbers.
        shift: index of the first number that is used.
    """

    key: str
    dtype: np.dtype
    shift: int


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _RefusedError(Exception):
    """The file asks for something else than tensors."""


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a state dict by name.

    Raises:
        UserError: the file is not in this format, truncated, damaged, compressed, not a state dict, or names a function
            to be called.
    """
    content = read_bytes(path)
    try:
        return _read_zip(path) if content[:4] == b"PK\x03\x04" else _read_legacy(content)
    except _RefusedError as error:
        raise unusable(
            path, str(error), "save the network's state_dict() with torch.save, and give that file"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from None
    except (struct.error, zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise damaged(path, str(error)) from None


def _read_zip(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        for entry in entries.values():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise _RefusedError(f"'{entry.filename}' in it is compressed, which torch never does")
        if "data.pkl" not in entries:
            raise _RefusedError("it is a zip file without the 'data.pkl' of a state dict")
        if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
            raise _RefusedError("its numbers are big-endian")
        tensors = _state_dict(Machine(archive.read(entries["data.pkl"])).run())
        return {name: _array(t, archive.read(entries[f"data/{t.storage.key}"])) for name, t in tensors.items()}


def _read_legacy(content: bytes) -> dict[str, np.ndarray]:
    """Magic number, version, system, state dict and keys of the storages; then the length and numbers of each."""
    machine = Machine(content)
    if machine.run() != MAGIC or machine.run() != VERSION:
        raise _RefusedError("it is not a PyTorch file of a known format")
    machine.run()  # facts about the system that wrote it
    tensors, keys = _state_dict(machine.run()), machine.run()
    item_sizes = {tensor.storage.key: tensor.storage.dtype.itemsize for tensor in tensors.values()}
    storages, start = {}, machine.position
    for key in keys:
        (length,) = struct.unpack_from("<q", content, start)
        end = start + 8 + length * item_sizes[key]
        if length < 0 or end > len(content):
            raise ValueError(f"storage '{key}' would end at byte {end} of {len(content)}")
        storages[key] = content[start + 8 : end]
        start = end
    if start != len(content):
        raise ValueError(f"{len(content) - start} bytes belong to no tensor")
    return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _state_dict(value: Any) -> dict[str, _Tensor]:
    """The tensors of a state dict, or of the state dict in a checkpoint of a training script."""
    for key in CHECKPOINT_KEYS:
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    if not isinstance(value, dict) or not value:
        raise _RefusedError(f"it holds a {type(value).__name__}, not the tensors of a state dict")
    for name, tensor in value.items():
        if not isinstance(tensor, _Tensor):
            raise _RefusedError(f"'{name}' in it is a {type(tensor).__name__}, not a tensor")
    return value


def _array(tensor: _Tensor, storage: bytes) -> np.ndarray:
    dtype = tensor.storage.dtype
    if math.prod(tensor.size) * dtype.itemsize > len(storage) or min((*tensor.size, *tensor.stride, 0)) < 0:
        raise ValueError(f"a tensor of shape {tensor.size} is taken from {len(storage)} bytes")
    strides = [step * dtype.itemsize for step in tensor.stride]
    start = (tensor.storage.shift + tensor.offset) * dtype.itemsize
    return np.ndarray(tensor.size, dtype, storage, start, strides)  # raises if the view leaves the buffer


def _build_storage(kind: str, dtype: _Name, key: str, _device: str, _count: int, view: Any = None) -> _Storage:
    """Build a persistent id. `view` is (key, first number, count), in the legacy format alone."""
    if kind != "storage" or dtype.name not in DTYPES:
        raise _RefusedError(f"its numbers are of the unknown kind '{dtype.name}'")
    return _Storage(key, DTYPES[dtype.name], 0 if view is None else view[1])


def _build_tensor(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(size), tuple(stride))


BUILDERS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": lambda pairs=(): dict(pairs),
    "torch._utils _rebuild_tensor": _build_tensor,
    "torch._utils _rebuild_tensor_v2": _build_tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch Size": tuple,
}


class Machine:
    """Stack machine that interprets one serialised value after another from `content`.

    Every instruction takes at least one byte and builds one object, so time and memory are bounded by the size of the
    file.

    Attributes:
        content: bytes of the file.
        position: of the next byte.
        stack: values that instructions push and pop.
        marks: lengths of the stack at its marks.
        memo: values that later instructions can push again, by index.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Interpret the next value.

        Raises:
            _RefusedError: it asks for something else than tensors.
            ValueError, LookupError, TypeError, AttributeError, OverflowError, struct.error: it is damaged.
        """
        self.stack, self.marks, self.memo = [], [], {}
        while (code := self.take(1)) != b".":
            if code not in INSTRUCTIONS:
                raise _RefusedError(f"it holds the instruction {code!r}, which no state dict needs")
            INSTRUCTIONS[code](self)
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        """Read the next bytes."""
        taken = self.content[self.position : self.position + count]
        if len(taken) != count:
            raise ValueError("it ends in the middle of a value")
        self.position += count
        return taken

    def number(self, form: str) -> Any:
        """Read a number in a format of `struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Read a line of ASCII text."""
        end = self.content.index(b"\n", self.position, self.position + MAX_LINE)
        return self.take(end + 1 - self.position)[:-1].decode("ascii")

    def pop_to_mark(self) -> list[Any]:
        """Pop everything that was pushed since the last mark."""
        start = self.marks.pop()
        popped = self.stack[start:]
        del self.stack[start:]
        return popped

    def make_tuple(self, count: int) -> None:
        """Replace the last `count` values of the stack by a tuple of them."""
        if len(self.stack) < count:
            raise ValueError("it takes more values from the stack than there are")
        values = tuple(self.stack[len(self.stack) - count :])
        self.stack[len(self.stack) - count :] = [values]

    def push_name(self) -> None:
        """Push the name of a function or type, if it is an allowed one."""
        name = f"{self.line()} {self.line()}"
        if name not in BUILDERS and name not in DTYPES:
            raise _RefusedError(
                f"it asks for '{name.replace(' ', '.')}', which is not part of a state dict; nothing was run"
            )
        self.stack.append(_Name(name))

    def call_builder(self) -> None:
        """Replace a builder's name and a tuple of arguments by what it builds."""
        arguments, builder = self.stack.pop(), self.stack.pop()
        if not isinstance(builder, _Name) or not isinstance(arguments, tuple):
            raise ValueError("it calls something that is not a function")
        self.stack.append(BUILDERS[builder.name](*arguments))

    def set_items(self, pairs: list[Any]) -> None:
        """Put alternating keys and values into the dict on top of the stack."""
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, (str, int)):  # comparing nested tuples could take for ever
                raise ValueError(f"a dict has a {type(key).__name__} for a key")
            self.top_dict()[key] = value

    def top_dict(self) -> dict[Any, Any]:
        """The dict on top of the stack."""
        if not isinstance(self.stack[-1], dict):
            raise ValueError("it puts entries into something that is not a dict")
        return self.stack[-1]

    def extend_list(self, values: list[Any]) -> None:
        """Append values to the list on top of the stack."""
        if not isinstance(self.stack[-1], list):
            raise ValueError("it appends to something that is not a list")
        self.stack[-1].extend(values)

    def drop_state(self) -> None:
        """Pop attributes of a dict, such as versions of modules, which are not needed."""
        self.stack.pop()
        self.top_dict()

    def memoize(self, index: int) -> None:
        """Keep the top of the stack under an index."""
        self.memo[index] = self.stack[-1]


def _push(value: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(value(machine))


INSTRUCTIONS: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": lambda m: _check_protocol(m.number("B")),
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"}": _push(lambda m: {}),
    b"]": _push(lambda m: []),
    b")": _push(lambda m: ()),
    b"N": _push(lambda m: None),
    b"\x88": _push(lambda m: True),
    b"\x89": _push(lambda m: False),
    b"J": _push(lambda m: m.number("<i")),
    b"K": _push(lambda m: m.number("B")),
    b"M": _push(lambda m: m.number("<H")),
    b"G": _push(lambda m: m.number(">d")),
    b"\x8a": _push(lambda m: int.from_bytes(m.take(m.number("B")), "little", signed=True)),
    b"X": _push(lambda m: m.take(m.number("<I")).decode()),
    b"U": _push(lambda m: m.take(m.number("B")).decode("ascii")),  # of Python 2, in the oldest files
    b"c": Machine.push_name,
    b"R": Machine.call_builder,
    b"Q": lambda m: m.stack.append(_build_storage(*m.stack.pop())),
    b"t": lambda m: m.stack.append(tuple(m.pop_to_mark())),
    b"\x85": lambda m: m.make_tuple(1),
    b"\x86": lambda m: m.make_tuple(2),
    b"\x87": lambda m: m.make_tuple(3),
    b"s": lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    b"u": lambda m: m.set_items(m.pop_to_mark()),
    b"a": lambda m: m.extend_list([m.stack.pop()]),
    b"e": lambda m: m.extend_list(m.pop_to_mark()),
    b"b": Machine.drop_state,
    b"q": lambda m: m.memoize(m.number("B")),
    b"r": lambda m: m.memoize(m.number("<I")),
    b"h": lambda m: m.stack.append(m.memo[m.number("B")]),
    b"j": lambda m: m.stack.append(m.memo[m.number("<I")]),
}


def _check_protocol(version: int) -> None:
    if version != 2:
        raise _RefusedError(f"it is written in protocol {version}, not in torch's own, 2")
