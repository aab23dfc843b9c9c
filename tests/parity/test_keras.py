"""Networks with the arrays of Keras' applications give the same logits and the same training step."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from da_bench.models import MODELS
from tests.helpers.reference import (
    CLASSES,
    assert_trees_close,
    logits,
    loss_and_gradients,
    random_images,
    relative_error,
    variables_from,
)

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras: `make parity` installs it")
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE  # noqa: E402

KERAS_NAMES = {"vgg16": "VGG16", "vgg19": "VGG19", "mobilenet_v2": "MobileNetV2", "resnet50": "ResNet50"}


def network(name):
    library = {} if name.startswith("vgg") else {"library": "keras"}
    no_dropout = {} if name.startswith("resnet") else {"dropout": 0.0}
    return MODELS[name](bottleneck=None, **no_dropout, **library).clone(classes=CLASSES)


def keras_network(name, dtype, side=224):
    keras.utils.set_random_seed(0)
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    make = getattr(keras.applications, KERAS_NAMES[name])
    reference = make(weights=None, classes=CLASSES, classifier_activation=None, input_shape=(side, side, 3))
    rng, ranges = np.random.default_rng(2), {"gamma": (0.7, 1.3), "beta": (-0.3, 0.3)}
    for variable in reference.trainable_variables:
        if variable.name in ranges:
            variable.assign(rng.uniform(*ranges[variable.name], size=variable.shape))
    return set_running_averages(reference, random_images(rng, 4, side).astype(dtype))


def set_running_averages(reference, inputs):
    """Set running averages to those of a batch, so that maps keep their scale."""
    norms = [layer for layer in reference.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momentum = norms[0].momentum if norms else 0.0
    call = jax.jit(lambda variables: reference.stateless_call(*variables, inputs, training=True)[1])
    for variable, moved in zip(reference.non_trainable_variables, call(values(reference)), strict=True):
        start = float(variable.name == "moving_variance")
        if variable.name.startswith("moving"):
            variable.assign(jnp.maximum((moved - momentum * start) / (1 - momentum), -np.inf if start == 0 else 1e-3))
    return reference


def values(reference):
    return [v.value for v in reference.trainable_variables], [v.value for v in reference.non_trainable_variables]


def arrays(reference, others=None):
    """Arrays by layer and name, as in files of Keras 2; `others` gives values by path in place of the network's own."""
    named = {}
    for layer in reference.layers:
        for weight in layer.weights:
            name = "depthwise_kernel" if isinstance(layer, keras.layers.DepthwiseConv2D) else weight.name
            named[f"{layer.name}/{name}"] = np.asarray(weight.value if others is None else others[weight.path])
    return named


@pytest.fixture(autouse=True)
def restore_keras_settings():
    with jax.numpy_rank_promotion("allow"):  # Keras adds biases [c] to maps
        yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.backend.clear_session()


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_logits_equal_keras(name, rng):
    reference, model, inputs = keras_network(name, "float32"), network(name), random_images(rng, 2, 224)
    call = jax.jit(lambda variables: reference.stateless_call(*variables, inputs, training=False)[0])
    expected = np.asarray(call(values(reference)))
    assert relative_error(expected[0], expected[1]) > 0.01  # the images matter
    assert relative_error(logits(model, *variables_from(model, arrays(reference), "keras"), inputs), expected) < 1e-4


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
def test_a_training_step_equals_keras(name, rng, x64, monkeypatch):
    monkeypatch.setitem(BIT64_TO_BIT32_DTYPE, "float64", "float64")  # otherwise its normalisations compute in float32
    reference, model = keras_network(name, "float64", 64), network(name)
    inputs, labels = random_images(rng, 6, 64).astype(np.float64), rng.integers(CLASSES, size=6)
    value, gradients, stats = loss_and_gradients(
        model, *variables_from(model, arrays(reference), "keras"), inputs, labels
    )

    def loss(trainable, fixed):
        outputs, moved = reference.stateless_call(trainable, fixed, inputs, training=True)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean(), moved

    (expected, moved), reference_gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(*values(reference))
    after = {v.path: value for v, value in zip(reference.non_trainable_variables, moved, strict=True)}
    after |= {v.path: value for v, value in zip(reference.trainable_variables, reference_gradients, strict=True)}
    expected_gradients, expected_stats = variables_from(model, arrays(reference, after), "keras")
    assert abs(value - expected) < 1e-9
    assert_trees_close(gradients, expected_gradients, 1e-6)
    assert_trees_close(stats, expected_stats, 1e-9)
