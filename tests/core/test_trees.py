"""Pretrained arrays replace their counterparts, and nothing else changes."""

from da_bench.core.trees import merge_pretrained

INITIAL = {"params": {"a": {"k": 1, "b": 2}, "h": 3}, "batch_stats": {"a": 4}}


def test_part_of_a_tree_is_replaced():
    assert merge_pretrained(INITIAL, {"params": {"a": {"k": 7}}}) == {
        "params": {"a": {"k": 7, "b": 2}, "h": 3},
        "batch_stats": {"a": 4},
    }


def test_nothing_is_replaced_by_an_empty_tree():
    assert merge_pretrained(INITIAL, {}) == INITIAL
