"""Xception against Keras' and timm's with the same weights."""

import jax
import numpy as np
import pytest

from da_bench.models import Xception
from tests.helpers import parity

pytestmark = pytest.mark.filterwarnings("default")  # warnings of other libraries
LABELS = np.array([1, 4, 7, 4])
SMALL = 75  # pixels


def our_network(**fields):
    return Xception(classes=10, bottleneck=None, dropout=0.0, **fields)


def reference_keras():
    build = parity.import_keras_applications().Xception
    return build(weights=None, include_top=True, classes=10, classifier_activation=None)


def reference_timm():
    parity.import_torchvision()
    timm = pytest.importorskip("timm")
    return parity.randomise(timm.create_model("legacy_xception", num_classes=10))


def test_keras_in_evaluation():
    parity.import_keras_applications()
    images = parity.random_images(2, 299)
    network = parity.randomised_keras(reference_keras, images)
    params, stats = parity.variables(our_network(), "keras", parity.keras_arrays(network))
    with jax.numpy_rank_promotion("allow"):
        expected = network.predict(images, verbose=0)
    assert parity.relative_error(parity.evaluate(our_network(), params, stats, images).logits, expected) < 1e-4
    logits = parity.evaluate(our_network(library="timm"), params, stats, images).logits
    assert parity.relative_error(logits, expected) > 1e-2


def test_timm_in_evaluation():
    images = parity.random_images(2, 299)
    network = parity.set_running_statistics(reference_timm(), parity.to_torch(images))
    params, stats = parity.variables(our_network(library="timm"), "timm", parity.state_arrays(network))
    expected = network(parity.to_torch(images)).detach()
    logits = parity.evaluate(our_network(library="timm"), params, stats, images).logits
    assert parity.relative_error(logits, expected) < 1e-4


def test_timm_in_a_training_step(x64):
    images = parity.random_images(4, SMALL, "float64")
    network = parity.set_running_statistics(reference_timm().double(), parity.to_torch(images)).train()
    params, stats = parity.variables(our_network(library="timm"), "timm", parity.state_arrays(network))
    loss, stepped, after = parity.sgd_step(our_network(library="timm"), params, stats, images, LABELS, 0.1)
    expected, state = parity.torch_sgd_step(network, parity.to_torch(images), LABELS, 0.1)
    expected_params, expected_stats = parity.variables(our_network(library="timm"), "timm", state)
    assert parity.relative_error(loss, expected) < 1e-4
    assert max(parity.step_errors(stepped, expected_params, params).values()) < 1e-4
    # the mean alone: torch averages variances over n - 1
    means, expected_means = (parity.running_statistics(tree, "mean") for tree in (after, expected_stats))
    assert parity.relative_error(means, expected_means) < 1e-4
