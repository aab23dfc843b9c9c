"""Networks with published weights: names, sizes, and a training step. `make parity` compares their outputs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.models import MODELS, forward, initialise, resnet
from da_bench.models.vgg import adaptive_mean_pool
from da_bench.models.weight_names import torch_layout

# number of parameters with 1000 classes, from torchvision's documentation of each network's weights
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "squeezenet": 1_235_496,
    "mobilenet_v2": 3_504_872,
}
NAMES_IN_FILES = {  # some arrays and their shapes
    ("resnet50", "torchvision"): {
        "layer1.0.downsample.1.running_var": (256,),
        "layer4.2.conv2.weight": (512, 512, 3, 3),
    },
    ("resnet50", "keras"): {
        "conv1_conv/bias": (64,),
        "conv2_block1_0_conv/kernel": (1, 1, 64, 256),
        "conv5_block3_2_bn/moving_variance": (512,),
        "conv3_block4_3_bn/beta": (512,),
        "predictions/kernel": (2048, 1000),
    },
    ("resnet18", "timm"): {"bn1.running_mean": (64,), "fc.bias": (1000,)},
    ("vgg16", "torchvision"): {"features.28.weight": (512, 512, 3, 3), "classifier.0.weight": (4096, 25088)},
    ("vgg16_bn", "torchvision"): {"features.41.running_var": (512,), "classifier.6.weight": (1000, 4096)},
    ("vgg19", "keras"): {
        "block5_conv4/kernel": (3, 3, 512, 512),
        "fc2/bias": (4096,),
        "predictions/kernel": (4096, 1000),
    },
    ("squeezenet", "torchvision"): {
        "features.12.expand3x3.weight": (256, 64, 3, 3),
        "classifier.1.weight": (1000, 512, 1, 1),
    },
    ("mobilenet_v2", "torchvision"): {
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.17.conv.3.running_var": (320,),
        "features.18.0.weight": (1280, 320, 1, 1),
    },
    ("mobilenet_v2", "keras"): {
        "Conv1/kernel": (3, 3, 3, 32),
        "expanded_conv_depthwise/depthwise_kernel": (3, 3, 32, 1),
        "block_16_project_BN/moving_variance": (320,),
        "predictions/bias": (1000,),
    },
}


@functools.cache
def shapes(model):
    """Shapes of all arrays of trunk and head by path."""
    example = jax.ShapeDtypeStruct((1, model.SIDE, model.SIDE, 3), jnp.float32)
    params, stats = jax.eval_shape(lambda x: initialise(model, jax.random.key(0), x), example)
    leaves = jax.tree_util.tree_leaves_with_path({"params": params, **stats})
    return {tuple(step.key for step in path): leaf.shape for path, leaf in leaves}


def count_parameters(shapes_by_path):
    return sum(np.prod(shape, dtype=int) for path, shape in shapes_by_path.items() if path[0] == "params")


@pytest.mark.conformance
@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters_stages_and_names(name):
    model = MODELS[name](bottleneck=None).clone(classes=1000)
    actual_shapes = shapes(model)
    assert (
        sum(np.prod(shape, dtype=int) for path, shape in actual_shapes.items() if path[0] == "params")
        == PARAMETERS[name]
    )
    stages = [[s for s in model.STAGES if path[2].startswith(s)] for path in actual_shapes if path[1] == "trunk"]
    assert all(len(matching) == 1 for matching in stages)
    assert {matching[0] for matching in stages} == set(model.STAGES)
    for convention in model.CONVENTIONS:
        own = fitting(name, convention)
        published = list(own.published_arrays(convention))
        assert sorted(array.path for array in published) == sorted(actual_shapes if own == model else shapes(own))
        assert len({array.name for array in published}) == len(published)


def fitting(name, convention):
    """The network that files of the convention fit."""
    fields = MODELS[name].FIELDS.get(convention, {})
    return MODELS[name](bottleneck=None, **fields).clone(classes=1000)


def test_keras_resnet_has_biases():
    """Keras counts 25,583,592 trainable parameters: one bias more for each of 26,560 channels than torchvision."""
    actual_shapes = shapes(fitting("resnet50", "keras"))
    assert count_parameters(actual_shapes) == 25_583_592
    with pytest.raises(UserError, match="library='keras'"):
        list(MODELS["resnet50"]().published_arrays("keras"))


@pytest.mark.parametrize(("library", "place"), [("torchvision", "conv2"), ("keras", "conv1")])
def test_the_stride_of_a_block_follows_the_library(library, place):
    block = resnet._Bottleneck(2, 2, resnet.LIBRARIES[library])
    example = jnp.zeros((1, 8, 8, 3))
    state = block.init(jax.random.key(0), example, False)
    _, intermediates = block.apply(state, example, False, capture_intermediates=True)
    sides = {
        name: calls["__call__"][0].shape[1]
        for name, calls in intermediates["intermediates"].items()
        if name != "__call__"
    }
    assert sides["conv1"] == (4 if place == "conv1" else 8)
    assert sides["conv2"] == sides["downsample_0"] == 4


@pytest.mark.parametrize(("name", "convention"), NAMES_IN_FILES)
def test_arrays_of_files_are_converted(name, convention):
    model = fitting(name, convention)
    actual_shapes, published = shapes(model), {array.name: array for array in model.published_arrays(convention)}
    for name_in_file, shape in NAMES_IN_FILES[name, convention].items():
        array = published[name_in_file]
        assert array.convert(np.broadcast_to(np.float32(0), shape)).shape == actual_shapes[array.path]


def test_torch_layout_has_outputs_first():
    weight = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    assert torch_layout(weight)[4, 6, 2, 1] == weight[1, 2, 4, 6]
    np.testing.assert_array_equal(torch_layout(weight[:, :, 0, 0]), weight[:, :, 0, 0].T)
    np.testing.assert_array_equal(torch_layout(weight[:, 0, 0, 0]), weight[:, 0, 0, 0])


def test_an_unknown_convention_is_refused():
    with pytest.raises(UserError, match=r"Resnet18.*torchvision and timm.*'keras'"):
        list(MODELS["resnet18"]().published_arrays("keras"))
    with pytest.raises(UserError, match="bottleneck = None"):
        shapes(MODELS["squeezenet"](pooled=False).clone(classes=3))


def test_pooling_windows_cover_all_positions():
    maps = jnp.arange(3.0).reshape(1, 3, 1, 1) * jnp.ones((1, 3, 4, 1))
    actual_shapes = adaptive_mean_pool(maps, 2)  # rows 0 and 1, then 1 and 2
    np.testing.assert_allclose(actual_shapes[0, :, :, 0], [[0.5, 0.5], [1.5, 1.5]])
    np.testing.assert_allclose(adaptive_mean_pool(jnp.ones((1, 2, 2, 1)), 7), np.ones((1, 7, 7, 1)), rtol=1e-6)


def test_squeezenets_published_classifier_is_convolution_relu_and_mean(rng):
    model = MODELS["squeezenet"](pooled=False, bottleneck=None).clone(classes=3)
    maps, kernel, bias = rng.normal(size=(2, 2, 3, 512)), rng.normal(size=(512, 3)), rng.normal(size=3)
    params = {"head": {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}}
    actual_shapes = model.apply({"params": params}, jnp.asarray(maps.reshape(2, -1), jnp.float32), method="classify")
    np.testing.assert_allclose(actual_shapes, np.maximum(maps @ kernel + bias, 0).mean(axis=(1, 2)), rtol=1e-4)


class Small(resnet._Deep):
    DEPTHS = (1, 1)


def test_a_network_trains_and_evaluates_images_independently(rng):
    model = Small(bottleneck=4).clone(classes=3)
    inputs = jnp.asarray(rng.normal(size=(3, 32, 32, 3)), jnp.float32)
    params, stats = jax.jit(lambda: initialise(model, jax.random.key(0), inputs))()

    def loss(params):
        output, updated = forward(model, params, stats, inputs, jax.random.key(1))
        return jnp.sum(output.logits**2), updated

    gradients, updated = jax.jit(jax.grad(loss, has_aux=True))(params)
    assert all(jnp.abs(gradient).max() > 0 for gradient in jax.tree.leaves(gradients["trunk"]["layer2_0"]))
    moved = jax.tree.map(lambda old, new: float(jnp.abs(old - new).max()), stats, updated)
    assert min(jax.tree.leaves(moved)) > 0
    evaluate = jax.jit(lambda x: forward(model, params, stats, x)[0].logits)
    np.testing.assert_allclose(evaluate(inputs)[1], evaluate(inputs.at[0].set(0))[1], rtol=1e-4, atol=1e-6)
