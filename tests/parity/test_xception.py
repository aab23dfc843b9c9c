"""Xception against Keras' and timm's with the same weights."""

import jax
import numpy as np
import pytest

from da_bench.models import Xception
from tests.helpers import twins

pytestmark = pytest.mark.filterwarnings("default")  # other people's
LABELS = np.array([1, 4, 7, 4])
SMALL = 75  # pixels


def ours(**fields):
    return Xception(classes=10, bottleneck=None, dropout=0.0, **fields)


def of_keras():
    build = twins.keras_applications().Xception
    return build(weights=None, include_top=True, classes=10, classifier_activation=None)


def of_timm():
    twins.torchvision()
    timm = pytest.importorskip("timm")
    return twins.scrambled(timm.create_model("legacy_xception", num_classes=10))


def test_keras_in_evaluation():
    twins.keras_applications()
    images = twins.random_images(2, 299)
    network = twins.keras_scrambled(of_keras, images)
    params, stats = twins.variables(ours(), "keras", twins.keras_arrays(network))
    with jax.numpy_rank_promotion("allow"):
        expected = network.predict(images, verbose=0)
    assert twins.error(twins.evaluated(ours(), params, stats, images).logits, expected) < 1e-4
    assert twins.error(twins.evaluated(ours(library="timm"), params, stats, images).logits, expected) > 1e-2


def test_timm_in_evaluation():
    images = twins.random_images(2, 299)
    network = twins.calibrated(of_timm(), twins.as_torch(images))
    params, stats = twins.variables(ours(library="timm"), "timm", twins.arrays(network))
    expected = network(twins.as_torch(images)).detach()
    assert twins.error(twins.evaluated(ours(library="timm"), params, stats, images).logits, expected) < 1e-4


def test_timm_in_a_training_step(x64):
    images = twins.random_images(4, SMALL, "float64")
    network = twins.calibrated(of_timm().double(), twins.as_torch(images)).train()
    params, stats = twins.variables(ours(library="timm"), "timm", twins.arrays(network))
    loss, stepped, after = twins.stepped(ours(library="timm"), params, stats, images, LABELS, 0.1)
    expected, state = twins.torch_stepped(network, twins.as_torch(images), LABELS, 0.1)
    theirs, their_stats = twins.variables(ours(library="timm"), "timm", state)
    assert twins.error(loss, expected) < 1e-4
    assert max(twins.step_errors(stepped, theirs, params).values()) < 1e-4
    # of the mean alone: torch averages variances times n / (n - 1)
    assert twins.error(twins.statistic(after, "mean"), twins.statistic(their_stats, "mean")) < 1e-4
