"""The feature store: what a pretrained trunk makes of every image of a domain, computed once and kept.

A store's folder holds features.npy (float32 [n, d], rows in the order of the images) and store.json (its sha256). It
is made in a draft, chunk by chunk, each a file of its own that is there whole or not at all: what was killed goes on.
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

from da_bench import pretrained as weights
from da_bench.core.config import UserError, as_dict
from da_bench.core.locks import hold_locks
from da_bench.core.progress import bar
from da_bench.core.storage import atomic_file, cache_folder, publish_folder, storage_errors, write_atomic
from da_bench.core.trees import merge_pretrained
from da_bench.core.types import Array, Domain, Splits, Task, Tree
from da_bench.data.lazy_arrays import Rows
from da_bench.data.transforms import View, evaluation_input
from da_bench.models import Network, forward

CHUNK = 32  # images in one pass: what a network of 224 pixels keeps of more leaves a CPU's caches
FEATURES, SUMMARY = "features.npy", "store.json"
REMEDY = "free some space or grant permission to write there, or set DA_BENCH_CACHE to another folder"


class IdentityKey:
    """A thing, by which one it is: what was made of it once is not looked for again."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdentityKey) and self.thing is other.thing


class FeatureExtractor(NamedTuple):
    """What makes features of images: the name of imported weights, and how images are seen."""

    weights: str
    view: View


def extract_features(task: Task, trunk: FeatureExtractor) -> Task:
    """The task with float32 features [n, d] in place of its images [n, side, side, 3].

    Its fingerprint is of the images and of the trunk, so equal on every machine, as rounding is not.

    Raises:
        UserError: the inputs are no images; there are no such weights, or they are for another view; a store is
            damaged. StorageError: it cannot be written to.
    """

    def of(domain: Domain) -> Domain:
        rows = domain.inputs if isinstance(domain.inputs, Rows) else Rows(domain.inputs, np.arange(len(domain.labels)))
        inputs: Any = Rows(stored_features(IdentityKey(rows.array), trunk, task.name), rows.index)
        return Domain(inputs, domain.labels)

    source, target = (Splits(*map(of, splits)) for splits in (task.source, task.target))
    return dataclasses.replace(with_features_origin(task, trunk), source=source, target=target)


def with_features_origin(task: Task, trunk: FeatureExtractor) -> Task:
    """The task with the fingerprint of its features, but images as inputs: for what looks at labels alone."""
    return dataclasses.replace(
        task, origin=hashlib.sha256(f"{task.fingerprint} {_described(trunk)}".encode()).hexdigest()
    )


@functools.lru_cache(maxsize=8)
def stored_features(of: IdentityKey, trunk: FeatureExtractor, name: str) -> np.ndarray:
    """Features [n, d] of images [n, side, side, 3] uint8, from the store, or computed and put there.

    name: of what they belong to, for the progress bar.
    """
    images = of.thing
    if images.ndim != 4 or images.dtype != np.uint8:
        raise UserError(f"features are made of images, which the inputs of '{name}' are not: leave `features` out")
    network, params, stats = _network(trunk)
    width = jax.eval_shape(lambda x: forward(network, params, stats, x)[0], _example(trunk.view)).features.shape[1]

    def make(folder: Path) -> None:
        _make(folder, images, _chunks(images, trunk, (network, params, stats)), f"{name}: {trunk.weights}")

    return cached_array(_key(images, trunk), (len(images), width), make)


def cached_array(key: str, shape: tuple[int, int], make: Callable[[Path], None]) -> np.ndarray:
    """Float32 [n, d] of this shape from the store's folder `key`, which `make` fills where there is none, see `put`.

    Raises:
        UserError: it is damaged. StorageError: it cannot be written to.
    """
    folder = cache_folder("features") / key
    with storage_errors(f"store features in '{folder.parent}'", REMEDY):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not (folder / SUMMARY).is_file():
            with hold_locks([folder.with_name(f"{folder.name}.lock")]):
                make(folder)
        return _read(folder, shape)


def _described(trunk: FeatureExtractor) -> str:
    seen = {**as_dict(trunk.view), "augment": "none"}
    return json.dumps([trunk.weights, seen], sort_keys=True)


def _key(images: Array, trunk: FeatureExtractor) -> str:
    digest = hashlib.sha256(_described(trunk).encode())
    digest.update(f"{images.shape}".encode())
    for start in range(0, len(images), CHUNK):
        digest.update(np.ascontiguousarray(images[start : start + CHUNK]).data)
    return f"{trunk.weights}-{digest.hexdigest()[:16]}"


def _network(trunk: FeatureExtractor) -> tuple[Network, Tree, Tree]:
    """The published network up to its own features, with its arrays."""
    network = weights.backbone(trunk.weights)
    weights.check_network(network, trunk.view)
    begun = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), _example(trunk.view))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), dict(begun))
    tree = merge_pretrained(zeros, weights.initial_variables(network))
    return network, tree.pop("params"), tree


def _example(view: View) -> Any:
    return jax.ShapeDtypeStruct((1, view.pixels, view.pixels, 3), jnp.float32)


def _chunks(images: Array, trunk: FeatureExtractor, made: tuple[Network, Tree, Tree]) -> Callable[[int], np.ndarray]:
    """A function of the first row: features of the chunk that begins there."""
    network, params, stats = made

    @jax.jit
    def features(params: Tree, stats: Tree, chunk: Array) -> Array:
        return forward(network, params, stats, evaluation_input(trunk.view, chunk))[0].features

    params, stats = jax.device_put((params, stats))

    def of(start: int) -> np.ndarray:
        rows = np.asarray(images[start : start + CHUNK])
        padded = np.concatenate([rows, np.repeat(rows[-1:], CHUNK - len(rows), axis=0)])  # one program for all chunks
        return np.asarray(features(params, stats, padded)[: len(rows)], np.float32)

    return of


def _make(folder: Path, images: Array, features_from: Callable[[int], np.ndarray], name: str) -> None:
    """Fill a draft with chunks, those that are not there yet, and put them in place as one array."""
    draft = _draft(folder)
    places = [(start, draft / f"{start:08}.npy") for start in range(0, len(images), CHUNK)]
    for start, place in bar([one for one in places if not one[1].exists()], name, f"x {CHUNK} images"):
        _save(place, features_from(start))
    write_array(folder, np.concatenate([np.load(place, allow_pickle=False) for _, place in places]))


def write_array(folder: Path, whole: np.ndarray) -> None:
    """Make a store's folder of a float32 array [n, d], at once for all who look."""
    draft = _draft(folder)
    _save(draft / FEATURES, whole)
    summary = {"shape": whole.shape, "sha256": hashlib.sha256(whole.data).hexdigest()}
    write_atomic(draft / SUMMARY, json.dumps(summary), REMEDY)
    for chunk in draft.glob("[0-9]*.npy"):
        chunk.unlink()
    publish_folder(draft, folder)


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
        whole = np.load(folder / FEATURES, allow_pickle=False)
        if whole.shape != shape or hashlib.sha256(whole.data).hexdigest() != summary["sha256"]:
            raise ValueError(f"{FEATURES} is not the one that {SUMMARY} was written for")
    except (EOFError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the features '{folder}' are damaged ({error}): delete that folder, and they are made anew"
        ) from None
    whole.flags.writeable = False
    return whole
