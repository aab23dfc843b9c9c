"""Inception-v3 against torchvision's and Keras' with the same weights."""

import jax
import numpy as np
import pytest

from da_bench.models import InceptionV3
from da_bench.models.inception_v3 import LIBRARIES, Details
from tests.helpers import twins

LIBRARIES.add("borderless", Details(0.9, scaled=True, border=False))  # torchvision's, but for one detail
pytestmark = pytest.mark.filterwarnings("default")  # other people's
LABELS = np.array([1, 4, 7, 4])
SMALL = 107  # pixels


def ours(**fields):
    return InceptionV3(classes=10, bottleneck=None, dropout=0.0, **fields)


def of_torchvision():
    network = twins.torchvision().models.inception_v3
    return twins.scrambled(
        network(num_classes=10, aux_logits=False, transform_input=False, init_weights=False, dropout=0.0)
    )


def of_keras():
    return twins.keras_applications().InceptionV3(weights=None, classes=10, classifier_activation=None)


def test_torchvision_in_evaluation():
    images = twins.random_images(2, 299)
    network = twins.calibrated(of_torchvision(), twins.as_torch(images))
    params, stats = twins.variables(ours(), "torchvision", twins.arrays(network))
    expected = network(twins.as_torch(images)).detach()
    assert twins.error(twins.evaluated(ours(), params, stats, images).logits, expected) < 1e-4
    assert twins.error(twins.evaluated(ours(library="borderless"), params, stats, images).logits, expected) > 1e-2


def test_torchvision_in_a_training_step(x64):
    images = twins.random_images(4, SMALL, "float64")
    network = twins.calibrated(of_torchvision().double(), twins.as_torch(images)).train()
    params, stats = twins.variables(ours(), "torchvision", twins.arrays(network))
    loss, stepped, after = twins.stepped(ours(), params, stats, images, LABELS, 0.1)
    expected, state = twins.torch_stepped(network, twins.as_torch(images), LABELS, 0.1)
    theirs, their_stats = twins.variables(ours(), "torchvision", state)
    assert twins.error(loss, expected) < 1e-4
    assert max(twins.step_errors(stepped, theirs, params).values()) < 1e-4
    # of the mean alone: torch averages variances times n / (n - 1)
    assert twins.error(twins.statistic(after, "mean"), twins.statistic(their_stats, "mean")) < 1e-4


def test_the_auxiliary_classifier_is_known_and_ignored():
    network = twins.torchvision().models.inception_v3(num_classes=10, init_weights=False)
    assert sum(parameter.numel() for parameter in network.parameters()) > 24_000_000
    twins.variables(ours(), "torchvision", twins.arrays(network))


def test_keras_in_evaluation():
    twins.keras_applications()
    images = twins.random_images(2, 299)
    network = twins.keras_scrambled(of_keras, images)
    params, stats = twins.variables(ours(library="keras"), "keras", twins.keras_arrays(network))
    with jax.numpy_rank_promotion("allow"):
        expected = network.predict(images, verbose=0)
    assert twins.error(twins.evaluated(ours(library="keras"), params, stats, images).logits, expected) < 1e-4


# no training step against Keras: it is torchvision's but for the border and the scale, which evaluation has shown
