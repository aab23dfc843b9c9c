"""Nested dictionaries of arrays."""

from da_bench.core.types import Tree


def merge_pretrained(initial: Tree, pretrained: Tree) -> Tree:
    """Replace parts of a network's initial variables by pretrained ones.

    Args:
        initial: nested dict of arrays; every key of `pretrained` is in it.
        pretrained: nested dict with any part of the same keys; may be empty.

    Returns:
        A new dict: the arrays of `pretrained` where it has any, else those of `initial`.
    """
    if not isinstance(pretrained, dict):
        return pretrained
    return {**initial, **{name: merge_pretrained(initial[name], part) for name, part in pretrained.items()}}
