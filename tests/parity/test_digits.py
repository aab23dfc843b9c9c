"""Networks of papers on digits equal PyTorch's with the same arrays: outputs, and running averages after a step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models import AdaDigits, ShotLenet, forward, initialise
from tests.helpers.reference import CLASSES, assert_trees_close, relative_error

torch = pytest.importorskip("torch", reason="compares with PyTorch: `make parity` installs it")
nn = torch.nn


def shot():
    """SHOT's network for digits, without dropout."""
    convolutions = [nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU()]
    head = nn.utils.parametrizations.weight_norm(nn.Linear(256, CLASSES))
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(800, 256), nn.BatchNorm1d(256), head)


def ada():
    """pytorch-ada's network, without dropout."""
    layers = []
    for before, after in ((3, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 5), nn.BatchNorm2d(after), nn.MaxPool2d(2), nn.ReLU()]
    layers += [nn.Conv2d(64, 128, 5), nn.BatchNorm2d(128), nn.Sigmoid(), nn.Flatten()]
    for before in (128, 100):
        layers += [nn.Linear(before, 100), nn.BatchNorm1d(100), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(100, CLASSES))


ORDERS = {  # our layers in the order of PyTorch's
    "shot": ["convolutions_0", "convolutions_1", "bottleneck", "norm", "head"],
    "ada": [
        *("convolutions_0", "norms_0", "convolutions_1", "norms_1", "convolutions_2", "norms_2"),
        *("hidden_0", "hidden_norms_0", "hidden_1", "hidden_norms_1", "head"),
    ],
}


def fill(layer, arrays, stats):
    """Fill a PyTorch layer with the arrays of ours."""
    own = arrays.get("layer_instance", arrays)  # of a weight-normalised layer
    kernel = own.get("kernel")
    with torch.no_grad():
        if kernel is None:
            layer.weight.copy_(tensor(arrays["scale"]))
            layer.running_mean.copy_(tensor(stats["mean"]))
            layer.running_var.copy_(tensor(stats["var"]))
        elif "layer_instance" in arrays:
            layer.parametrizations.weight.original0.copy_(tensor(arrays["layer_instance/kernel/scale"])[:, None])
            layer.parametrizations.weight.original1.copy_(tensor(kernel).T)
        else:
            layer.weight.copy_(tensor(kernel).permute(3, 2, 0, 1) if kernel.ndim == 4 else tensor(kernel).T)
        layer.bias.copy_(tensor(own["bias"]))


def tensor(array):
    return torch.from_numpy(np.array(array))


def reorder_flattened(kernel):
    """Rows of the layer after flattened maps of 4 x 4 x 50, which PyTorch flattens channel by channel."""
    return kernel.reshape(4, 4, 50, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)


@pytest.mark.parametrize(
    ("name", "reference", "model", "shape"),
    [("shot", shot, ShotLenet(dropout=0.0), (28, 28, 1)), ("ada", ada, AdaDigits(), (32, 32, 3))],
)
def test_outputs_and_running_averages_equal_pytorch(name, reference, model, shape, rng):
    model, reference = model.clone(classes=CLASSES), reference()
    inputs = rng.normal(size=(6, *shape)).astype(np.float32)
    params, stats = initialise(model, jax.random.key(0), inputs)
    noise = lambda x: np.asarray(x + np.abs(0.3 * rng.normal(size=x.shape)), np.float32)  # noqa: E731
    params, stats = jax.tree.map(noise, params), jax.tree.map(noise, stats)
    filled = [layer for layer in reference if list(layer.parameters())]
    for layer, our_name in zip(filled, ORDERS[name], strict=True):
        arrays = dict(params[our_name])
        if our_name == "bottleneck":
            arrays["kernel"] = reorder_flattened(np.asarray(arrays["kernel"]))
        fill(layer, arrays, stats["batch_stats"].get(our_name))
    images = tensor(inputs).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = reference.eval()(images).numpy()
        assert relative_error(forward(model, params, stats, inputs)[0].logits, expected) < 1e-4

        _, moved = forward(model, params, stats, jnp.asarray(inputs), jax.random.key(0))
        reference.train()(images)
    after = {
        our_name: {"mean": layer.running_mean.numpy(), "var": layer.running_var.numpy()}
        for layer, our_name in zip(filled, ORDERS[name], strict=True)
        if hasattr(layer, "running_mean") and (name == "shot" or our_name != "hidden_norms_1")  # follows dropout
    }
    assert_trees_close({name: moved["batch_stats"][name] for name in after}, after, 1e-4)
