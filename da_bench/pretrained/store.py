"""Imported weights: one file each in our own layout, ARCH-NAME-DIGEST.safetensors.

DIGEST is the start of a sha256 over the arrays and everything that determines their use. It is part of the name, and
the name is part of an experiment's config and id. So equal ids mean equal weights.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError, as_dict, did_you_mean
from da_bench.core.storage import cache_folder
from da_bench.core.trees import KeyPath, flatten, unflatten
from da_bench.data.transforms import View
from da_bench.models import forward
from da_bench.models.backbone import Backbone
from da_bench.pretrained import safetensors_file
from da_bench.pretrained.convert import Arrays, published_network, variable_shapes
from da_bench.pretrained.files import damaged

FORMAT = 1
METADATA_KEY = "da_bench"  # under which a file holds its `WeightsInfo` as JSON
# A parity vector holds the first outputs of the network for a fixed input. It is stored to compare later outputs with.
PARITY_LENGTH = 8  # numbers in a parity vector
TOLERANCE = 1e-3  # largest difference of two parity vectors, relative to the largest number
REMEDY = "free some space or grant permission to write there, or set DA_BENCH_WEIGHTS to another folder"


class WeightsInfo(NamedTuple):
    """Facts about imported weights.

    Attributes:
        arch: registered name of the network.
        fields: values that fields of the network must have for these weights, {"library": "keras"}.
        convention: of the published file's names, such as "torchvision".
        view: how images are prepared; None for weights that are not for images.
        classes: number of classes of the classifier, 0 if there is none.
        source: of the published file: "file" (name), "sha256", "url" ("" if unknown), and "statistics" if those of
            batch normalisation were estimated.
        citation: paper of the network.
        terms: license.
        digest: sha256 over arrays, arch, fields, classes and view.
        parity: parity vectors: the first `PARITY_LENGTH` "features" and "logits" for the input `Backbone.probe_input`.
    """

    arch: str
    fields: dict[str, Any]
    convention: str
    view: View | None
    classes: int
    source: dict[str, str]
    citation: str
    terms: str
    digest: str
    parity: dict[str, list[float]]


def folder() -> Path:
    """Folder of imported weights: $DA_BENCH_WEIGHTS, else "weights" in the cache, see `storage.cache_folder`."""
    path = os.environ.get("DA_BENCH_WEIGHTS")
    return Path(path).expanduser() if path else cache_folder("weights")


def imported_names() -> list[str]:
    """Names of all imported weights, sorted."""
    return sorted(path.stem for path in folder().glob("[!.]*.safetensors"))


def save(name: str, facts: WeightsInfo, arrays: Mapping[KeyPath, np.ndarray]) -> None:
    """Write imported weights.

    Raises:
        StorageError: the folder cannot be written to.
    """
    text = json.dumps({"format": FORMAT, **facts._asdict(), "view": as_dict(facts.view)}, sort_keys=True)
    by_name = {"/".join(path): array for path, array in arrays.items()}
    safetensors_file.write(folder() / f"{name}.safetensors", by_name, {METADATA_KEY: text}, REMEDY)


def info(name: str) -> WeightsInfo:
    """Read the facts about imported weights, without their arrays.

    Raises:
        UserError: there are no weights of this name, or their file is damaged.
    """
    path = _path(name)
    return _parse_info(path, safetensors_file.read_metadata(path))


def load(name: str) -> tuple[WeightsInfo, Arrays]:
    """Read imported weights and compare them with their digest.

    Returns:
        The facts, and all arrays by path.

    Raises:
        UserError: as `info`; or the arrays are not those that were imported.
    """
    path = _path(name)
    return _load(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _load(path: Path, _mtime: int) -> tuple[WeightsInfo, Arrays]:
    content = safetensors_file.read(path)
    facts = _parse_info(path, content.metadata)
    arrays = {tuple(name.split("/")): array for name, array in content.arrays.items()}
    if digest(facts, arrays) != facts.digest or not path.stem.endswith(facts.digest[:12]):
        raise damaged(path, "its arrays are not those that were imported")
    return facts, arrays


def _path(name: str) -> Path:
    if name not in (names := imported_names()):
        hint = did_you_mean(name, names) if names else "; none are imported"
        raise UserError(f"no weights '{name}' in '{folder()}'{hint}; see `da-bench weights --help`")
    return folder() / f"{name}.safetensors"


def _parse_info(path: Path, metadata: Mapping[str, str]) -> WeightsInfo:
    try:
        fields = json.loads(metadata[METADATA_KEY])
        if (version := fields.pop("format")) != FORMAT:
            raise ValueError(f"format {version}, not {FORMAT}")
        view = fields.pop("view")
        return WeightsInfo(**fields, view=None if view is None else View(**view))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, f"its metadata: {error}") from None


def verify(name: str) -> float:
    """Check that imported weights are unchanged and that the network computes the outputs of the import.

    Returns:
        The largest difference in the parity vector, relative to its largest number.

    Raises:
        UserError: as `load`; or the difference is more than `TOLERANCE`.
    """
    facts, arrays = load(name)
    outputs = parity(published_network(facts.arch, facts.convention, facts.classes), arrays)
    difference = max(
        _relative_difference(np.asarray(facts.parity[kind]), np.asarray(outputs[kind]))
        for kind in ("features", "logits")
    )
    if difference > TOLERANCE:
        raise UserError(
            f"the weights '{name}' give other outputs here than when they were imported: they differ by "
            f"{difference:.1e}, more than {TOLERANCE}; import them again, and report it if they still differ"
        )
    return difference


def _relative_difference(expected: np.ndarray, values: np.ndarray) -> float:
    return float(np.max(np.abs(expected - values), initial=0.0) / np.max(np.abs(expected), initial=1e-9))


def digest(facts: WeightsInfo, arrays: Mapping[KeyPath, np.ndarray]) -> str:
    """Sha256 over the arrays and everything that determines their use; the same on every machine."""
    use = [facts.arch, facts.fields, facts.classes, as_dict(facts.view)]
    sha256 = hashlib.sha256(json.dumps(use, sort_keys=True).encode())
    for path, array in sorted(arrays.items()):
        sha256.update(f"{'/'.join(path)} {array.dtype.str} {array.shape}".encode())
        sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def parity(model: Backbone, arrays: Mapping[KeyPath, np.ndarray]) -> dict[str, list[float]]:
    """First outputs of the network for `Backbone.probe_input`: "features", and "logits" if it has classes."""
    classes = model.classes
    model = model.clone(classes=max(classes, 1))
    stats = unflatten({**zeros(model), **arrays})
    params = stats.pop("params")
    output, _ = jax.jit(lambda p, s, x: forward(model, p, s, x))(params, stats, jnp.asarray(model.probe_input()))
    logits = output.logits[0, :PARITY_LENGTH] if classes else []
    features = np.asarray(output.features[0, :PARITY_LENGTH])
    return {"features": features.tolist(), "logits": np.asarray(logits).tolist()}


def zeros(model: Backbone) -> Arrays:
    """Zeros for every array of the network."""
    return {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in flatten(variable_shapes(model)).items()}
