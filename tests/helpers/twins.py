"""Other people's networks with seeded random weights, and ours with the same ones.

Evaluation is compared in float32, as it is used; a training step in float64, since gradients through dozens of batch
normalisations of a few images are dominated by rounding in float32, and a bound that allowed for it would allow for
mistakes too.
"""

import os
import sys
import types

import jax
import numpy as np
import optax
import pytest

from da_bench.models import forward
from da_bench.models.weight_names import fresh_session_names

COUNTER = ".num_batches_tracked"


def torchvision():
    """The package, or the test is skipped."""
    pytest.importorskip("torch", reason="compares with PyTorch: `make parity` installs it")
    # one whose operators were built for another torch cannot be imported with them; none is used here
    sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
    return pytest.importorskip("torchvision", reason="compares with torchvision: `make parity` installs it")


def variables(model, convention, state):
    """(params, stats) of ours from a file's tensors, of which every one is used or known to be none of ours."""
    tree = {"params": {}, "batch_stats": {}}
    for one in model.published_arrays(convention):
        *above, leaf = one.path
        place = tree
        for name in above:
            place = place.setdefault(name, {})
        place[leaf] = np.array(one.convert(np.asarray(state[one.name])))
    used = {one.name for one in model.published_arrays(convention)}
    ignored = tuple(getattr(model, "IGNORED", ()))
    assert {name for name in state if not name.startswith(ignored) and not name.endswith(COUNTER)} <= used
    stats = {"batch_stats": tree["batch_stats"]} if tree["batch_stats"] else {}
    return tree["params"], stats


def scrambled(module, seed=0):
    """A torch module whose every parameter says something: no scale is one, no shift is none."""
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


def calibrated(module, images):
    """The module, its running statistics those of these images, so that nothing vanishes or explodes."""
    import torch

    norms = [layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        module.train()(images)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    return module.eval()


def arrays(module):
    """A torch module's state, by name."""
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def random_images(n, side, dtype="float32"):
    """[n, side, side, 3]: noise with larger and smaller parts, so that places differ."""
    rng = np.random.default_rng(1)
    waves = np.sin(np.arange(side) / 7)[None, :, None, None] * np.cos(np.arange(side) / 11)[None, None, :, None]
    return (rng.normal(size=(n, side, side, 3)) + 2 * waves).astype(dtype)


def as_torch(images):
    """[n, h, w, c] -> torch's [n, c, h, w]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def evaluated(model, params, stats, inputs):
    """Our features and logits in evaluation."""
    return jax.jit(lambda p, s, x: forward(model, p, s, x)[0])(params, stats, inputs)


def error(ours, theirs, scale=None):
    """The largest difference over the largest of theirs, or of `scale`."""
    theirs = np.asarray(theirs)
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs if scale is None else scale).max())


def stepped(model, params, stats, inputs, labels, rate):
    """(loss, params, stats) of ours after one step of SGD on the cross-entropy, in training mode."""

    def loss(params, stats, inputs):
        output, after = forward(model, params, stats, inputs, jax.random.key(0))
        return optax.softmax_cross_entropy_with_integer_labels(output.logits, labels).mean(), after

    (value, after), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, stats, inputs)
    return value, jax.tree.map(lambda p, g: p - rate * g, params, gradients), after


def torch_stepped(module, inputs, labels, rate, logits=None):
    """(loss, state) of a torch module after the same step; logits: of inputs, the module itself unless given."""
    import torch

    value = torch.nn.functional.cross_entropy((logits or module)(inputs), torch.as_tensor(labels))
    value.backward()
    torch.optim.SGD(module.parameters(), lr=rate).step()
    return value.item(), arrays(module)


def step_errors(ours, theirs, before):
    """By parameter, our step's error over the largest entry of theirs: what is left of it in the parameter is less."""
    flat = jax.tree_util.tree_leaves_with_path
    found = {}
    for (path, mine), (_, other), (_, old) in zip(flat(ours), flat(theirs), flat(before), strict=True):
        moved = other - old
        found[jax.tree_util.keystr(path)] = error(mine, other, scale=moved if moved.any() else 1.0)
    return found


def statistic(stats, name):
    """The running means or variances of a network, one after another."""
    leaves = jax.tree_util.tree_leaves_with_path(stats)
    return np.concatenate([np.asarray(leaf) for path, leaf in leaves if path[-1].key == name])


def keras_applications():
    """The networks of Keras on JAX, or the test is skipped."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras").applications


def keras_scrambled(build, images, seed=0):
    """A Keras network as `scrambled` and `calibrated` have it; build: of its precision."""
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
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        network(images, training=True)
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
    return network


def keras_arrays(network, values=None):
    """A Keras network's arrays as a file's, by layer and variable, whatever its session had made before."""
    values = [variable.numpy() for variable in network.variables] if values is None else values
    names = [variable.path.split("/")[-2:] for variable in network.variables]
    fresh = fresh_session_names({layer for layer, _ in names})
    named = zip(names, values, strict=True)
    return {f"{fresh[layer]}/{name}": np.asarray(value) for (layer, name), value in named}
