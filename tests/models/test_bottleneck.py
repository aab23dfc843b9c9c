import jax
import numpy as np
import pytest

from da_bench.models import Bottleneck
from tests.helpers.tiny import forward, initialise


@pytest.fixture
def network(rng):
    model = Bottleneck(width=4, classes=3)
    inputs = rng.normal(size=(5, 2, 3)).astype(np.float32)
    params, stats = initialise(model, jax.random.key(0), inputs)
    return model, params, stats, inputs


def test_bottleneck_equals_the_formula_in_numpy(network):
    model, params, stats, inputs = network
    output, _ = forward(model, params, stats, inputs)
    rows = inputs.reshape(5, 6).astype(np.float64)
    rows = (rows - rows.mean(axis=1, keepdims=True)) / np.sqrt(rows.var(axis=1, keepdims=True) + 1e-6)
    hidden = np.maximum(rows @ np.asarray(params["bottleneck"]["kernel"]) + np.asarray(params["bottleneck"]["bias"]), 0)
    np.testing.assert_allclose(output.features, hidden, atol=1e-5)
    logits = hidden @ np.asarray(params["head"]["kernel"]) + np.asarray(params["head"]["bias"])
    np.testing.assert_allclose(output.logits, logits, atol=1e-5)


def test_bottleneck_ignores_the_scale_of_a_row_and_other_rows(network):
    model, params, stats, inputs = network
    whole, _ = forward(model, params, stats, inputs)
    scaled, _ = forward(model, params, stats, 1000 * inputs)
    alone, _ = forward(model, params, stats, inputs[2:3])
    np.testing.assert_allclose(scaled.logits, whole.logits, atol=1e-4)
    np.testing.assert_allclose(alone.logits[0], whole.logits[2], atol=1e-6)
