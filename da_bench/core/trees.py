"""Nested dictionaries of arrays: merge them, and convert them to and from flat dictionaries by path."""

from collections.abc import Mapping
from typing import Any

import jax

from da_bench.core.types import Tree

KeyPath = tuple[str, ...]  # the keys from the root of a tree to a leaf, ("params", "trunk", "conv1", "kernel")


def flatten(tree: Tree) -> dict[KeyPath, Any]:
    """Map the path of every leaf of a nested dictionary to the leaf."""
    return {tuple(str(key.key) for key in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def unflatten(leaves: Mapping[KeyPath, Any]) -> Tree:
    """Build the nested dictionary whose leaves have these paths: the inverse of `flatten`."""
    tree: Tree = {}
    for path, leaf in leaves.items():
        branch = tree
        for key in path[:-1]:
            branch = branch.setdefault(key, {})
        branch[path[-1]] = leaf
    return tree


def merge_pretrained(variables: Tree, pretrained: Tree) -> Tree:
    """Replace leaves of `variables` by those that `pretrained` has at the same paths.

    Args:
        variables: nested dictionary of arrays, such as freshly initialised parameters.
        pretrained: nested dictionary of arrays whose paths are a subset of those of `variables`; may be empty.

    Returns:
        A new nested dictionary with the structure of `variables`.
    """
    if not isinstance(pretrained, dict):
        return pretrained
    return {**variables, **{name: merge_pretrained(variables[name], part) for name, part in pretrained.items()}}
