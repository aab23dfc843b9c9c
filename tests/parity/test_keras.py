"""Our networks with arrays of Keras' applications: the same logits, the same step of training."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from da_bench.models import MODELS
from tests.helpers.reference import LABELS, compare, gradients, logits, ours, random_images, relative

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras: `make parity` installs it")
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE  # noqa: E402

THEIRS = {"vgg16": "VGG16", "vgg19": "VGG19", "mobilenet_v2": "MobileNetV2", "resnet50": "ResNet50"}


def network(name):
    own = {} if name.startswith("vgg") else {"library": "keras"}
    without = {} if name.startswith("resnet") else {"dropout": 0.0}
    return MODELS[name](bottleneck=None, **without, **own).clone(classes=LABELS)


def keras_network(name, dtype, side=224):
    keras.utils.set_random_seed(0)
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    make = getattr(keras.applications, THEIRS[name])
    theirs = make(weights=None, classes=LABELS, classifier_activation=None, input_shape=(side, side, 3))
    rng, ranges = np.random.default_rng(2), {"gamma": (0.7, 1.3), "beta": (-0.3, 0.3)}
    for one in theirs.trainable_variables:
        if one.name in ranges:
            one.assign(rng.uniform(*ranges[one.name], size=one.shape))
    return settled(theirs, random_images(rng, 4, side).astype(dtype))


def settled(theirs, inputs):
    """Its running averages those of a batch, so that maps keep their scale."""
    kept = next((one.momentum for one in theirs.layers if isinstance(one, keras.layers.BatchNormalization)), 0.0)
    call = jax.jit(lambda held: theirs.stateless_call(*held, inputs, training=True)[1])
    for one, moved in zip(theirs.non_trainable_variables, call(values(theirs)), strict=True):
        start = float(one.name == "moving_variance")
        if one.name.startswith("moving"):
            one.assign(jnp.maximum((moved - kept * start) / (1 - kept), -np.inf if start == 0 else 1e-3))
    return theirs


def values(theirs):
    return [one.value for one in theirs.trainable_variables], [one.value for one in theirs.non_trainable_variables]


def arrays(theirs, others=None):
    """By layer and name, as files of Keras 2 have them; others: values instead of the network's own, by path."""
    named = {}
    for layer in theirs.layers:
        for one in layer.weights:
            name = "depthwise_kernel" if isinstance(layer, keras.layers.DepthwiseConv2D) else one.name
            named[f"{layer.name}/{name}"] = np.asarray(one.value if others is None else others[one.path])
    return named


@pytest.fixture(autouse=True)
def as_before():
    with jax.numpy_rank_promotion("allow"):  # Keras adds biases [c] to maps
        yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.backend.clear_session()


@pytest.mark.parametrize("name", THEIRS)
def test_logits_of_224_pixels_are_keras(name, rng):
    theirs, model, inputs = keras_network(name, "float32"), network(name), random_images(rng, 2, 224)
    call = jax.jit(lambda held: theirs.stateless_call(*held, inputs, training=False)[0])
    expected = np.asarray(call(values(theirs)))
    assert relative(expected[0], expected[1]) > 0.01  # the images matter
    assert relative(logits(model, *ours(model, arrays(theirs), "keras"), inputs), expected) < 1e-4


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
def test_a_step_of_training_is_keras(name, rng, x64, monkeypatch):
    monkeypatch.setitem(BIT64_TO_BIT32_DTYPE, "float64", "float64")  # else its normalisations compute in single
    theirs, model = keras_network(name, "float64", 64), network(name)
    inputs, labels = random_images(rng, 6, 64).astype(np.float64), rng.integers(LABELS, size=6)
    value, slopes, stats = gradients(model, *ours(model, arrays(theirs), "keras"), inputs, labels)

    def loss(trained, held):
        found, moved = theirs.stateless_call(trained, held, inputs, training=True)
        return optax.softmax_cross_entropy_with_integer_labels(found, labels).mean(), moved

    (expected, moved), of_theirs = jax.jit(jax.value_and_grad(loss, has_aux=True))(*values(theirs))
    after = {one.path: value for one, value in zip(theirs.non_trainable_variables, moved, strict=True)}
    after |= {one.path: value for one, value in zip(theirs.trainable_variables, of_theirs, strict=True)}
    expected_slopes, expected_stats = ours(model, arrays(theirs, after), "keras")
    assert abs(value - expected) < 1e-9
    compare(slopes, expected_slopes, 1e-6)
    compare(stats, expected_stats, 1e-9)
