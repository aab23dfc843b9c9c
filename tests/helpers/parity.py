"""Networks of other libraries with seeded random weights, and the networks of da_bench with the same weights.

Outputs in evaluation are compared in float32, the precision in which networks are used. Training steps are compared in
float64: in float32, rounding dominates the gradients through dozens of batch normalisations of a few images, and a
tolerance that allowed for it would hide mistakes.
"""

import os
import sys
import types

import jax
import numpy as np
import optax
import pytest

from da_bench.core.trees import unflatten
from da_bench.models import forward
from da_bench.models.weight_names import fresh_session_names

COUNTER = ".num_batches_tracked"


def import_torchvision():
    """Import torchvision, or skip the test."""
    pytest.importorskip("torch", reason="compares with PyTorch: `make parity` installs it")
    # torchvision's compiled operators may be built for another torch, and then fail to import; they are not used here
    sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
    return pytest.importorskip("torchvision", reason="compares with torchvision: `make parity` installs it")


def variables(model, convention, state):
    """(params, stats) of a da_bench network from a file's tensors.

    Every tensor must be used, in the network's IGNORED, or a counter.
    """
    published = list(model.published_arrays(convention))
    leaves = {array.path: np.array(array.convert(np.asarray(state[array.name]))) for array in published}
    ignored = tuple(getattr(model, "IGNORED", ()))
    used = {array.name for array in published}
    assert {name for name in state if not name.startswith(ignored) and not name.endswith(COUNTER)} <= used
    stats = unflatten(leaves)
    return stats.pop("params", {}), stats


def randomise(module, seed=0):
    """Draw all parameters of a torch module, so that no scale is 1 and no shift is 0."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise * (1.5 / parameter[0].numel()) ** 0.5)
            else:
                parameter.copy_(parameter.clamp(0.5, 1) * (1 + 0.2 * noise) - 0.5 * (parameter == 0))
    return module


def set_running_statistics(module, images):
    """Set a torch module's running statistics to those of images, so that activations neither vanish nor explode."""
    import torch

    norms = [layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        module.train()(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return module.eval()


def state_arrays(module):
    """State dict of a torch module as numpy arrays."""
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def random_images(n, side, dtype="float32"):
    """Images [n, side, side, 3] of noise and waves, so that positions differ."""
    rng = np.random.default_rng(1)
    waves = np.sin(np.arange(side) / 7)[None, :, None, None] * np.cos(np.arange(side) / 11)[None, None, :, None]
    return (rng.normal(size=(n, side, side, 3)) + 2 * waves).astype(dtype)


def to_torch(images):
    """[n, h, w, c] -> torch's [n, c, h, w]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def evaluate(model, params, stats, inputs):
    """Output of a da_bench network in evaluation mode."""
    return jax.jit(lambda p, s, x: forward(model, p, s, x)[0])(params, stats, inputs)


def relative_error(actual, expected, scale=None):
    """Largest difference, divided by the largest expected value or by the largest value of `scale`."""
    expected = np.asarray(expected)
    return float(np.abs(np.asarray(actual) - expected).max() / np.abs(expected if scale is None else scale).max())


def sgd_step(model, params, stats, inputs, labels, rate):
    """(loss, params, stats) of a da_bench network after one step of SGD on the cross-entropy in training mode."""

    def loss(params, stats, inputs):
        output, updated = forward(model, params, stats, inputs, jax.random.key(0))
        return optax.softmax_cross_entropy_with_integer_labels(output.logits, labels).mean(), updated

    (value, updated), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, stats, inputs)
    return value, jax.tree.map(lambda p, g: p - rate * g, params, gradients), updated


def torch_sgd_step(module, inputs, labels, rate, logits=None):
    """(loss, state) of a torch module after the same step; `logits` maps inputs to logits, default: the module."""
    import torch

    value = torch.nn.functional.cross_entropy((logits or module)(inputs), torch.as_tensor(labels))
    value.backward()
    torch.optim.SGD(module.parameters(), lr=rate).step()
    return value.item(), state_arrays(module)


def step_errors(actual, expected, before):
    """By parameter: error of the step of da_bench, divided by the largest entry of the expected step.

    The error relative to the parameter itself is smaller.
    """
    leaves = jax.tree_util.tree_leaves_with_path
    errors = {}
    for (path, leaf), (_, expected_leaf), (_, old) in zip(
        leaves(actual), leaves(expected), leaves(before), strict=True
    ):
        step = expected_leaf - old
        errors[jax.tree_util.keystr(path)] = relative_error(leaf, expected_leaf, scale=step if step.any() else 1.0)
    return errors


def running_statistics(stats, name):
    """All running means ("mean") or variances ("var") of a network in one vector."""
    leaves = jax.tree_util.tree_leaves_with_path(stats)
    return np.concatenate([np.asarray(leaf) for path, leaf in leaves if path[-1].key == name])


def import_keras_applications():
    """Import the networks of Keras with its JAX backend, or skip the test."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras").applications


def randomised_keras(build, images, seed=0):
    """Build a Keras network of the images' precision, with random parameters and the images' running statistics."""
    import keras

    keras.config.set_floatx(images.dtype.name)
    with jax.numpy_rank_promotion("allow"):
        network = build()
        rng = np.random.default_rng(seed)
        for variable in network.trainable_variables:
            noise = rng.normal(size=variable.shape)
            depthwise = variable.path.endswith("depthwise_kernel")
            spread = (1.5 / np.prod(variable.shape[: 2 if depthwise else -1])) ** 0.5
            shift = 1.0 if variable.path.endswith("gamma") else 0.0
            variable.assign(noise * spread if len(variable.shape) > 1 else shift + 0.2 * noise)
        norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        network(images, training=True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return network


def keras_arrays(network, values=None):
    """Arrays of a Keras network as a file holds them, by layer and variable, as if its session had been fresh."""
    values = [variable.numpy() for variable in network.variables] if values is None else values
    names = [variable.path.split("/")[-2:] for variable in network.variables]
    fresh = fresh_session_names({layer for layer, _ in names})
    named = zip(names, values, strict=True)
    return {f"{fresh[layer]}/{name}": np.asarray(value) for (layer, name), value in named}
