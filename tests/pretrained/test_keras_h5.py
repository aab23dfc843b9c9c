"""Keras' files in the layouts of its versions, and HDF5 files that refer to something else."""

import os
from pathlib import Path

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.pretrained.keras_h5 import read, short_name

pytestmark = pytest.mark.usefixtures("registered")

h5py = pytest.importorskip("h5py", reason="the extra `weights`")
FILE = "weights/squeezenet_v1.1_weights_tf_dim_ordering_tf_kernels_notop.h5"
NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("conv1/conv1/kernel:0", "conv1/kernel"),
        ("conv1/conv1_3/bias:0", "conv1/bias"),
        ("fire2/squeeze1x1/fire2/squeeze1x1_3/kernel:0", "fire2/squeeze1x1/kernel"),
        ("block1_conv1/block1_conv1_W_1:0", "block1_conv1/kernel"),
        ("block1_conv1/block1_conv1_b_1:0", "block1_conv1/bias"),
        ("bn2a/bn2a_running_std:0", "bn2a/moving_variance"),
        ("bn_Conv1/bn_Conv1/moving_mean:0", "bn_Conv1/moving_mean"),
        ("batch_normalization_7/batch_normalization_7/beta:0", "batch_normalization_7/beta"),
        (
            "expanded_conv_depthwise/expanded_conv_depthwise/depthwise_kernel:0",
            "expanded_conv_depthwise/depthwise_kernel",
        ),
        ("predictions/predictions/kernel:0", "predictions/kernel"),
    ],
)
def test_all_versions_give_the_same_names(path, name):
    assert short_name(tuple(path.split("/"))) == name


def write(tmp_path, build):
    with h5py.File(tmp_path / "some.h5", "w") as file:
        build(file)
    return tmp_path / "some.h5"


def test_arrays_are_read(tmp_path):
    def build(file):
        file["conv1/conv1/kernel:0"] = NUMBERS
        file["conv1/conv1/bias:0"] = NUMBERS[0]
        file.create_group("pool1").attrs["weight_names"] = []

    arrays = read(write(tmp_path, build))
    assert arrays.keys() == {"conv1/kernel", "conv1/bias"}
    np.testing.assert_array_equal(arrays["conv1/kernel"], NUMBERS)


def external_link(file):
    file["there/there/kernel:0"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["x/x/kernel:0"] = NUMBERS
    file["y/y/kernel:0"] = h5py.SoftLink("/x/x/kernel:0")


def raw_bytes_of_another_file(file):
    file.create_dataset("x/x/kernel:0", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("x/x/kernel:0", layout)


def objects(file):
    file.create_dataset("x/x/kernel:0", data=["a", "b"], dtype=h5py.string_dtype())


def references(file):
    file.create_dataset("x/x/kernel:0", data=[file.ref], dtype=h5py.ref_dtype)


def compressed(file):
    file.create_dataset("x/x/kernel:0", data=np.zeros(10**6, "f4"), compression="gzip")


def never_written(file):
    file.create_dataset("x/x/kernel:0", (10**12,), "f4", chunks=(10**6,))


def in_a_circle(file):
    file.create_group("x")["again"] = file["/"]


def a_type(file):
    file["x"] = np.dtype("f4")


def twice(file):
    file["x/x/kernel:0"] = NUMBERS
    file["x/x_1/kernel:0"] = NUMBERS


def empty(file):
    file.create_group("x")


BAD = {
    external_link: "is a link to something else",
    soft_link: "is a link to something else",
    raw_bytes_of_another_file: "has its numbers in another file",
    virtual: "has its numbers in another file",
    objects: "holds object, not numbers",
    references: "holds object, not numbers",
    compressed: "is compressed",
    never_written: "is not in it in full",
    in_a_circle: "twice",
    a_type: "is a Datatype",
    twice: "twice",
    empty: "it holds no arrays",
}


@pytest.mark.parametrize(("build", "words"), BAD.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_anything_but_plain_arrays_is_refused(build, words, tmp_path):
    with pytest.raises(UserError, match=words):
        read(write(tmp_path, build))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    content = write(tmp_path, lambda file: file.create_dataset("x/x/kernel:0", data=np.zeros(5000, "f4"))).read_bytes()
    cut = tmp_path / "cut.h5"
    for end in np.linspace(0, len(content) - 1, 50).astype(int):
        cut.write_bytes(content[:end])
        with pytest.raises(UserError, match="truncated or damaged"):
            read(cut)


def test_the_published_squeezenet_is_read():
    path = Path(os.environ.get("DA_BENCH_DATA", "")) / FILE
    if not path.is_file():
        pytest.skip(f"{FILE} is not under DA_BENCH_DATA")
    arrays = read(path)
    assert len(arrays) == 50  # kernel and bias of conv1 and of squeeze, expand 1x1 and expand 3x3 in eight blocks
    assert arrays["fire9/expand3x3/kernel"].shape == (3, 3, 64, 256)
