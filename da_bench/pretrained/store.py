"""Imported weights: one file each, in our own layout, called ARCH-NAME-DIGEST.safetensors.

DIGEST is the start of a sha256 over the arrays and all that says how they are to be used. It is part of the name, the
name part of an experiment's config, and so of its id: equal ids mean equal weights.
"""

import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError, as_dict, did_you_mean
from da_bench.core.storage import atomic_file, cache_folder
from da_bench.core.trees import flatten, unflatten
from da_bench.core.types import Tree
from da_bench.data.transforms import View
from da_bench.models import Network, forward
from da_bench.models.backbone import Backbone
from da_bench.pretrained import safetensors, sources
from da_bench.pretrained.calibrate import calibrate_batch_norm
from da_bench.pretrained.convert import (
    Converted,
    Paths,
    backbone_class,
    convention_fields,
    convert,
    is_head,
    published_network,
    variable_shapes,
)
from da_bench.pretrained.example_images import find_images
from da_bench.pretrained.files import damaged, read_bytes
from da_bench.pretrained.read import read

FORMAT = 1
PREFIX = 8  # numbers of a parity vector
TOLERANCE = 1e-3  # of it, relative to its largest number
IMAGENET = (1000, 1001)  # classes; Google's networks have one more, "background", in front
NAME = re.compile(r"[a-z0-9][a-z0-9_.]*")


class ImportRequest(NamedTuple):
    """An import: for which network; the name to give; what the file cannot say. "" and None: as is usual for it.

    statistics_from: a folder of images, whose statistics batch normalisation is to have, see `calibrate.calibrated`.
    """

    arch: str = ""
    name: str = ""
    preprocessing: str = ""
    classes: int | None = None
    sha256: str = ""
    statistics_from: Path | None = None


