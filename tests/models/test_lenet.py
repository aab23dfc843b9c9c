"""Networks for digits with and without batch normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models import Lenet, LenetBn, SmallCnn, SmallCnnBn
from tests.helpers.tiny import forward, initialise


@pytest.mark.parametrize(("plain", "normed", "side"), [(Lenet, LenetBn, 28), (SmallCnn, SmallCnnBn, 8)])
def test_both_are_equal_if_the_statistics_have_no_effect(plain, normed, side):
    inputs = jax.random.normal(jax.random.key(1), (4, side, side, 1))
    params, stats = initialise(normed(classes=10), jax.random.key(0), inputs)
    assert "bias" not in params["bottleneck"]  # the normalisation would cancel it
    stats = jax.tree_util.tree_map_with_path(lambda path, x: x * (path[-1].key == "var") * (1 - 1e-5), stats)
    output, _ = forward(normed(classes=10), params, stats, inputs)
    kernels = {name: layer for name, layer in params.items() if not name.startswith("norms")}
    biased = {name: {"bias": jnp.zeros(layer["kernel"].shape[-1]), **layer} for name, layer in kernels.items()}
    expected, _ = forward(plain(classes=10), biased, {}, inputs)
    np.testing.assert_allclose(output.logits, expected.logits, atol=1e-4)
