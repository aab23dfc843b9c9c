"""TensorFlow Lite files: the arrays of each layer, dequantised, by an own reader of the few tables that hold them.

A `.tflite` file is a FlatBuffer: tables of optional fields, each found by an offset from where it is referred to. Every
offset and length is held against the file before it is followed. What the tables are is TensorFlow's
`tensorflow/compiler/mlir/lite/schema/schema.fbs`; the field numbers here are places in its tables.

Quantised values stand for scale (q - zero point), a scale for each output channel of a kernel (Jacob et al.,
Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018,
arXiv:1712.05877, Eq. 1). Biases are int32 whose scale is that of input times kernel.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.pretrained.files import damaged, read_bytes, unusable

TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 7: "<i2", 9: "i1"}  # TensorType
LAYERS = {3: "conv", 4: "depthwise", 9: "dense"}  # BuiltinOperator: those that have arrays
MOST = 100_000  # entries of one vector of tables
LARGEST = 1e6  # scale; of more, float32 would not hold the values


class Layer(NamedTuple):
    """One layer with arrays, in the order of computation; all float32.

    kind: "conv", kernel [h, w, c, out]; "depthwise", kernel [h, w, c, 1]; "dense", kernel [c, out]. bias [out].
    """

    kind: str
    kernel: np.ndarray
    bias: np.ndarray


class _Table(NamedTuple):
    """A table of the buffer: `at` is where it starts."""

    buffer: bytes
    at: int

    def _number(self, form: str, at: int) -> int:
        number: int = struct.unpack_from(form, self.buffer, self._within(at, struct.calcsize(form)))[0]
        return number

    def _within(self, at: int, size: int) -> int:
        if at < 0 or size < 0 or at + size > len(self.buffer):
            raise ValueError(f"it points to bytes {at} to {at + size} of {len(self.buffer)}")
        return at

    def _field(self, field: int) -> int | None:
        """Where a field is; None where it has its default."""
        vtable = self.at - self._number("<i", self.at)
        place = 4 + 2 * field
        offset = self._number("<H", vtable + place) if place < self._number("<H", vtable) else 0
        return self.at + offset if offset else None

    def scalar(self, field: int, form: str) -> int:
        at = self._field(field)
        return 0 if at is None else self._number(form, at)

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """(start, length) of a vector whose entries have `size` bytes."""
        at = self._field(field)
        if at is None:
            return 0, 0
        start = at + self._number("<I", at)
        length = self._number("<I", start)
        return self._within(start + 4, length * size), length

    def numbers(self, field: int, dtype: str) -> np.ndarray:
        start, length = self._vector(field, np.dtype(dtype).itemsize)
        return np.frombuffer(self.buffer, dtype, length, start)

    def table(self, field: int) -> "_Table | None":
        at = self._field(field)
        return None if at is None else _Table(self.buffer, at + self._number("<I", at))

    def tables(self, field: int) -> list["_Table"]:
        start, length = self._vector(field, 4)
        if length > MOST:
            raise ValueError(f"it lists {length} tables")
        places = range(start, start + 4 * length, 4)
        return [_Table(self.buffer, at + self._number("<I", at)) for at in places]


def read(path: Path) -> list[Layer]:
    """The layers of a `.tflite` file that have arrays, in the order of computation.

    Raises:
        UserError: it is no such file, truncated, damaged, or holds kinds of arrays that are not known here.
    """
    content = read_bytes(path)
    if content[4:8] != b"TFL3":
        raise unusable(path, "it is no TensorFlow Lite file", "give the .tflite file itself")
    try:
        return list(_layers(_Table(content, struct.unpack_from("<I", content)[0])))
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise damaged(path, str(error)) from None


def _layers(model: _Table) -> Iterator[Layer]:
    (graph,) = model.tables(2)
    kinds = [max(code.scalar(0, "<b"), code.scalar(3, "<i")) for code in model.tables(1)]
    tensors, buffers = graph.tables(0), model.tables(4)
    for operator in graph.tables(3):
        kind = LAYERS.get(kinds[operator.scalar(0, "<I")])
        if kind is not None:
            _, kernel, bias = operator.numbers(1, "<i4")
            yield _layer(kind, *(_values(tensors[place], buffers) for place in (kernel, bias)))


def _values(tensor: _Table, buffers: list[_Table]) -> np.ndarray:
    """The array of a tensor, dequantised to float32."""
    dtype = np.dtype(TYPES[tensor.scalar(1, "<b")])
    stored = buffers[tensor.scalar(2, "<I")].numbers(0, "u1")
    stored = stored.view(dtype).reshape(tensor.numbers(0, "<i4"))
    if dtype.kind == "f":
        return stored.astype(np.float32)
    quantization = tensor.table(4)
    if quantization is None or not len(scale := quantization.numbers(2, "<f4")):
        raise ValueError(f"integers of shape {stored.shape} have no scale")
    shape, axis = [1] * stored.ndim, quantization.scalar(6, "<i")
    shape[axis] = len(scale)
    if len(scale) not in (1, stored.shape[axis]) or not np.isfinite(scale).all() or np.abs(scale).max() > LARGEST:
        raise ValueError(f"{len(scale)} scales for integers of shape {stored.shape} do not fit, or are not finite")
    zero = quantization.numbers(3, "<i8").reshape(shape)
    values: np.ndarray = ((stored - zero) * scale.astype(np.float64).reshape(shape)).astype(np.float32)
    return values


def _layer(kind: str, kernel: np.ndarray, bias: np.ndarray) -> Layer:
    """TensorFlow Lite keeps kernels as [out, h, w, c], [1, h, w, c] and [out, c]."""
    turns = {"conv": (1, 2, 3, 0), "depthwise": (1, 2, 3, 0), "dense": (1, 0)}
    return Layer(kind, kernel.transpose(turns[kind]), bias)


def mobilenet_v2(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a MobileNetV2's `.tflite` file, called as in Keras' files.

    There, batch normalisation is part of the convolutions: what is left of it, the bias, becomes the shift of a batch
    normalisation that does nothing else: scale 1, mean 0, and a variance that is 1 with the epsilon added. That is the
    same function in evaluation; in training, a batch's own statistics make another of it, see `calibrate`.

    Raises:
        UserError: as `read`; or it is another network.
    """
    layers, names = read(path), _mobilenet_v2_names()
    kinds = ["depthwise" if "depthwise" in name else "conv" for name, _ in names]
    if [layer.kind for layer in layers[:-1]] != kinds or layers[-1].kernel.size != 1280 * len(layers[-1].bias):
        raise unusable(path, f"its {len(layers)} layers are not those of 'mobilenet_v2'", "give that network's file")
    found: dict[str, np.ndarray] = {}
    for layer, (name, norm) in zip(layers, names, strict=False):
        found[f"{name}/{'depthwise_' if layer.kind == 'depthwise' else ''}kernel"] = layer.kernel
        found |= {f"{norm}/{array}": values for array, values in _shift(layer.bias).items()}
    last = layers[-1]
    return found | {"predictions/kernel": last.kernel.reshape(-1, len(last.bias)), "predictions/bias": last.bias}


EPSILON = 1e-3  # of batch normalisation in Keras' MobileNetV2


def _shift(bias: np.ndarray) -> dict[str, np.ndarray]:
    """A batch normalisation that adds `bias`."""
    ones = np.ones_like(bias)
    return {"gamma": ones, "beta": bias, "moving_mean": 0 * ones, "moving_variance": ones - np.float32(EPSILON)}


def _mobilenet_v2_names() -> list[tuple[str, str]]:
    """Each convolution and its batch normalisation, in the order of computation."""
    blocks = ["expanded_conv", *(f"block_{i}" for i in range(1, 17))]
    parts = [("expand", "depthwise", "project") if i else ("depthwise", "project") for i in range(len(blocks))]
    inner = [f"{block}_{part}" for block, own in zip(blocks, parts, strict=True) for part in own]
    return [("Conv1", "bn_Conv1"), *((name, f"{name}_BN") for name in inner), ("Conv_1", "Conv_1_bn")]
