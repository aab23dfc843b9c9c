"""Inception-v3 against torchvision's and Keras' with the same weights."""

import jax
import numpy as np
import pytest

from da_bench.models import InceptionV3
from da_bench.models.inception_v3 import LIBRARIES, Details
from tests.helpers import parity

LIBRARIES.add("borderless", Details(0.9, scaled=True, border=False))  # torchvision's network with one difference
pytestmark = pytest.mark.filterwarnings("default")  # warnings of other libraries
LABELS = np.array([1, 4, 7, 4])
SMALL = 107  # pixels


def our_network(**fields):
    return InceptionV3(classes=10, bottleneck=None, dropout=0.0, **fields)


def reference_torchvision():
    build = parity.import_torchvision().models.inception_v3
    return parity.randomise(
        build(num_classes=10, aux_logits=False, transform_input=False, init_weights=False, dropout=0.0)
    )


def reference_keras():
    return parity.import_keras_applications().InceptionV3(weights=None, classes=10, classifier_activation=None)


def test_torchvision_in_evaluation():
    images = parity.random_images(2, 299)
    network = parity.set_running_statistics(reference_torchvision(), parity.to_torch(images))
    params, stats = parity.variables(our_network(), "torchvision", parity.state_arrays(network))
    expected = network(parity.to_torch(images)).detach()
    assert parity.relative_error(parity.evaluate(our_network(), params, stats, images).logits, expected) < 1e-4
    logits = parity.evaluate(our_network(library="borderless"), params, stats, images).logits
    assert parity.relative_error(logits, expected) > 1e-2


def test_torchvision_in_a_training_step(x64):
    images = parity.random_images(4, SMALL, "float64")
    network = parity.set_running_statistics(reference_torchvision().double(), parity.to_torch(images)).train()
    params, stats = parity.variables(our_network(), "torchvision", parity.state_arrays(network))
    loss, stepped, after = parity.sgd_step(our_network(), params, stats, images, LABELS, 0.1)
    expected, state = parity.torch_sgd_step(network, parity.to_torch(images), LABELS, 0.1)
    expected_params, expected_stats = parity.variables(our_network(), "torchvision", state)
    assert parity.relative_error(loss, expected) < 1e-4
    assert max(parity.step_errors(stepped, expected_params, params).values()) < 1e-4
    # the mean alone: torch averages variances over n - 1
    means, expected_means = (parity.running_statistics(tree, "mean") for tree in (after, expected_stats))
    assert parity.relative_error(means, expected_means) < 1e-4


def test_the_auxiliary_classifier_is_known_and_ignored():
    network = parity.import_torchvision().models.inception_v3(num_classes=10, init_weights=False)
    assert sum(parameter.numel() for parameter in network.parameters()) > 24_000_000
    parity.variables(our_network(), "torchvision", parity.state_arrays(network))


def test_keras_in_evaluation():
    parity.import_keras_applications()
    images = parity.random_images(2, 299)
    network = parity.randomised_keras(reference_keras, images)
    params, stats = parity.variables(our_network(library="keras"), "keras", parity.keras_arrays(network))
    with jax.numpy_rank_promotion("allow"):
        expected = network.predict(images, verbose=0)
    logits = parity.evaluate(our_network(library="keras"), params, stats, images).logits
    assert parity.relative_error(logits, expected) < 1e-4


# No training step against Keras: it differs from torchvision's in the border and the scale alone, which evaluation
# compares.
