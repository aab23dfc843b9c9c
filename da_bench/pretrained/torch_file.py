"""PyTorch's `.pth` files: state dicts, in the zip form of today and the form before torch 1.6.

Both describe the tensors in protocol 2 of Python's own serialisation, a language that can call any function. Nothing
here can: the few instructions that a state dict is written in are read by an own machine, whose calls build tensors and
dicts and nothing else, and whatever names another function is refused by that name.
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

MAGIC = 0x1950A86A20F9469CFC6C  # of the form before torch 1.6, followed by its version
VERSION = 1001
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
WRAPPED = ("state_dict", "model")  # keys under which training scripts keep the state dict of a checkpoint


class _Name(NamedTuple):
    """A function or type that the file names, never looked up."""

    name: str


class _Storage(NamedTuple):
    """Where the numbers of a tensor are; shift: the first of them, in numbers."""

    key: str
    dtype: np.dtype
    shift: int


class _Tensor(NamedTuple):
    """A view of a storage, in numbers."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _RefusedError(Exception):
    """The file asks for something else than tensors."""


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name.

    Raises:
        UserError: it is no such file, truncated, damaged, compressed, not a state dict, or asks to run something.
    """
    content = read_bytes(path)
    try:
        return _zipped(path) if content[:4] == b"PK\x03\x04" else _before(content)
    except _RefusedError as error:
        raise unusable(
            path, str(error), "save the network's state_dict() with torch.save, and give that file"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from None
    except (struct.error, zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise damaged(path, str(error)) from None


def _zipped(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        for info in infos.values():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise _RefusedError(f"'{info.filename}' in it is compressed, as torch never does")
        if "data.pkl" not in infos:
            raise _RefusedError("it is a zip file without the 'data.pkl' of a state dict")
        if "byteorder" in infos and archive.read(infos["byteorder"]) != b"little":
            raise _RefusedError("its numbers are big-endian")
        described = Machine(archive.read(infos["data.pkl"])).run()
        return _state(described, lambda key: archive.read(infos[f"data/{key}"]))


def _before(content: bytes) -> dict[str, np.ndarray]:
    """Four descriptions one after another, the keys of the storages, and these: a length each, and its numbers."""
    machine = Machine(content)
    if machine.run() != MAGIC or machine.run() != VERSION:
        raise _RefusedError("it is no PyTorch file of a known form")
    machine.run()  # of the machine that wrote it
    described, keys, at = machine.run(), machine.run(), 0
    storages, at = {}, machine.at
    sizes = {one.storage.key: one.storage.dtype.itemsize for one in _tensors(described).values()}
    for key in keys:
        (length,) = struct.unpack_from("<q", content, at)
        end = at + 8 + length * sizes[key]
        if length < 0 or end > len(content):
            raise ValueError(f"storage '{key}' would end at byte {end} of {len(content)}")
        storages[key] = content[at + 8 : end]
        at = end
    if at != len(content):
        raise ValueError(f"{len(content) - at} bytes belong to no tensor")
    return _state(described, storages.__getitem__)


def _tensors(described: Any) -> dict[str, _Tensor]:
    """The tensors of a state dict, or of the one that a checkpoint of a training script holds."""
    for key in WRAPPED:
        if isinstance(described, dict) and isinstance(described.get(key), dict):
            described = described[key]
    if not isinstance(described, dict) or not described:
        raise _RefusedError(f"it holds a {type(described).__name__}, not the tensors of a state dict")
    for name, one in described.items():
        if not isinstance(one, _Tensor):
            raise _RefusedError(f"'{name}' in it is a {type(one).__name__}, not a tensor")
    return described


def _state(described: Any, storage: Callable[[str], bytes]) -> dict[str, np.ndarray]:
    return {name: _array(one, storage(one.storage.key)) for name, one in _tensors(described).items()}


def _array(tensor: _Tensor, numbers: bytes) -> np.ndarray:
    dtype = tensor.storage.dtype
    if math.prod(tensor.size) * dtype.itemsize > len(numbers) or min((*tensor.size, *tensor.stride, 0)) < 0:
        raise ValueError(f"a tensor of shape {tensor.size} is taken from {len(numbers)} bytes")
    strides = [step * dtype.itemsize for step in tensor.stride]
    start = (tensor.storage.shift + tensor.offset) * dtype.itemsize
    return np.ndarray(tensor.size, dtype, numbers, start, strides)  # which stays within the buffer, or raises


def _storage(kind: str, of: _Name, key: str, _place: str, _count: int, view: Any = None) -> _Storage:
    """The persistent ids of a file; view: (key, first number, count), of the old form alone."""
    if kind != "storage" or of.name not in DTYPES:
        raise _RefusedError(f"its numbers are of the unknown kind '{of.name}'")
    return _Storage(key, DTYPES[of.name], 0 if view is None else view[1])


def _tensor(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(size), tuple(stride))


BUILDERS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": lambda pairs=(): dict(pairs),
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch Size": tuple,
}


class Machine:
    """Reads one description after another from `content`; `at`: the byte after the last.

    Every instruction takes a byte at least and builds one thing, so time and memory are bounded by the file's size.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The next description, to its end.

        Raises:
            ValueError and its like: it is damaged.
        """
        self.stack, self.marks, self.memo = [], [], {}
        while (code := self.take(1)) != b".":
            if code not in INSTRUCTIONS:
                raise _RefusedError(f"it holds the instruction {code!r}, which no state dict needs")
            INSTRUCTIONS[code](self)
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        """The next bytes."""
        taken = self.content[self.at : self.at + count]
        if len(taken) != count:
            raise ValueError("it ends within its description")
        self.at += count
        return taken

    def number(self, form: str) -> Any:
        """The next number, in a form of `struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """The next line of ASCII."""
        end = self.content.index(b"\n", self.at, self.at + 200)
        return self.take(end + 1 - self.at)[:-1].decode("ascii")

    def since_mark(self) -> list[Any]:
        """What was put on the stack since the last mark, taken from it."""
        place = self.marks.pop()
        taken = self.stack[place:]
        del self.stack[place:]
        return taken

    def tuple_of(self, count: int) -> None:
        """The last entries of the stack, made one."""
        if len(self.stack) < count:
            raise ValueError("it takes what it did not put there")
        taken = tuple(self.stack[len(self.stack) - count :])
        self.stack[len(self.stack) - count :] = [taken]

    def name(self) -> None:
        """A function or type: put there by its name, if it is one of those known."""
        name = f"{self.line()} {self.line()}"
        if name not in BUILDERS and name not in DTYPES:
            raise _RefusedError(
                f"it asks for '{name.replace(' ', '.')}', which is no part of a state dict; nothing was run"
            )
        self.stack.append(_Name(name))

    def call(self) -> None:
        """What a named builder makes of its arguments."""
        arguments, builder = self.stack.pop(), self.stack.pop()
        if not isinstance(builder, _Name) or not isinstance(arguments, tuple):
            raise ValueError("it calls what is no function")
        self.stack.append(BUILDERS[builder.name](*arguments))

    def put(self, pairs: list[Any]) -> None:
        """Keys and values in turn, into the dict below them."""
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, (str, int)):  # a nest of tuples would take for ever to be compared
                raise ValueError(f"a dict has a {type(key).__name__} for a key")
            self.dict_below()[key] = value

    def dict_below(self) -> dict[Any, Any]:
        """The dict on top of the stack."""
        if not isinstance(self.stack[-1], dict):
            raise ValueError("it puts entries into what is no dict")
        return self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        """Values, into the list below them."""
        if not isinstance(self.stack[-1], list):
            raise ValueError("it appends to what is no list")
        self.stack[-1].extend(values)

    def drop_state(self) -> None:
        """Attributes of a dict, such as the versions of modules: not needed."""
        self.stack.pop()
        self.dict_below()

    def remember(self, place: int) -> None:
        """The top of the stack, to be put there again."""
        self.memo[place] = self.stack[-1]


def _pushed(value: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(value(machine))


INSTRUCTIONS: dict[bytes, Callable[[Machine], None]] = {
    b"\x80": lambda m: _check_protocol(m.number("B")),
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"}": _pushed(lambda m: {}),
    b"]": _pushed(lambda m: []),
    b")": _pushed(lambda m: ()),
    b"N": _pushed(lambda m: None),
    b"\x88": _pushed(lambda m: True),
    b"\x89": _pushed(lambda m: False),
    b"J": _pushed(lambda m: m.number("<i")),
    b"K": _pushed(lambda m: m.number("B")),
    b"M": _pushed(lambda m: m.number("<H")),
    b"G": _pushed(lambda m: m.number(">d")),
    b"\x8a": _pushed(lambda m: int.from_bytes(m.take(m.number("B")), "little", signed=True)),
    b"X": _pushed(lambda m: m.take(m.number("<I")).decode()),
    b"U": _pushed(lambda m: m.take(m.number("B")).decode("ascii")),  # of Python 2, in the oldest files
    b"c": Machine.name,
    b"R": Machine.call,
    b"Q": lambda m: m.stack.append(_storage(*m.stack.pop())),
    b"t": lambda m: m.stack.append(tuple(m.since_mark())),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"s": lambda m: m.put([m.stack.pop(-2), m.stack.pop()]),
    b"u": lambda m: m.put(m.since_mark()),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.since_mark()),
    b"b": Machine.drop_state,
    b"q": lambda m: m.remember(m.number("B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"h": lambda m: m.stack.append(m.memo[m.number("B")]),
    b"j": lambda m: m.stack.append(m.memo[m.number("<I")]),
}


def _check_protocol(version: int) -> None:
    if version != 2:
        raise _RefusedError(f"it is written in protocol {version}, not in torch's own, 2")
