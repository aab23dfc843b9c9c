"""Trees: merging pretrained arrays, flattening and unflattening."""

import pytest

from da_bench.core.trees import flatten, merge_pretrained, unflatten

VARIABLES = {"params": {"a": {"k": 1, "b": 2}, "h": 3}, "batch_stats": {"a": 4}}


def test_merge_replaces_the_given_leaves():
    assert merge_pretrained(VARIABLES, {"params": {"a": {"k": 7}}}) == {
        "params": {"a": {"k": 7, "b": 2}, "h": 3},
        "batch_stats": {"a": 4},
    }
    assert merge_pretrained(VARIABLES, {}) == VARIABLES


def test_merge_refuses_an_unknown_name():
    with pytest.raises(KeyError, match="elsewhere"):
        merge_pretrained(VARIABLES, {"params": {"elsewhere": {"k": 7}}})


def test_unflatten_is_the_inverse_of_flatten():
    leaves = flatten(VARIABLES)
    assert leaves[("params", "a", "b")] == 2
    assert unflatten(leaves) == VARIABLES
