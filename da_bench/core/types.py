"""The types that every package shares: read this file first.

Arrays are numpy or JAX arrays; `n` counts examples, `d` feature dimensions, `c` classes.
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
    """A labelled data set.

    Attributes:
        inputs: [n, ...]; float32, or uint8 images.
        labels: int32 [n], in 0 .. c - 1.
    """

    inputs: Array
    labels: Array


class Splits(NamedTuple):
    """The fixed splits of one domain. In the inductive protocol they do not overlap.

    Attributes:
        train: to adapt with.
        validation: to select checkpoints and hyper-parameters with.
        test: to score.
    """

    train: Domain
    validation: Domain
    test: Domain


@dataclasses.dataclass(frozen=True)
class Task:
    """A domain pair. Methods are given `target.train.inputs`, and a task `without_target_labels` to look at.

    Attributes:
        name: such as "digits/synthetic-to-real".
        classes: names of the classes, by index.
        source: the labelled domain.
        target: the domain to adapt to.
        citation: of the data.
        protocol: which split adapts and which is scored: "inductive", "transductive" or "whole".
        origin: for computed inputs the SHA-256 of what they were computed from and how; "" for inputs that were read.
    """

    name: str
    classes: tuple[str, ...]
    source: Splits
    target: Splits
    citation: str = ""
    protocol: str = "inductive"
    origin: str = ""

    def without_target_labels(self) -> "Task":
        """Return the task with -1 in place of every label of the target."""
        blank = [part._replace(labels=np.full(len(part.labels), -1, np.int32)) for part in self.target]
        return dataclasses.replace(self, target=Splits(*blank))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the bytes, shapes and types of every array, so of data and splits: equal on every machine."""
        if self.origin:
            return self.origin  # rounding differs between machines
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves((self.source, self.target)):
            digest.update(f"{np.dtype(leaf.dtype).str}{tuple(leaf.shape)}".encode())
            for start in range(0, len(leaf), FINGERPRINT_CHUNK):
                digest.update(np.ascontiguousarray(leaf[start : start + FINGERPRINT_CHUNK]).data)
        return digest.hexdigest()


class Batch(NamedTuple):
    """The rows of one training step. There is no field for target labels.

    Attributes:
        source: inputs [b, ...] of the labelled source.
        labels: of the source rows, int32 [b].
        target: inputs [b', ...] of the target.
        rows: indices [b'] of the target rows in its training split, by which a memory bank finds what it keeps of them.
    """

    source: Array
    labels: Array
    target: Array
    rows: Array


class Output(NamedTuple):
    """What a network returns.

    Attributes:
        features: [n, d], before the last layer.
        logits: [n, c], before the softmax.
    """

    features: Array
    logits: Array


class TrainState(NamedTuple):
    """The state of a run between two steps.

    Attributes:
        step: number of steps done, int32.
        params: trainable parameters, {"model": ..., "method": ...}.
        stats: batch statistics of the network.
        constants: arrays of the method that no step changes.
        memory: arrays of the method that change without a gradient: teachers, centroids, queues.
        opt_state: state of the optimizer.
        key: random key of the steps.
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
    """Return whether an array holds typed random keys."""
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
