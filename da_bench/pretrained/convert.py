"""From a file's arrays to a network's: every one by its name, none left over, all of the right shape."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from da_bench.core.config import UserError, did_you_mean
from da_bench.core.trees import flatten
from da_bench.core.types import Tree
from da_bench.models import MODELS, initialise
from da_bench.models.backbone import Backbone
from da_bench.models.weight_names import PublishedArray, fresh_session_names
from da_bench.pretrained.files import unusable

COUNTERS = "num_batches_tracked"  # of torch: how many batches a running mean has seen
Paths = dict[tuple[str, ...], np.ndarray]


class Converted(NamedTuple):
    """What a file is for a network: its convention, the arrays by our paths, and the classes of its classifier.

    classes: 0 where it has none.
    """

    convention: str
    arrays: Paths
    classes: int


def backbone_class(arch: str) -> type[Backbone]:
    """The network of this name whose trunk may be pretrained.

    Raises:
        UserError: there is no such network, or it has no published weights.
    """
    known = [name for name, cls in MODELS.items() if issubclass(cls, Backbone)]
    if arch not in known:
        raise UserError(f"no weights are published for a model '{arch}'{did_you_mean(arch, known)}")
    found: Any = MODELS[arch]
    return found


def published_network(arch: str, convention: str, classes: int) -> Backbone:
    """The network as it was published: trunk and classifier, nothing between them."""
    return backbone_class(arch)(classes=classes, bottleneck=None, **convention_fields(arch, convention))


def convention_fields(arch: str, convention: str) -> dict[str, Any]:
    """Those of the network that decide whose files it is for, with the values for files of one convention."""
    cls = backbone_class(arch)
    deciding = sorted({name for one in cls.FIELDS.values() for name in one})
    usual = {field.name: field.default for field in dataclasses.fields(cls) if field.name in deciding}
    return {**usual, **cls.FIELDS.get(convention, {})}


def convert(path: Path, arch: str, arrays: Mapping[str, np.ndarray]) -> Converted:
    """The arrays of a file as those of a network.

    Raises:
        UserError: arrays are missing or left over, all of which are named; have another shape, or are not finite; or
            the file is another network's.
    """
    convention = _convention(arch, arrays)
    arrays = _in_a_fresh_session(arrays) if convention == "keras" else arrays
    wanted = list(published_network(arch, convention, 1).published_arrays(convention))
    _check_names(path, arch, convention, wanted, arrays)
    found = {one.path: _turned(path, one, arrays[one.name]) for one in wanted if one.name in arrays}
    classes = _classes(found)
    _check_shapes(path, published_network(arch, convention, max(classes, 1)), wanted, found)
    return Converted(convention, found, classes)


def _convention(arch: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Whose names fit best."""
    return max(backbone_class(arch).CONVENTIONS, key=lambda one: len(_names(arch, one) & arrays.keys()))


def _in_a_fresh_session(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Layers that Keras named by itself, called as if nothing had been made before them."""
    layers = fresh_session_names({name.rpartition("/")[0] for name in arrays})
    parted = {name: name.rpartition("/") for name in arrays}
    return {f"{layers[parted[name][0]]}/{parted[name][2]}": array for name, array in arrays.items()}


@functools.cache
def _names(arch: str, convention: str) -> set[str]:
    return {one.name for one in published_network(arch, convention, 1).published_arrays(convention)}


def _check_names(
    path: Path, arch: str, convention: str, wanted: list[PublishedArray], arrays: Mapping[str, np.ndarray]
) -> None:
    """A classifier may be left out as a whole; everything else may not."""
    there = {one.name for one in wanted} & arrays.keys()
    if len(there) < len(wanted) / 2 and (other := _other(arch, arrays, len(there))):
        raise unusable(path, f"it is no '{arch}' but a '{other}'", f"import it with --arch {other}")
    headless = not any(one.name in there for one in wanted if is_head(one.path))
    missing = [one.name for one in wanted if one.name not in there and not (headless and is_head(one.path))]
    ignored = backbone_class(arch).IGNORED
    surplus = [
        n for n in arrays if n not in there and not n.endswith(COUNTERS) and not n.startswith(ignored or ("\0",))
    ]
    if missing or surplus:
        lists = [("missing", missing), ("in it but no part of the network", surplus)]
        told = "; ".join(f"{len(names)} {what}: {', '.join(sorted(names))}" for what, names in lists if names)
        raise unusable(
            path, f"its arrays are not those of '{arch}' as {convention} names them; {told}", "give that network's file"
        )


def is_head(path: tuple[str, ...]) -> bool:
    """Whether an array is of the classifier, not of the trunk."""
    return path[1] == "head"


def _other(arch: str, arrays: Mapping[str, np.ndarray], least: int) -> str | None:
    """The network whose names fit better."""
    fits = {
        (name, convention): len(_names(name, convention) & arrays.keys())
        for name, cls in MODELS.items()
        if issubclass(cls, Backbone) and name != arch
        for convention in cls.CONVENTIONS
    }
    best = max(fits, key=lambda one: fits[one], default=None)
    return best[0] if best and fits[best] > least else None


def _turned(path: Path, one: PublishedArray, array: np.ndarray) -> np.ndarray:
    """As ours, float32."""
    try:
        turned = one.convert(array)
    except (ValueError, IndexError) as error:
        raise unusable(
            path, f"'{one.name}' of shape {list(array.shape)} cannot be turned into ours ({error})", REMEDY
        ) from None
    with np.errstate(over="ignore"):  # told just below
        values = np.ascontiguousarray(turned, np.float32)
    if not np.isfinite(values).all():
        raise unusable(path, f"'{one.name}' holds numbers that are not finite", REMEDY)
    return values


REMEDY = "get the file again, or name another --arch"


def _classes(found: Paths) -> int:
    return max((array.shape[-1] for path, array in found.items() if is_head(path) and array.ndim), default=0)


def _check_shapes(path: Path, model: Backbone, wanted: list[PublishedArray], found: Paths) -> None:
    shapes = flatten(variable_shapes(model))
    names = {one.path: one.name for one in wanted}
    if unknown := names.keys() - shapes.keys():
        raise UserError(f"model {type(model).__name__} publishes arrays that it does not have: {sorted(unknown)}")
    wrong = [
        f"'{names[own]}' is {list(array.shape)} where {list(shapes[own].shape)} is wanted"
        for own, array in found.items()
        if array.shape != shapes[own].shape
    ]
    if wrong:
        raise unusable(path, f"arrays have other shapes, each as the network lays it out: {'; '.join(wrong)}", REMEDY)


def variable_shapes(model: Backbone) -> Tree:
    """Shapes and types of the network's {"params": ..., "batch_stats": ...}; nothing is computed."""
    params, stats = jax.eval_shape(lambda: initialise(model, jax.random.key(0), model.probe_input()))
    return {"params": params, **stats}
