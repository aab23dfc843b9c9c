"""Match the arrays of a published file with those of a network, by name and shape.

The names that a file uses for a network are its convention, such as "torchvision" or "keras".
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from da_bench.core.config import UserError, did_you_mean
from da_bench.core.trees import KeyPath, flatten
from da_bench.core.types import Tree
from da_bench.models import MODELS, initialise
from da_bench.models.backbone import Backbone
from da_bench.models.weight_names import PublishedArray, fresh_session_names
from da_bench.pretrained.files import unusable

UNUSED_SUFFIX = "num_batches_tracked"  # torch's count of batches in a running mean
REMEDY = "download the file again, or give another --arch"
Arrays = dict[KeyPath, np.ndarray]


class Converted(NamedTuple):
    """A file's arrays as those of a network.

    Attributes:
        convention: of the file's names.
        arrays: float32, by their paths in the network's variables.
        classes: number of classes of the file's classifier, 0 if it has none.
    """

    convention: str
    arrays: Arrays
    classes: int


def backbone_class(arch: str) -> type[Backbone]:
    """Look up a network that can start from published weights.

    Raises:
        UserError: there is no such network, or no weights are published for it.
    """
    known = [name for name, cls in MODELS.items() if issubclass(cls, Backbone)]
    if arch not in known:
        raise UserError(f"no weights are published for a model '{arch}'{did_you_mean(arch, known)}")
    cls: Any = MODELS[arch]
    return cls


def published_network(arch: str, convention: str, classes: int) -> Backbone:
    """The network as it was published: trunk and classifier, without a bottleneck."""
    return backbone_class(arch)(classes=classes, bottleneck=None, **convention_fields(arch, convention))


def convention_fields(arch: str, convention: str) -> dict[str, Any]:
    """Values, for files of one convention, of those fields of the network that depend on the convention."""
    cls = backbone_class(arch)
    names = {name for values in cls.FIELDS.values() for name in values}
    defaults = {field.name: field.default for field in dataclasses.fields(cls) if field.name in names}
    return {**defaults, **cls.FIELDS.get(convention, {})}


def is_head(path: KeyPath) -> bool:
    """Whether an array belongs to the classifier, not to the trunk."""
    return path[1] == "head"


def variable_shapes(model: Backbone) -> Tree:
    """Shapes and types of the network's {"params": ..., "batch_stats": ...}. Nothing is computed."""
    params, stats = jax.eval_shape(lambda: initialise(model, jax.random.key(0), model.probe_input()))
    return {"params": params, **stats}


def convert(path: Path, arch: str, arrays: Mapping[str, np.ndarray]) -> Converted:
    """Convert the arrays of a file to those of a network.

    Args:
        path: of the file, for error messages.
        arch: registered name of the network.
        arrays: by their names in the file.

    Raises:
        UserError: arrays are missing or left over (all are named), have a wrong shape or values that are not finite;
            or the file is for another network.
    """
    convention = max(backbone_class(arch).CONVENTIONS, key=lambda known: len(_names(arch, known) & arrays.keys()))
    if convention == "keras":
        arrays = _with_fresh_session_names(arrays)
    published = list(published_network(arch, convention, 1).published_arrays(convention))
    _check_names(path, arch, convention, published, arrays)
    converted = {array.path: _converted(path, array, arrays[array.name]) for array in published if array.name in arrays}
    classes = max((array.shape[-1] for key, array in converted.items() if is_head(key) and array.ndim), default=0)
    _check_shapes(path, published_network(arch, convention, max(classes, 1)), published, converted)
    return Converted(convention, converted, classes)


@functools.cache
def _names(arch: str, convention: str) -> set[str]:
    """Names of all arrays in a file of the convention."""
    return {array.name for array in published_network(arch, convention, 1).published_arrays(convention)}


def _with_fresh_session_names(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Rename layers that Keras named automatically as a fresh session would."""
    layers = fresh_session_names({name.rpartition("/")[0] for name in arrays})
    parts = {name: name.rpartition("/") for name in arrays}
    return {f"{layers[parts[name][0]]}/{parts[name][2]}": array for name, array in arrays.items()}


def _check_names(
    path: Path, arch: str, convention: str, published: list[PublishedArray], arrays: Mapping[str, np.ndarray]
) -> None:
    """Refuse a file with missing or additional arrays. Only the classifier may be missing, if all of it is."""
    wanted = {array.name for array in published}
    head = {array.name for array in published if is_head(array.path)}
    present = wanted & arrays.keys()
    if len(present) < len(wanted) / 2 and (other := _better_match(arch, arrays, len(present))):
        raise unusable(path, f"it is not a '{arch}' but a '{other}'", f"import it with --arch {other}")
    missing = wanted - present - (set() if head & present else head)
    ignored = (*backbone_class(arch).IGNORED,)
    additional = {
        name
        for name in arrays.keys() - present
        if not name.endswith(UNUSED_SUFFIX) and not (ignored and name.startswith(ignored))
    }
    faults = [
        f"{len(names)} {fault}: {', '.join(sorted(names))}"
        for fault, names in (("missing", missing), ("in it but no part of the network", additional))
        if names
    ]
    if faults:
        fault = f"its arrays are not those of '{arch}' in the names of {convention}; {'; '.join(faults)}"
        raise unusable(path, fault, "give a file of that network")


def _better_match(arch: str, arrays: Mapping[str, np.ndarray], matches: int) -> str | None:
    """Return a network with more than `matches` of its names in the file, if there is one."""
    counts = {
        name: max(len(_names(name, convention) & arrays.keys()) for convention in cls.CONVENTIONS)
        for name, cls in MODELS.items()
        if issubclass(cls, Backbone) and name != arch
    }
    best = max(counts, key=lambda name: counts[name], default=None)
    return best if best and counts[best] > matches else None


def _converted(path: Path, published: PublishedArray, array: np.ndarray) -> np.ndarray:
    """The file's array in our layout, float32."""
    try:
        array = published.convert(array)
    except (ValueError, IndexError) as error:
        fault = f"'{published.name}' of shape {list(array.shape)} cannot be converted ({error})"
        raise unusable(path, fault, REMEDY) from None
    with np.errstate(over="ignore"):  # reported below
        values = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(values).all():
        raise unusable(path, f"'{published.name}' holds numbers that are not finite", REMEDY)
    return values


def _check_shapes(path: Path, model: Backbone, published: list[PublishedArray], converted: Arrays) -> None:
    shapes = {key: leaf.shape for key, leaf in flatten(variable_shapes(model)).items()}
    names = {array.path: array.name for array in published}
    if unknown := names.keys() - shapes.keys():
        raise UserError(f"model {type(model).__name__} publishes arrays that it does not have: {sorted(unknown)}")
    wrong = [
        f"'{names[key]}' is {list(array.shape)}, not {list(shapes[key])}"
        for key, array in converted.items()
        if array.shape != shapes[key]
    ]
    if wrong:
        raise unusable(path, f"arrays have wrong shapes (in the network's layout): {'; '.join(wrong)}", REMEDY)
