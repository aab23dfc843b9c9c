"""The vocabulary. Read this first: every other room speaks these words.

Arrays are numpy or jax arrays; `n` counts examples, `d` feature dimensions, `c` classes.
"""

import dataclasses
import hashlib
import zlib
from typing import Any, NamedTuple

import jax
import numpy as np

Array = jax.Array | np.ndarray
Tree = Any  # a nested dict of arrays


class Domain(NamedTuple):
    """A labelled data set: inputs [n, ...] (float32 or uint8), labels [n] (int32 in 0..c-1)."""

    inputs: Array
    labels: Array


class Splits(NamedTuple):
    """One domain, cut once and for all: what trains, what selects and what reports never overlap."""

    train: Domain
    validation: Domain
    test: Domain


@dataclasses.dataclass(frozen=True)
class Task:
    """A source -> target pair. Only `evaluate` opens the labels of `target`; training gets `target.train.inputs`.

    name: "digits/synthetic-to-real"; classes: their names, by index; protocol: which split adapts and which is scored.
    """

    name: str
    classes: tuple[str, ...]
    source: Splits
    target: Splits
    citation: str = ""
    protocol: str = "inductive"

    def fingerprint(self) -> str:
        """Sha256 over the bytes, shapes and types of every array: equal on every machine for equal data."""
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves((self.source, self.target)):
            array = np.ascontiguousarray(leaf)
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


class Batch(NamedTuple):
    """One draw: source [b, ...], labels [b] of the source, target [b', ...]. There are no target labels to hold."""

    source: Array
    labels: Array
    target: Array


class Output(NamedTuple):
    """What a network returns: features [n, d] before the last layer, logits [n, c] before the softmax."""

    features: Array
    logits: Array


class TrainState(NamedTuple):
    """All that a step changes.

    step: steps done so far; params: {"model": ..., "method": ...}, what gradients move; stats: batch statistics;
    memory: teachers, centroids, queues, no gradient; opt_state: the optimizer's; key: the source of randomness.
    """

    step: Array
    params: Tree
    stats: Tree
    memory: Tree
    opt_state: Tree
    key: Array


def stream(key: Array, name: str) -> Array:
    """The stream of randomness called `name`: a new consumer never shifts the draws of the others."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
