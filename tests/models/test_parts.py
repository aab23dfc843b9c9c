"""Which of a network's parameters are its classifier's, and which its batch normalisation's."""

import jax
import jax.numpy as jnp

from da_bench.models import Lenet, batch_norm_mask, head_mask, initialise
from tests.helpers import tiny


def chosen(tree):
    return sorted({str(path[0].key) for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if leaf})


def test_the_head_is_what_classify_uses():
    model = Lenet(classes=10)
    params, _ = initialise(model, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    found = head_mask(model, params, jnp.zeros((1, 500)))
    assert jax.tree.structure(found) == jax.tree.structure(params)
    assert chosen(found) == ["head"]


def test_scales_and_shifts_are_where_batch_statistics_are():
    params, stats = initialise(tiny.NORMED.clone(classes=3), jax.random.key(0), jnp.zeros((2, 2)))
    found = batch_norm_mask(params, stats)
    assert found["norm"] == {"scale": True, "bias": True}
    assert chosen(found) == ["norm"]
    assert chosen(batch_norm_mask(params, {})) == []
