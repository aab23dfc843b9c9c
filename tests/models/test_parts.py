"""Masks of the classifier's parameters and of batch normalisation's."""

import jax
import jax.numpy as jnp

from da_bench.models import Lenet, batch_norm_mask, head_mask, initialise
from tests.helpers import tiny


def selected(tree):
    return sorted({str(path[0].key) for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if leaf})


def test_head_mask_selects_what_classify_uses():
    model = Lenet(classes=10)
    params, _ = initialise(model, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    mask = head_mask(model, params, jnp.zeros((1, 500)))
    assert jax.tree.structure(mask) == jax.tree.structure(params)
    assert selected(mask) == ["head"]


def test_batch_norm_mask_selects_layers_with_statistics():
    params, stats = initialise(tiny.NORMED.clone(classes=3), jax.random.key(0), jnp.zeros((2, 2)))
    mask = batch_norm_mask(params, stats)
    assert mask["norm"] == {"scale": True, "bias": True}
    assert selected(mask) == ["norm"]
    assert selected(batch_norm_mask(params, {})) == []
