"""The feature store: features that a pretrained trunk extracts from the images of a domain, computed once and kept.

A folder of the store holds features.npy (float32 [n, d], rows in the order of the images) and store.json (its sha256).
It is built as a draft in chunks. Each chunk is a file that is written atomically, so an interrupted extraction resumes
where it stopped.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError, as_dict
from da_bench.core.locks import hold_locks
from da_bench.core.progress import bar
from da_bench.core.storage import atomic_file, cache_folder, publish_folder, storage_errors, write_atomic
from da_bench.core.trees import merge_pretrained
from da_bench.core.types import Array, Domain, Splits, Task, Tree
from da_bench.data.lazy_arrays import Rows
from da_bench.data.transforms import View, evaluation_input
from da_bench.models import Network, forward, initialise
from da_bench.pretrained.networks import backbone, check_network, initial_variables

CHUNK = 32  # images in one pass; activations of more images of 224 pixels do not fit into a CPU's caches
FEATURES, SUMMARY = "features.npy", "store.json"
REMEDY = "free some space or grant permission to write there, or set DA_BENCH_CACHE to another folder"


class IdentityKey:
    """Wraps an object so that a cache compares it by identity, not by its content."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdentityKey) and self.value is other.value


class FeatureExtractor(NamedTuple):
    """A pretrained trunk and its view of images.

    Attributes:
        weights: name of imported weights.
        view: how images are prepared; its augmentation is not used.
    """

    weights: str
    view: View


def extract_features(task: Task, extractor: FeatureExtractor) -> Task:
    """Replace the images of a task [n, side, side, 3] by features, float32 [n, d].

    The fingerprint of the result is computed from the images and the extractor, not from the features. So it is the
    same on every machine, although roundings are not.

    Raises:
        UserError: the inputs are not images; there are no such weights, or they are for another view; the store is
            damaged.
        StorageError: the store cannot be written to.
    """

    def extract(domain: Domain) -> Domain:
        rows = domain.inputs if isinstance(domain.inputs, Rows) else Rows(domain.inputs, np.arange(len(domain.labels)))
        inputs: Any = Rows(stored_features(IdentityKey(rows.array), extractor, task.name), rows.index)
        return Domain(inputs, domain.labels)

    source, target = (Splits(*map(extract, splits)) for splits in (task.source, task.target))
    return dataclasses.replace(with_features_origin(task, extractor), source=source, target=target)


def with_features_origin(task: Task, extractor: FeatureExtractor) -> Task:
    """Give the task the fingerprint of its features, but keep the images. Enough for code that reads labels alone."""
    description = f"{task.fingerprint} {_describe(extractor)}"
    return dataclasses.replace(task, origin=hashlib.sha256(description.encode()).hexdigest())


@functools.lru_cache(maxsize=8)
def stored_features(images: IdentityKey, extractor: FeatureExtractor, name: str) -> np.ndarray:
    """Features of images, from the store or computed and added to it.

    Args:
        images: holds uint8 [n, side, side, 3].
        extractor: the trunk.
        name: of the task, for the progress bar and error messages.

    Returns:
        float32 [n, d], read-only.

    Raises:
        UserError, StorageError: see `extract_features`.
    """
    pixels = images.value
    if pixels.ndim != 4 or pixels.dtype != np.uint8:
        raise UserError(f"`features` need images, but the inputs of '{name}' are not images: leave `features` out")
    network, params, stats = _load_network(extractor)
    example = _example(extractor.view)
    width = jax.eval_shape(lambda x: forward(network, params, stats, x)[0], example).features.shape[1]

    def fill(folder: Path) -> None:
        label = f"{name}: {extractor.weights}"
        _extract_in_chunks(folder, pixels, _chunk_extractor(pixels, extractor.view, network, params, stats), label)

    return cached_array(_key(pixels, extractor), (len(pixels), width), fill)


def cached_array(key: str, shape: tuple[int, int], fill: Callable[[Path], None]) -> np.ndarray:
    """Read an array from the store; compute it first if it is not there.

    Args:
        key: name of the folder in the store.
        shape: [n, d] that the array must have.
        fill: creates the folder that it is given, by `write_array`.

    Returns:
        float32 [n, d], read-only.

    Raises:
        UserError: the array is damaged.
        LockedError: another process is computing it.
        StorageError: the store cannot be written to.
    """
    folder = cache_folder("features") / key
    with storage_errors(f"store features in '{folder.parent}'", REMEDY):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not (folder / SUMMARY).is_file():
            with hold_locks([folder.with_name(f"{folder.name}.lock")]):
                if not (folder / SUMMARY).is_file():  # another process may have finished meanwhile
                    fill(folder)
        return _read(folder, shape)


