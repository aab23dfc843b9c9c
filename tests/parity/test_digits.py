"""Networks of digit papers as PyTorch computes them from the same arrays: evaluation, and the averages of a step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models import AdaDigits, ShotLenet, forward, initialise
from tests.helpers.reference import LABELS, compare, relative

torch = pytest.importorskip("torch", reason="compares with PyTorch: `make parity` installs it")
nn = torch.nn


def shot():
    """As the description of SHOT's digits has it, without dropout."""
    convolutions = [nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU()]
    head = nn.utils.parametrizations.weight_norm(nn.Linear(256, LABELS))
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(800, 256), nn.BatchNorm1d(256), head)


def ada():
    """As pytorch-ada's, without dropout."""
    layers = []
    for before, after in ((3, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 5), nn.BatchNorm2d(after), nn.MaxPool2d(2), nn.ReLU()]
    layers += [nn.Conv2d(64, 128, 5), nn.BatchNorm2d(128), nn.Sigmoid(), nn.Flatten()]
    for before in (128, 100):
        layers += [nn.Linear(before, 100), nn.BatchNorm1d(100), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(100, LABELS))


ORDERS = {  # our layers as theirs follow each other
    "shot": ["convolutions_0", "convolutions_1", "bottleneck", "norm", "head"],
    "ada": [
        *("convolutions_0", "norms_0", "convolutions_1", "norms_1", "convolutions_2", "norms_2"),
        *("hidden_0", "hidden_norms_0", "hidden_1", "hidden_norms_1", "head"),
    ],
}


def given(theirs, ours, stats):
    """Fill their layer with our arrays."""
    kernel = ours.get("layer_instance", ours).get("kernel")
    with torch.no_grad():
        if kernel is None:
            theirs.weight.copy_(tensor(ours["scale"]))
            theirs.running_mean.copy_(tensor(stats["mean"]))
            theirs.running_var.copy_(tensor(stats["var"]))
        elif "layer_instance" in ours:
            theirs.parametrizations.weight.original0.copy_(tensor(ours["layer_instance/kernel/scale"])[:, None])
            theirs.parametrizations.weight.original1.copy_(tensor(kernel).T)
        else:
            theirs.weight.copy_(tensor(kernel).permute(3, 2, 0, 1) if kernel.ndim == 4 else tensor(kernel).T)
        theirs.bias.copy_(tensor(ours.get("layer_instance", ours)["bias"]))


def tensor(array):
    return torch.from_numpy(np.array(array))


def flat_as_theirs(kernel):
    """Rows of the layer after flattened maps of 4 x 4 x 50: theirs are by channel first."""
    return kernel.reshape(4, 4, 50, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)


@pytest.mark.parametrize(
    ("name", "theirs", "model", "shape"),
    [("shot", shot, ShotLenet(dropout=0.0), (28, 28, 1)), ("ada", ada, AdaDigits(), (32, 32, 3))],
)
def test_evaluation_and_averages_are_pytorchs(name, theirs, model, shape, rng):
    model, theirs = model.clone(classes=LABELS), theirs()
    inputs = rng.normal(size=(6, *shape)).astype(np.float32)
    params, stats = initialise(model, jax.random.key(0), inputs)
    noise = lambda x: np.asarray(x + np.abs(0.3 * rng.normal(size=x.shape)), np.float32)  # noqa: E731
    params, stats = jax.tree.map(noise, params), jax.tree.map(noise, stats)
    filled = [layer for layer in theirs if list(layer.parameters())]
    for layer, ours in zip(filled, ORDERS[name], strict=True):
        arrays = dict(params[ours])
        if ours == "bottleneck":
            arrays["kernel"] = flat_as_theirs(np.asarray(arrays["kernel"]))
        given(layer, arrays, stats["batch_stats"].get(ours))
    images = tensor(inputs).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = theirs.eval()(images).numpy()
        assert relative(forward(model, params, stats, inputs)[0].logits, expected) < 1e-4

        _, moved = forward(model, params, stats, jnp.asarray(inputs), jax.random.key(0))
        theirs.train()(images)
    after = {
        ours: {"mean": layer.running_mean.numpy(), "var": layer.running_var.numpy()}
        for layer, ours in zip(filled, ORDERS[name], strict=True)
        if hasattr(layer, "running_mean") and (name == "shot" or ours != "hidden_norms_1")  # that one is after dropout
    }
    compare({name: moved["batch_stats"][name] for name in after}, after, 1e-4)
