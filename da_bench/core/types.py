"""The vocabulary. Read this first: every other room speaks these words.

Arrays are numpy or jax arrays; `n` counts examples, `d` feature dimensions, `c` classes.
"""

import dataclasses
import functools
import hashlib
import zlib
from typing import Any, NamedTuple

import jax
import numpy as np

Array = jax.Array | np.ndarray
Tree = Any  # a nested dict of arrays
FINGERPRINT_CHUNK = 256  # rows of a mapped file in memory at a time


class Domain(NamedTuple):
    """A labelled data set: inputs [n, ...] (float32, or uint8 images), labels [n] (int32 in 0..c-1)."""

    inputs: Array
    labels: Array


class Splits(NamedTuple):
    """One domain, cut once and for all. In the inductive protocol the three never overlap."""

    train: Domain
    validation: Domain
    test: Domain


@dataclasses.dataclass(frozen=True)
class Task:
    """A source -> target pair. Methods are given `target.train.inputs`, and a task `without_target_labels` to look at.

    name: "digits/synthetic-to-real"; classes: their names, by index; protocol: which split adapts and which is scored,
    "inductive", "transductive" or "whole"; origin: of inputs that were computed, the sha256 of what from and how, "":
    they were read.
    """

    name: str
    classes: tuple[str, ...]
    source: Splits
    target: Splits
    citation: str = ""
    protocol: str = "inductive"
    origin: str = ""

    def without_target_labels(self) -> "Task":
        """The same, with -1 in place of every label of the target."""
        blank = [part._replace(labels=np.full(len(part.labels), -1, np.int32)) for part in self.target]
        return dataclasses.replace(self, target=Splits(*blank))

    @functools.cached_property
    def fingerprint(self) -> str:
        """Sha256 over the bytes, shapes and types of every array, so of data and split: equal on every machine."""
        if self.origin:
            return self.origin  # rounding differs between machines
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves((self.source, self.target)):
            digest.update(f"{np.dtype(leaf.dtype).str}{tuple(leaf.shape)}".encode())
            for start in range(0, len(leaf), FINGERPRINT_CHUNK):
                digest.update(np.ascontiguousarray(leaf[start : start + FINGERPRINT_CHUNK]).data)
        return digest.hexdigest()


class Batch(NamedTuple):
    """One draw: source [b, ...], labels [b] of the source, target [b', ...]. There are no target labels to hold.

    rows: [b'] which of the target's rows they are, counted from 0, by which a memory finds what it keeps of them.
    """

    source: Array
    labels: Array
    target: Array
    rows: Array


class Output(NamedTuple):
    """What a network returns: features [n, d] before the last layer, logits [n, c] before the softmax."""

    features: Array
    logits: Array


class TrainState(NamedTuple):
    """All that a step changes.

    step: steps done so far; params: {"model": ..., "method": ...}, what gradients move; stats: batch statistics;
    constants: arrays of the method that no step changes; memory: teachers, centroids, queues, without a gradient;
    opt_state: the optimizer's; key: the source of randomness.
    """

    step: Array
    params: Tree
    stats: Tree
    constants: Tree
    memory: Tree
    opt_state: Tree
    key: Array


def named_key(key: Array, name: str) -> Array:
    """Derive the random key called `name` from `key`, so that adding a consumer never shifts the others' draws.

    Args:
        key: a typed JAX key, or a batch of them.
        name: unique among the uses of `key`; its CRC-32 is folded in.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def is_key(leaf: Array) -> bool:
    """Whether it holds typed random keys."""
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
