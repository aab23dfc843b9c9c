"""Names and layouts of a layer's arrays in the files that PyTorch and Keras publish.

Throughout, `layer` is the path of a layer in our own variables, such as ("trunk", "block01", "conv1"), and `name` is
the name of the same layer in the file.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

Layer = tuple[str, ...]
TORCH_NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
KERAS_NORM_NAMES = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
AUTOMATIC_NAME = re.compile(r"(conv2d|batch_normalization)(?:_(\d+))?$")  # Keras' names for unnamed layers


class PublishedArray(NamedTuple):
    """How one array of a network is stored in a published file.

    Attributes:
        path: of our array, ("params", "trunk", "conv1", "kernel") or ("batch_stats", "trunk", "bn1", "mean").
        name: of the tensor in the file.
        convert: turns the file's array into ours by transposing, reshaping or slicing.
    """

    path: tuple[str, ...]
    name: str
    convert: Callable[[np.ndarray], np.ndarray] = np.asarray


def torch_layout(array: np.ndarray) -> np.ndarray:
    """Transpose PyTorch's [out, in, ...] to [..., in, out].

    Vectors stay as they are; depthwise kernels [c, 1, h, w] become [h, w, 1, c].
    """
    return np.asarray(array).transpose(*range(2, array.ndim), *reversed(range(min(2, array.ndim))))


def torch_array(path: tuple[str, ...], name: str) -> PublishedArray:
    """Our array at `path`, which belongs to the module `name` of a PyTorch file."""
    return PublishedArray(path, f"{name}.{TORCH_NAMES[path[-1]]}", torch_layout)


def torch_convolution(layer: Layer, name: str) -> Iterator[PublishedArray]:
    """Kernel of a convolution without bias."""
    yield torch_array(("params", *layer, "kernel"), name)


def torch_linear(layer: Layer, name: str) -> Iterator[PublishedArray]:
    """Kernel and bias of a linear layer."""
    yield torch_array(("params", *layer, "kernel"), name)
    yield torch_array(("params", *layer, "bias"), name)


def torch_norm(layer: Layer, name: str) -> Iterator[PublishedArray]:
    """Scale and bias of a normalisation layer."""
    yield torch_array(("params", *layer, "scale"), name)
    yield torch_array(("params", *layer, "bias"), name)


def torch_batch_norm(layer: Layer, name: str) -> Iterator[PublishedArray]:
    """Scale, bias and running statistics of a batch normalisation."""
    yield from torch_norm(layer, name)
    yield torch_array(("batch_stats", *layer, "mean"), name)
    yield torch_array(("batch_stats", *layer, "var"), name)


def keras_depthwise_layout(kernel: np.ndarray) -> np.ndarray:
    """Transpose Keras' depthwise kernel [h, w, c, 1] to [h, w, 1, c]."""
    return kernel.transpose(0, 1, 3, 2)


def keras_linear(layer: Layer, name: str) -> Iterator[PublishedArray]:
    """Kernel and bias of a linear layer."""
    yield PublishedArray(("params", *layer, "kernel"), f"{name}/kernel")
    yield PublishedArray(("params", *layer, "bias"), f"{name}/bias")


def keras_batch_norm(layer: Layer, name: str, scaled: bool = True) -> Iterator[PublishedArray]:
    """Bias, running statistics and, if `scaled`, the scale of a batch normalisation."""
    if scaled:
        yield PublishedArray(("params", *layer, "scale"), f"{name}/gamma")
    yield PublishedArray(("params", *layer, "bias"), f"{name}/beta")
    yield PublishedArray(("batch_stats", *layer, "mean"), f"{name}/moving_mean")
    yield PublishedArray(("batch_stats", *layer, "var"), f"{name}/moving_variance")


def keras_layer_name(kind: str, index: int) -> str:
    """Name that a fresh Keras session gives to its `index`-th unnamed layer of a kind: conv2d, conv2d_1, ..."""
    return f"{kind}_{index}" if index else kind


def fresh_session_names(layers: Iterable[str]) -> dict[str, str]:
    """Map the layer names of a Keras file to the names that a fresh session would give.

    A session keeps counting from network to network, and early versions counted from 1. So only the order within a
    kind identifies a layer with an automatic name. Other names are kept.
    """

    def number(layer: str) -> tuple[int, str]:
        match = AUTOMATIC_NAME.match(layer)
        return (int(match[2] or 0), layer) if match else (0, layer)

    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for layer in sorted(layers, key=number):
        if match := AUTOMATIC_NAME.match(layer):
            kind = match[1]
            names[layer] = keras_layer_name(kind, counts.get(kind, 0))
            counts[kind] = counts.get(kind, 0) + 1
        else:
            names[layer] = layer
    return names
