"""Reader of TensorFlow Lite files: the arrays of each layer, dequantised.

A `.tflite` file is a FlatBuffer: tables with optional fields, each found by an offset from where it is referred to.
Only the few tables that hold arrays are read. Every offset and length is checked against the size of the file before
it is followed. The field numbers below are positions in the tables of TensorFlow's schema,
`tensorflow/compiler/mlir/lite/schema/schema.fbs`.

A quantised value q stands for scale (q - zero point), with one scale for each output channel of a kernel (Jacob et al.,
Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018,
arXiv:1712.05877, Eq. 1). Biases are int32; their scale is the input's times the kernel's.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.pretrained.files import damaged, read_bytes, unusable

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of a file
DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 7: "<i2", 9: "i1"}  # by TensorType
LAYERS = {3: "conv", 4: "depthwise", 9: "dense"}  # by BuiltinOperator, those that have arrays
# TensorFlow Lite's kernels are [out, h, w, c], [1, h, w, c] and [out, c]
AXES = {"conv": (1, 2, 3, 0), "depthwise": (1, 2, 3, 0), "dense": (1, 0)}
MAX_TABLES = 100_000  # in one vector
MAX_SCALE = 1e6  # with larger scales float32 could not hold the values
EPSILON = 1e-3  # of batch normalisation in Keras' MobileNetV2

# field numbers of the tables in the schema
MODEL_OPERATOR_CODES, MODEL_SUBGRAPHS, MODEL_BUFFERS = 1, 2, 4
CODE_DEPRECATED_BUILTIN, CODE_BUILTIN = 0, 3
GRAPH_TENSORS, GRAPH_OPERATORS = 0, 3
OPERATOR_CODE_INDEX, OPERATOR_INPUTS = 0, 1
TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER, TENSOR_QUANTIZATION = 0, 1, 2, 4
BUFFER_DATA = 0
QUANTIZATION_SCALE, QUANTIZATION_ZERO_POINT, QUANTIZATION_AXIS = 2, 3, 6


class Layer(NamedTuple):
    """One layer with arrays, all float32.

    Attributes:
        kind: "conv", "depthwise" or "dense".
        kernel: [h, w, c, out] of a "conv", [h, w, c, 1] of a "depthwise", [c, out] of a "dense" layer.
        bias: [out].
    """

    kind: str
    kernel: np.ndarray
    bias: np.ndarray


class _Table(NamedTuple):
    """A table of the buffer, which starts at byte `start`."""

    buffer: bytes
    start: int

    def _number(self, form: str, at: int) -> int:
        number: int = struct.unpack_from(form, self.buffer, self._checked(at, struct.calcsize(form)))[0]
        return number

    def _checked(self, at: int, size: int) -> int:
        if at < 0 or size < 0 or at + size > len(self.buffer):
            raise ValueError(f"it points to bytes {at} to {at + size} of {len(self.buffer)}")
        return at

    def _position(self, field: int) -> int | None:
        """Position of a field in the buffer, None if the field has its default."""
        vtable = self.start - self._number("<i", self.start)
        entry = 4 + 2 * field
        offset = self._number("<H", vtable + entry) if entry < self._number("<H", vtable) else 0
        return self.start + offset if offset else None

    def scalar(self, field: int, form: str) -> int:
        """A number field; `form` is its format in `struct`."""
        at = self._position(field)
        return 0 if at is None else self._number(form, at)

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """Start and length of a vector field with entries of `size` bytes."""
        at = self._position(field)
        if at is None:
            return 0, 0
        start = at + self._number("<I", at)
        length = self._number("<I", start)
        return self._checked(start + 4, length * size), length

    def numbers(self, field: int, dtype: str) -> np.ndarray:
        """A field that is a vector of numbers."""
        start, length = self._vector(field, np.dtype(dtype).itemsize)
        return np.frombuffer(self.buffer, dtype, length, start)

    def table(self, field: int) -> "_Table | None":
        """A field that is a table."""
        at = self._position(field)
        return None if at is None else _Table(self.buffer, at + self._number("<I", at))

    def tables(self, field: int) -> list["_Table"]:
        """A field that is a vector of tables."""
        start, length = self._vector(field, 4)
        if length > MAX_TABLES:
            raise ValueError(f"it lists {length} tables")
        positions = range(start, start + 4 * length, 4)
        return [_Table(self.buffer, at + self._number("<I", at)) for at in positions]


def read(path: Path) -> list[Layer]:
    """Read the layers of a `.tflite` file that have arrays, in the order of computation.

    Raises:
        UserError: the file is not in this format, truncated, damaged, or holds unknown kinds of arrays.
    """
    content = read_bytes(path)
    if content[4:8] != IDENTIFIER:
        raise unusable(path, "it is not a TensorFlow Lite file", "give the .tflite file itself")
    try:
        return list(_layers(_Table(content, struct.unpack_from("<I", content)[0])))
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise damaged(path, str(error)) from None


def _layers(model: _Table) -> Iterator[Layer]:
    (graph,) = model.tables(MODEL_SUBGRAPHS)
    codes = [
        max(code.scalar(CODE_DEPRECATED_BUILTIN, "<b"), code.scalar(CODE_BUILTIN, "<i"))
        for code in model.tables(MODEL_OPERATOR_CODES)
    ]
    tensors, buffers = graph.tables(GRAPH_TENSORS), model.tables(MODEL_BUFFERS)
    for operator in graph.tables(GRAPH_OPERATORS):
        kind = LAYERS.get(codes[operator.scalar(OPERATOR_CODE_INDEX, "<I")])
        if kind is not None:
            _, kernel, bias = (tensors[index] for index in operator.numbers(OPERATOR_INPUTS, "<i4"))
            yield Layer(kind, _values(kernel, buffers).transpose(AXES[kind]), _values(bias, buffers))


def _values(tensor: _Table, buffers: list[_Table]) -> np.ndarray:
    """Array of a tensor, dequantised to float32."""
    dtype = np.dtype(DTYPES[tensor.scalar(TENSOR_TYPE, "<b")])
    data = buffers[tensor.scalar(TENSOR_BUFFER, "<I")].numbers(BUFFER_DATA, "u1")
    stored = data.view(dtype).reshape(tensor.numbers(TENSOR_SHAPE, "<i4"))
    if dtype.kind == "f":
        return stored.astype(np.float32)
    quantization = tensor.table(TENSOR_QUANTIZATION)
    if quantization is None or not len(scale := quantization.numbers(QUANTIZATION_SCALE, "<f4")):
        raise ValueError(f"integers of shape {stored.shape} have no scale")
    shape, axis = [1] * stored.ndim, quantization.scalar(QUANTIZATION_AXIS, "<i")
    shape[axis] = len(scale)
    if len(scale) not in (1, stored.shape[axis]) or not np.isfinite(scale).all() or np.abs(scale).max() > MAX_SCALE:
        raise ValueError(f"{len(scale)} scales for integers of shape {stored.shape} do not fit, or are not finite")
    zero_point = quantization.numbers(QUANTIZATION_ZERO_POINT, "<i8").reshape(shape)
    values: np.ndarray = ((stored - zero_point) * scale.astype(np.float64).reshape(shape)).astype(np.float32)
    return values


def read_mobilenet_v2(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a MobileNetV2's `.tflite` file under the names of Keras' files.

    In the file batch normalisation is folded into the convolutions. What is left of it, the bias, becomes the shift of
    a batch normalisation that does nothing else: scale 1, mean 0, and a variance that is 1 with the epsilon added. This
    is the same function in evaluation. In training, a batch's own statistics make it another function, see `calibrate`.

    Raises:
        UserError: as `read`; or the file holds another network.
    """
    layers, names = read(path), _mobilenet_v2_names()
    kinds = ["depthwise" if "depthwise" in name else "conv" for name, _ in names]
    if [layer.kind for layer in layers[:-1]] != kinds or layers[-1].kernel.size != 1280 * len(layers[-1].bias):
        raise unusable(path, f"its {len(layers)} layers are not those of 'mobilenet_v2'", "give a file of that network")
    arrays: dict[str, np.ndarray] = {}
    for layer, (name, norm) in zip(layers, names, strict=False):  # the last layer, the classifier, follows below
        arrays[f"{name}/{'depthwise_' if layer.kind == 'depthwise' else ''}kernel"] = layer.kernel
        arrays |= {f"{norm}/{array}": values for array, values in _shift_only_batch_norm(layer.bias).items()}
    classifier = layers[-1]
    arrays["predictions/kernel"] = classifier.kernel.reshape(-1, len(classifier.bias))
    arrays["predictions/bias"] = classifier.bias
    return arrays


def _shift_only_batch_norm(bias: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays of a batch normalisation that adds `bias` and does nothing else."""
    ones = np.ones_like(bias)
    return {"gamma": ones, "beta": bias, "moving_mean": 0 * ones, "moving_variance": ones - np.float32(EPSILON)}


def _mobilenet_v2_names() -> list[tuple[str, str]]:
    """Names of each convolution and its batch normalisation, in the order of computation."""
    names = [("Conv1", "bn_Conv1")]
    for i in range(17):
        block = f"block_{i}" if i else "expanded_conv"
        parts = ("expand", "depthwise", "project") if i else ("depthwise", "project")
        names += [(f"{block}_{part}", f"{block}_{part}_BN") for part in parts]
    return [*names, ("Conv_1", "Conv_1_bn")]
