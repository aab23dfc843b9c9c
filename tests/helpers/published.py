"""A tiny network, and files of its weights in every format, written byte by byte."""

import io
import json
import struct
import zipfile

import flax.linen as nn
import numpy as np

from da_bench.models.backbone import Backbone
from da_bench.models.weight_names import PublishedArray

SHAPES = {  # in PyTorch's layout
    "conv.weight": (4, 3, 3, 3),
    "bn.weight": (4,),
    "bn.bias": (4,),
    "bn.running_mean": (4,),
    "bn.running_var": (4,),
    "fc.weight": (1000, 4),
    "fc.bias": (1000,),
}
TORCH_NAMES = {
    ("params", "trunk", "conv", "kernel"): "conv.weight",
    ("params", "trunk", "bn", "scale"): "bn.weight",
    ("params", "trunk", "bn", "bias"): "bn.bias",
    ("batch_stats", "trunk", "bn", "mean"): "bn.running_mean",
    ("batch_stats", "trunk", "bn", "var"): "bn.running_var",
    ("params", "head", "kernel"): "fc.weight",
    ("params", "head", "bias"): "fc.bias",
}
KERAS_NAMES = ("conv/kernel", "bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance", "fc/kernel", "fc/bias")


class Trunk(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, inputs, train):
        maps = nn.Conv(self.width, (3, 3), use_bias=False, name="conv")(inputs)
        return nn.relu(nn.BatchNorm(use_running_average=not train, name="bn")(maps)).mean((1, 2))


class SmallNet(Backbone):
    """Network for tests, with names in two conventions."""

    STAGES = ("conv", "bn")
    CONVENTIONS = ("torchvision", "keras")
    SIDE = 8

    padding: str = "symmetric"
    width: int = 4

    def make_trunk(self):
        return Trunk(self.width)

    @nn.nowrap
    def published_arrays(self, convention):
        for keras, (path, name) in zip(KERAS_NAMES, TORCH_NAMES.items(), strict=True):
            if convention == "keras":
                yield PublishedArray(path, keras)
            else:
                yield PublishedArray(
                    path, name, lambda array: array.transpose(*range(2, array.ndim), *(1, 0)[-array.ndim :])
                )


class OtherNet(Backbone):
    """Network for tests whose arrays have other names."""

    STAGES = ("conv",)
    CONVENTIONS = ("torchvision",)
    SIDE = 8

    def make_trunk(self):
        return Trunk()

    @nn.nowrap
    def published_arrays(self, convention):
        for array in SmallNet().published_arrays(convention):
            yield array._replace(name=f"other.{array.name}")


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in SHAPES.items()}


def keras_arrays(state):
    """The same arrays under Keras' names and in Keras' layout."""
    transposed = {name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T for name, array in state.items()}
    return {keras: transposed[name] for keras, name in zip(KERAS_NAMES, TORCH_NAMES.values(), strict=True)}


def safetensors_bytes(state):
    header, end = {}, 0
    for name, array in state.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    return with_header(header) + b"".join(array.tobytes() for array in state.values())


def with_header(header):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def tensor(key, shape, kind="FloatStorage", stride=None, offset=0, view=b""):
    """Instructions that rebuild a tensor, as torch writes them; `view` is b"N" in the legacy format."""
    stride = stride or [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    storage = b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(0) + view + b"tQ"
    rest = number(offset) + numbers(shape) + numbers(stride) + b"\x89" + name("collections", "OrderedDict") + b")R"
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + rest + b"tR"


def state_dict(tensors):
    """A pickled state dict of tensors, which are given as instructions by name."""
    entries = b"".join(text(key) + instructions for key, instructions in tensors.items())
    return (
        b"\x80\x02" + name("collections", "OrderedDict") + b")Rq\x00(" + entries + b"u}(" + text("_metadata") + b"}ub."
    )


def zipped(pickled, storages, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    contents = {"data.pkl": pickled, **{f"data/{key}": content for key, content in storages.items()}, "version": "3"}
    with zipfile.ZipFile(file, "w") as archive:
        for path, content in contents.items():  # ZipInfo has a fixed date, so the bytes are reproducible
            archive.writestr(zipfile.ZipInfo(f"archive/{path}"), content, compression)
    return file.getvalue()


def torch_zip(state):
    pickled = state_dict({key: tensor(str(i), array.shape) for i, (key, array) in enumerate(state.items())})
    return zipped(pickled, {str(i): array.tobytes() for i, array in enumerate(state.values())})


def torch_legacy(state):
    """A file in the format before torch 1.6."""
    instructions = {key: tensor(str(i), array.shape, view=b"N") for i, (key, array) in enumerate(state.items())}
    head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + b"\x80\x02}."
    keys = b"\x80\x02](" + b"".join(text(str(i)) for i in range(len(state))) + b"e."
    sizes = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in state.values())
    return head + state_dict(instructions) + keys + sizes
