"""Xception against Keras' and timm's with the same weights."""

import jax
import numpy as np
import pytest
import reference as ref

from da_bench.models import Xception

pytestmark = pytest.mark.filterwarnings("default")  # other people's
LABELS = np.array([1, 4, 7, 4])
SMALL = 107  # pixels


def ours(**fields):
    return Xception(classes=10, bottleneck=None, dropout=0.0, **fields)


def of_keras():
    build = ref.keras_applications().Xception
    return build(weights=None, include_top=True, classes=10, classifier_activation=None)


def of_keras_without_top():
    """For pictures of any size."""
    return ref.keras_applications().Xception(weights=None, include_top=False, input_shape=(SMALL, SMALL, 3))


def of_timm():
    ref.torchvision()
    timm = pytest.importorskip("timm")
    return ref.scrambled(timm.create_model("legacy_xception", num_classes=10))


def test_keras_in_evaluation():
    ref.keras_applications()
    images = ref.pictures(2, 299)
    network = ref.keras_scrambled(of_keras, images)
    params, stats = ref.variables(ours(), "keras", ref.keras_arrays(network))
    with jax.numpy_rank_promotion("allow"):
        expected = network.predict(images, verbose=0)
    assert ref.error(ref.evaluated(ours(), params, stats, images).logits, expected) < 1e-4
    assert ref.error(ref.evaluated(ours(library="timm"), params, stats, images).logits, expected) > 1e-2


def test_timm_in_evaluation():
    images = ref.pictures(2, 299)
    network = ref.calibrated(of_timm(), ref.as_torch(images))
    params, stats = ref.variables(ours(library="timm"), "timm", ref.arrays(network))
    expected = network(ref.as_torch(images)).detach()
    assert ref.error(ref.evaluated(ours(library="timm"), params, stats, images).logits, expected) < 1e-4


def test_timm_in_a_training_step(x64):
    images = ref.pictures(4, SMALL, "float64")
    network = ref.calibrated(of_timm().double(), ref.as_torch(images)).train()
    params, stats = ref.variables(ours(library="timm"), "timm", ref.arrays(network))
    loss, stepped, after = ref.stepped(ours(library="timm"), params, stats, images, LABELS, 0.1)
    expected, state = ref.torch_stepped(network, ref.as_torch(images), LABELS, 0.1)
    theirs, their_stats = ref.variables(ours(library="timm"), "timm", state)
    assert ref.error(loss, expected) < 1e-4
    assert max(ref.step_errors(stepped, theirs, params).values()) < 1e-4
    # of the mean alone: torch averages variances times n / (n - 1)
    assert ref.error(ref.statistic(after, "mean"), ref.statistic(their_stats, "mean")) < 1e-4
