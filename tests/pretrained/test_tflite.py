"""A TensorFlow Lite file written here table by table, with numbers dequantised by hand, and the real one."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.pretrained import tflite

pytestmark = pytest.mark.usefixtures("registered")

FILE = "weights/tf2_mobilenet_v2_1.0_224_ptq.tflite"
CONV = np.int8([[[[1, -2]]], [[[3, 127]]]])  # [out 2, 1, 1, in 2]
BIAS = np.int32([10, -20])


class Buffer:
    """Tables put one after another, each followed by what it refers to, so that every offset points forwards."""

    def __init__(self):
        self.bytes = bytearray(b"\0\0\0\0TFL3")

    def refer(self, index, build):
        self.bytes += bytes(-len(self.bytes) % 8)
        at = build()
        struct.pack_into("<I", self.bytes, index, at - index)

    def numbers(self, dtype, values):
        def build():
            content = np.asarray(values, dtype).tobytes()
            self.bytes += bytes(4) + struct.pack("<I", len(np.ravel(values))) + content
            return len(self.bytes) - len(content) - 4

        return build

    def tables(self, builds):
        def build():
            start = len(self.bytes)
            self.bytes += struct.pack("<I", len(builds)) + bytes(4 * len(builds))
            for i, one in enumerate(builds):
                self.refer(start + 4 + 4 * i, one)
            return start

        return build

    def table(self, fields):
        """fields: number -> (form, value) of a scalar, or what builds the thing referred to; each in eight bytes."""

        def build():
            last = max(fields, default=-1)
            vtable = len(self.bytes)
            places = {field: 8 + 8 * i for i, field in enumerate(fields)}
            self.bytes += struct.pack("<HH", 4 + 2 * (last + 1), 8 + 8 * len(fields))
            self.bytes += b"".join(struct.pack("<H", places.get(field, 0)) for field in range(last + 1))
            self.bytes += bytes(-len(self.bytes) % 8)
            start = len(self.bytes)
            self.bytes += struct.pack("<i", start - vtable) + bytes(4 + 8 * len(fields))
            for field, given in fields.items():
                if callable(given):
                    self.refer(start + places[field], given)
                else:
                    struct.pack_into(given[0], self.bytes, start + places[field], given[1])
            return start

        return build


def build_file(scales=(0.5, 0.25), zeros=(0, 1)):
    buffer = Buffer()
    kernel = {2: buffer.numbers("<f4", scales), 3: buffer.numbers("<i8", zeros), 6: ("<i", 0)}
    bias = {2: buffer.numbers("<f4", (0.1,)), 3: buffer.numbers("<i8", (0,))}
    tensors = [
        buffer.table({0: buffer.numbers("<i4", (1, 1, 1, 2)), 1: ("<b", 0)}),
        buffer.table({0: buffer.numbers("<i4", CONV.shape), 1: ("<b", 9), 2: ("<I", 1), 4: buffer.table(kernel)}),
        buffer.table({0: buffer.numbers("<i4", (2,)), 1: ("<b", 2), 2: ("<I", 2), 4: buffer.table(bias)}),
    ]
    operators = [buffer.table({0: ("<I", 0)}), buffer.table({0: ("<I", 1), 1: buffer.numbers("<i4", (0, 1, 2))})]
    buffers = [
        buffer.table({}),
        *(buffer.table({0: buffer.numbers("u1", np.frombuffer(a.tobytes(), "u1"))}) for a in (CONV, BIAS)),
    ]
    graph = buffer.table({0: buffer.tables(tensors), 3: buffer.tables(operators)})
    codes = [buffer.table({0: ("<b", 114)}), buffer.table({0: ("<b", 3), 3: ("<i", 3)})]  # QUANTIZE, CONV_2D
    buffer.refer(
        0, buffer.table({0: ("<I", 3), 1: buffer.tables(codes), 2: buffer.tables([graph]), 4: buffer.tables(buffers)})
    )
    return bytes(buffer.bytes)


def stored(tmp_path, content):
    (tmp_path / "some.tflite").write_bytes(content)
    return tmp_path / "some.tflite"


def test_values_are_dequantised_by_channel(tmp_path):
    """Eq. 1 by hand: 0.5 (1 - 0), 0.5 (-2 - 0) of the first output; 0.25 (3 - 1), 0.25 (127 - 1) of the second."""
    (layer,) = tflite.read(stored(tmp_path, build_file()))
    assert layer.kind == "conv"
    np.testing.assert_array_equal(layer.kernel[0, 0], [[0.5, 0.5], [-1.0, 31.5]])
    np.testing.assert_allclose(layer.bias, [1.0, -2.0], rtol=1e-6)


def test_the_remaining_batch_normalisation_adds_the_bias():
    """gamma (x - mean) / sqrt(variance + epsilon) + beta = x + beta, in float32 to the last bit."""
    norm = tflite._shift_only_batch_norm(np.float32([0.3, -7.0]))
    x = np.float32([1.7, 2.9])
    scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + np.float32(1e-3))
    np.testing.assert_array_equal((x - norm["moving_mean"]) * scale + norm["beta"], x + np.float32([0.3, -7.0]))


def test_integers_without_a_scale_are_refused(tmp_path):
    with pytest.raises(UserError, match="have no scale"):
        tflite.read(stored(tmp_path, build_file(scales=())))


def test_another_network_is_refused(tmp_path):
    with pytest.raises(UserError, match="its 1 layers are not those of 'mobilenet_v2'"):
        tflite.read_mobilenet_v2(stored(tmp_path, build_file()))
    with pytest.raises(UserError, match="TensorFlow Lite file"):
        tflite.read(stored(tmp_path, b"PK\x03\x04" + bytes(9)))


def test_a_cut_file_is_refused_and_a_changed_one_refused_or_read(tmp_path):
    content = build_file()
    for end in range(0, len(content) - len(BIAS.tobytes()), 8):
        with pytest.raises(UserError):
            tflite.read(stored(tmp_path, content[:end]))
    for index in range(8, len(content), 3):
        for changed in (0xFF, 0x80, content[index] ^ 1):
            content = content[:index] + bytes([changed]) + content[index + 1 :]
            try:
                tflite.read(stored(tmp_path, content))
            except UserError:
                continue


@pytest.fixture(scope="module")
def real():
    path = Path(os.environ.get("DA_BENCH_DATA", "")) / FILE
    if not path.is_file():
        pytest.skip(f"{FILE} is not under DA_BENCH_DATA")
    return path


def test_the_published_mobilenet_v2_is_read(real):
    arrays = tflite.read_mobilenet_v2(real)
    assert arrays["block_16_depthwise/depthwise_kernel"].shape == (3, 3, 960, 1)
    assert arrays["predictions/kernel"].shape == (1280, 1001)
    kernels = sum(array.size for name, array in arrays.items() if "kernel" in name)
    # 3,504,872 parameters of the network with 1000 classes, without norms (2 * 17,056) and biases, and one more class
    assert kernels == 3_504_872 - 2 * 17_056 - 1000 + 1280


def test_the_real_file_cut_anywhere_is_refused(real, tmp_path):
    content = real.read_bytes()
    for end in np.linspace(0, 0.9 * len(content), 12).astype(int):
        with pytest.raises(UserError):
            tflite.read_mobilenet_v2(stored(tmp_path, content[:end]))