def write_array(folder: Path, array: np.ndarray) -> None:
    """Create a folder of the store, which appears at once and complete, with a float32 array [n, d]."""
    draft = _draft(folder)
    _save(draft / FEATURES, array)
    summary = {"shape": array.shape, "sha256": hashlib.sha256(array.data).hexdigest()}
    write_atomic(draft / SUMMARY, json.dumps(summary), REMEDY)
    for chunk in draft.glob("[0-9]*.npy"):
        chunk.unlink()
    publish_folder(draft, folder)


def _describe(extractor: FeatureExtractor) -> str:
    view = {**as_dict(extractor.view), "augment": "none"}
    return json.dumps([extractor.weights, view], sort_keys=True)


def _key(images: Array, extractor: FeatureExtractor) -> str:
    digest = hashlib.sha256(_describe(extractor).encode())
    digest.update(f"{images.shape}".encode())
    for start in range(0, len(images), CHUNK):
        digest.update(np.ascontiguousarray(images[start : start + CHUNK]).data)
    return f"{extractor.weights}-{digest.hexdigest()[:16]}"


def _load_network(extractor: FeatureExtractor) -> tuple[Network, Tree, Tree]:
    """The published network up to its own features, its parameters and statistics."""
    network = backbone(extractor.weights)
    check_network(network, extractor.view)
    example = _example(extractor.view)
    params, stats = jax.eval_shape(lambda x: initialise(network, jax.random.key(0), x), example)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), {"params": params, **stats})
    stats = merge_pretrained(zeros, initial_variables(network))
    return network, stats.pop("params"), stats


def _example(view: View) -> Any:
    return jax.ShapeDtypeStruct((1, view.pixels, view.pixels, 3), jnp.float32)


def _chunk_extractor(
    images: Array, view: View, network: Network, params: Tree, stats: Tree
) -> Callable[[int], np.ndarray]:
    """A function that computes the features of the chunk of images that starts at a row."""

    @jax.jit
    def features(params: Tree, stats: Tree, chunk: Array) -> Array:
        return forward(network, params, stats, evaluation_input(view, chunk))[0].features

    params, stats = jax.device_put((params, stats))

    def extract(start: int) -> np.ndarray:
        rows = np.asarray(images[start : start + CHUNK])
        # the last chunk is filled up, so that one compiled program serves all chunks
        padded = np.concatenate([rows, np.repeat(rows[-1:], CHUNK - len(rows), axis=0)])
        return np.asarray(features(params, stats, padded)[: len(rows)], np.float32)

    return extract


def _extract_in_chunks(folder: Path, images: Array, extract: Callable[[int], np.ndarray], label: str) -> None:
    """Compute the chunks that the draft lacks, then publish all as one array."""
    draft = _draft(folder)
    chunks = {start: draft / f"{start:08}.npy" for start in range(0, len(images), CHUNK)}
    missing = [start for start, path in chunks.items() if not path.exists()]
    for start in bar(missing, label, f"x {CHUNK} images"):
        _save(chunks[start], extract(start))
    write_array(folder, np.concatenate([np.load(path, allow_pickle=False) for path in chunks.values()]))


def _draft(folder: Path) -> Path:
    draft = folder.with_name(f"{folder.name}.draft")
    draft.mkdir(exist_ok=True)
    return draft


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_file(path, REMEDY) as file:
        np.save(file, array, allow_pickle=False)


def _read(folder: Path, shape: tuple[int, int]) -> np.ndarray:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        array = np.load(folder / FEATURES, allow_pickle=False)
        if array.shape != shape or hashlib.sha256(array.data).hexdigest() != summary["sha256"]:
            raise ValueError(f"{FEATURES} does not match {SUMMARY}")
    except (EOFError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the features '{folder}' are damaged ({error}): delete that folder, and they are computed again"
        ) from None
    array.flags.writeable = False
    return array