class WeightsInfo(NamedTuple):
    """What there is to say of imported weights.

    fields: of the network, that they need; view: how images are prepared, None: they are for no images; classes: of
    the classifier, 0: there is none; source: the file's name and its sha256; digest: sha256 of arrays, arch, fields,
    classes and view; parity: the first `PREFIX` features and logits for the input `Backbone.probe`.
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
    """Where imported weights are: $DA_BENCH_WEIGHTS, else "weights" beside the packs, see `cache_folder`."""
    given = os.environ.get("DA_BENCH_WEIGHTS")
    return Path(given).expanduser() if given else cache_folder("weights")


def imported_names() -> list[str]:
    """Of all that are imported."""
    return sorted(path.stem for path in folder().glob("[!.]*.safetensors"))


def import_file(path: Path, asked: ImportRequest) -> str:
    """Import a published file; returns the name of the weights. A file that was imported before is found again.

    Raises:
        UserError: it is damaged, of another network, or not as asked, see `read`, `convert` and `sources`; nothing is
            written. StorageError: the folder cannot be written to.
    """
    sha256 = hashlib.sha256(read_bytes(path)).hexdigest()
    sources.check_sum(path.name, sha256, asked.sha256)
    if asked.name and not NAME.fullmatch(asked.name):
        raise UserError(f"weights cannot be called '{asked.name}': give small letters, digits, '_' and '.'")
    asked = asked._replace(arch=asked.arch or _usual_arch(path, sha256))
    backbone_class(asked.arch)
    converted = convert(path, asked.arch, read(path, asked.arch))
    _check_classes(path, converted.classes, asked.classes)
    info = _facts(path, asked, converted, sha256)
    arrays = converted.arrays
    if asked.statistics_from:
        info, arrays = _calibrated(info, arrays, find_images(asked.statistics_from))
    name = f"{info.arch}-{asked.name or info.convention}-{info.digest[:12]}"
    _write(folder() / f"{name}.safetensors", info, arrays)
    return name


def _calibrated(info: WeightsInfo, arrays: Paths, files: list[Path]) -> tuple[WeightsInfo, Paths]:
    if info.view is None:
        raise UserError(f"weights of '{info.arch}' are for no images: leave out those to take statistics from")
    model = published_network(info.arch, info.convention, max(info.classes, 1))
    headed = arrays if info.classes else {**blank(model), **arrays}
    made = calibrate_batch_norm(model, headed, info.view, files)
    made = {path: made[path] for path in arrays}
    info = info._replace(source={**info.source, "statistics": f"of images in {files[0].parent.name}"})
    info = info._replace(parity=parity(model.clone(classes=info.classes), made))
    return info._replace(digest=digest(info, made)), made


def blank(model: Backbone) -> Paths:
    """Zeros for every array of the network."""
    return {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in flatten(variable_shapes(model)).items()}


def _usual_arch(path: Path, sha256: str) -> str:
    if source := sources.known(path.name, sha256):
        return source.arch
    raise UserError(f"of which network the weights '{path}' are is not known: give --arch, such as --arch resnet50")


def _check_classes(path: Path, classes: int, asked: int | None) -> None:
    wanted = IMAGENET if asked is None else (asked,)
    if classes and classes not in wanted:
        raise UserError(
            f"the classifier of the weights '{path}' has {classes} classes, not {' or '.join(map(str, wanted))}; give "
            f"--classes {classes} if that is meant"
        )


def _facts(path: Path, asked: ImportRequest, converted: Converted, sha256: str) -> WeightsInfo:
    source = sources.known(path.name, sha256)
    source = source if source and source.arch == asked.arch else None
    way = sources.preprocessing(asked.arch, converted.convention, source, asked.preprocessing)
    view = _view(asked.arch, way, source.stored if source else None)
    info = WeightsInfo(
        arch=asked.arch,
        fields=convention_fields(asked.arch, converted.convention),
        convention=converted.convention,
        view=view,
        classes=converted.classes,
        source={"file": path.name, "sha256": sha256, "url": source.url if source else ""},
        citation=sources.citation(asked.arch),
        terms=source.terms if source else "those of whoever published the file",
        digest="",
        parity=parity(published_network(asked.arch, converted.convention, converted.classes), converted.arrays),
    )
    return info._replace(digest=digest(info, converted.arrays))


def _view(arch: str, way: str, stored: int | None) -> View | None:
    if way == "none":
        return None
    published = as_dict(sources.VIEWS[way])
    return View(**{**published, "pixels": backbone_class(arch).SIDE, "stored": stored})


def digest(info: WeightsInfo, arrays: Mapping[tuple[str, ...], np.ndarray]) -> str:
    """Sha256 over the arrays and how they are to be used, the same on every machine."""
    used = [info.arch, info.fields, info.classes, as_dict(info.view)]
    found = hashlib.sha256(json.dumps(used, sort_keys=True).encode())
    for path, array in sorted(arrays.items()):
        found.update(f"{'/'.join(path)} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def parity(model: Backbone, arrays: Mapping[tuple[str, ...], np.ndarray]) -> dict[str, list[float]]:
    """What the network makes of `Backbone.probe`: the beginning of its features, and of its logits if it has them."""
    classes = model.classes
    model, probe = model.clone(classes=max(classes, 1)), jnp.asarray(model.probe_input())
    tree = unflatten({**blank(model), **arrays})
    params, stats = tree.pop("params"), tree
    output, _ = jax.jit(lambda p, s, x: forward(model, p, s, x))(params, stats, probe)
    logits = output.logits[0, :PREFIX] if classes else []
    return {"features": np.asarray(output.features[0, :PREFIX]).tolist(), "logits": np.asarray(logits).tolist()}


def _write(path: Path, info: WeightsInfo, arrays: Mapping[tuple[str, ...], np.ndarray]) -> None:
    words = {"da_bench": json.dumps({"format": FORMAT, **info._asdict(), "view": as_dict(info.view)}, sort_keys=True)}
    remedy = "free some space or grant permission to write there, or set DA_BENCH_WEIGHTS to another folder"
    with atomic_file(path, remedy) as file:
        file.writelines(safetensors.written({"/".join(own): array for own, array in arrays.items()}, words))


def info(name: str) -> WeightsInfo:
    """What there is to say of imported weights; their arrays are not read.

    Raises:
        UserError: there are none of this name, or their file is damaged.
    """
    path = _place(name)
    return _told(path, safetensors.read_words(path))


def _place(name: str) -> Path:
    if name not in imported_names():
        there = imported_names()
        hint = did_you_mean(name, there) if there else "; none are imported"
        raise UserError(f"no weights '{name}' in '{folder()}'{hint}; see `da-bench weights --help`")
    return folder() / f"{name}.safetensors"


def _told(path: Path, words: Mapping[str, str]) -> WeightsInfo:
    try:
        told = json.loads(words["da_bench"])
        if told.pop("format") != FORMAT:
            raise ValueError("of another version")
        found = WeightsInfo(**told)
        return found._replace(view=None if found.view is None else View(**told["view"]))
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, f"what it says of itself: {error}") from None


@functools.lru_cache(maxsize=1)
def _loaded(path: Path, _changed: int) -> tuple[WeightsInfo, dict[tuple[str, ...], np.ndarray]]:
    stored = safetensors.read(path)
    told, arrays = _told(path, stored.words), {tuple(name.split("/")): one for name, one in stored.arrays.items()}
    if digest(told, arrays) != told.digest or not path.stem.endswith(told.digest[:12]):
        raise damaged(path, "its arrays are not those that were imported")
    return told, arrays


def load(name: str) -> tuple[WeightsInfo, dict[tuple[str, ...], np.ndarray]]:
    """Imported weights, all arrays by their paths; held against their digest.

    Raises:
        UserError: as `facts`; or they are not what was imported.
    """
    path = _place(name)
    return _loaded(path, path.stat().st_mtime_ns)


def verify(name: str) -> float:
    """Hold imported weights against their digest, and what the network makes of them here against what it made then.

    Returns the largest difference in the parity vector, relative to its largest number.

    Raises:
        UserError: as `load`; or the difference is more than `TOLERANCE`.
    """
    told, arrays = load(name)
    found = parity(published_network(told.arch, told.convention, told.classes), arrays)
    apart = max(_apart(np.asarray(told.parity[kind]), np.asarray(found[kind])) for kind in ("features", "logits"))
    if apart > TOLERANCE:
        raise UserError(
            f"the weights '{name}' give other numbers here than when they were imported: their outputs differ by "
            f"{apart:.1e}, more than {TOLERANCE}; import them again, and report it if they still do"
        )
    return apart


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.max(np.abs(one - other), initial=0.0) / np.max(np.abs(one), initial=1e-9))


def check_network(model: Network, view: View | None) -> None:
    """Refuse a network that does not fit the weights that it is to start from, or images prepared otherwise.

    Raises:
        UserError: as `facts`; or the weights are another network's, or for another view.
    """
    if not (name := weights_name(model)):
        return
    told = info(name)
    _check_network(name, told, model)
    if (told.view is None) != (view is None):
        needs = "are for no images" if told.view is None else "are for images on disk"
        raise UserError(f"the weights '{name}' {needs}, which the inputs of the task are not; leave them out")
    if told.view is None or view is None:
        return
    for field in ("channels", "mean", "std"):
        ours, theirs = getattr(view, field), getattr(told.view, field)
        if ours != theirs:
            raise UserError(
                f"View.{field} = {ours}, but the weights '{name}' were trained with {theirs}; leave the view out, or "
                "start from da.pretrained.view(NAME)"
            )


def _check_network(name: str, told: WeightsInfo, model: Network) -> None:
    if not isinstance(model, backbone_class(told.arch)):
        raise UserError(f"the weights '{name}' are those of '{told.arch}', not of {type(model).__name__}")
    for field, value in told.fields.items():
        if getattr(model, field) != value:
            raise UserError(f"the weights '{name}' need {field} = {value!r}, not {getattr(model, field)!r}")
    wanted = {path: leaf.shape for path, leaf in flatten(variable_shapes(model)).items() if path[1] == "trunk"}
    there = {path: one.shape for path, one in load(name)[1].items() if not is_head(path)}
    if wanted != there:
        odd = "/".join(min(path for path, _ in wanted.items() ^ there.items()))
        raise UserError(f"the weights '{name}' do not fit the network: '{odd}' is of another shape, or only in one")


def backbone(name: str) -> Backbone:
    """The published network up to its own features, which starts from these weights.

    Raises:
        UserError: as `facts`.
    """
    told = info(name)
    cls: Any = backbone_class(told.arch)
    return cls(classes=1, bottleneck=None, weights=name, **told.fields)


def weights_name(model: Network) -> str:
    """Of the weights that a network starts from, "": none."""
    return model.weights if isinstance(model, Backbone) else ""


def view(name: str, **geometry: Any) -> View:
    """How images are prepared for imported weights; `geometry`: fields of the `View` to be other than theirs.

    Raises:
        UserError: as `facts`; or they are for no images.
    """
    told = info(name)
    if told.view is None:
        raise UserError(f"the weights '{name}' are for no images, and have no view")
    return View(**{**as_dict(told.view), **geometry})


def initial_variables(model: Network) -> Tree:
    """What a network starts from, {"params": {"trunk": ...}, "batch_stats": ...}; {} where it starts at random.

    The trunk alone: bottleneck and head are the task's.

    Raises:
        UserError: as `load`.
    """
    if not (name := weights_name(model)):
        return {}
    return unflatten({path: one for path, one in load(name)[1].items() if not is_head(path)})
