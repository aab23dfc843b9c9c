"""Import a published file of weights."""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from da_bench.core.config import UserError, as_dict
from da_bench.data.transforms import View
from da_bench.pretrained import sources, store
from da_bench.pretrained.calibrate import calibrate_batch_norm
from da_bench.pretrained.convert import (
    Arrays,
    Converted,
    backbone_class,
    convention_fields,
    convert,
    published_network,
)
from da_bench.pretrained.example_images import find_images
from da_bench.pretrained.files import read_bytes
from da_bench.pretrained.read import read_arrays
from da_bench.pretrained.store import WeightsInfo

IMAGENET_CLASSES = (1000, 1001)  # Google's networks have one more in front, "background"
NAME = re.compile(r"[a-z0-9][a-z0-9_.]*")


class ImportRequest(NamedTuple):
    """What a user says about a file to be imported. "" and None stand for what is usual for the file.

    Attributes:
        arch: registered name of the network; "": that of the known file with this name or sha256.
        name: part of the name that the weights get; "": the convention of the file's names.
        preprocessing: how images are prepared, one of `sources.Preprocessing`; "": as for known files of this kind.
        classes: number of classes of the classifier; None: ImageNet's 1000 or 1001.
        sha256: first digits of the file's sha256; "": those that its name or its source gives.
        statistics_from: folder of images for the statistics of batch normalisation, see `calibrate_batch_norm`; None:
            the file's own statistics.
    """

    arch: str = ""
    name: str = ""
    preprocessing: str = ""
    classes: int | None = None
    sha256: str = ""
    statistics_from: Path | None = None


def import_file(path: Path, request: ImportRequest) -> str:
    """Import a published file of weights. Importing the same file again gives the same name.

    Args:
        path: the file, see `read.read_arrays` for its formats.
        request: what is not known from the file.

    Returns:
        The name of the imported weights.

    Raises:
        UserError: the file is damaged, for another network or not as requested; nothing is written.
        StorageError: the folder cannot be written to.
    """
    sha256 = hashlib.sha256(read_bytes(path)).hexdigest()
    sources.check_sha256(path.name, sha256, request.sha256)
    if request.name and not NAME.fullmatch(request.name):
        raise UserError(f"weights cannot be called '{request.name}': use lower-case letters, digits, '_' and '.'")
    arch = request.arch or _usual_arch(path, sha256)
    backbone_class(arch)  # refuse an unknown network before the file is read
    converted = convert(path, arch, read_arrays(path, arch))
    _check_classes(path, converted.classes, request.classes)
    info, arrays = _info(path, arch, request, converted, sha256), converted.arrays
    if request.statistics_from:
        info, arrays = _calibrate(info, arrays, find_images(request.statistics_from))
    name = f"{info.arch}-{request.name or info.convention}-{info.digest[:12]}"
    store.save(name, info, arrays)
    return name


def _usual_arch(path: Path, sha256: str) -> str:
    if source := sources.known(path.name, sha256):
        return source.arch
    raise UserError(f"the network of the weights '{path}' is not known: give --arch, such as --arch resnet50")


def _check_classes(path: Path, classes: int, requested: int | None) -> None:
    allowed = IMAGENET_CLASSES if requested is None else (requested,)
    if classes and classes not in allowed:
        raise UserError(
            f"the classifier of the weights '{path}' has {classes} classes, not {' or '.join(map(str, allowed))}; give "
            f"--classes {classes} if that is intended"
        )


def _info(path: Path, arch: str, request: ImportRequest, converted: Converted, sha256: str) -> WeightsInfo:
    source = sources.known(path.name, sha256)
    if source and source.arch != arch:
        source = None
    preprocessing = sources.preprocessing(arch, converted.convention, source, request.preprocessing)
    model = published_network(arch, converted.convention, converted.classes)
    info = WeightsInfo(
        arch=arch,
        fields=convention_fields(arch, converted.convention),
        convention=converted.convention,
        view=_view(arch, preprocessing, source.stored if source else None),
        classes=converted.classes,
        source={"file": path.name, "sha256": sha256, "url": source.url if source else ""},
        citation=sources.citation(arch),
        terms=source.terms if source else "those of whoever published the file",
        digest="",
        parity=store.parity(model, converted.arrays),
    )
    return info._replace(digest=store.digest(info, converted.arrays))


def _view(arch: str, preprocessing: str, stored: int | None) -> View | None:
    if preprocessing == "none":
        return None
    return View(**{**as_dict(sources.VIEWS[preprocessing]), "pixels": backbone_class(arch).SIDE, "stored": stored})


def _calibrate(info: WeightsInfo, arrays: Arrays, files: list[Path]) -> tuple[WeightsInfo, Arrays]:
    """Replace the statistics of batch normalisation by those for the images, and update the facts."""
    if info.view is None:
        raise UserError(f"weights of '{info.arch}' are not for images: leave out --statistics-from")
    model = published_network(info.arch, info.convention, max(info.classes, 1))
    complete = arrays if info.classes else {**store.zeros(model), **arrays}  # a file without classifier
    calibrated = calibrate_batch_norm(model, complete, info.view, files)
    calibrated = {path: calibrated[path] for path in arrays}
    info = info._replace(
        source={**info.source, "statistics": f"of images in {files[0].parent.name}"},
        parity=store.parity(model.clone(classes=info.classes), calibrated),
    )
    return info._replace(digest=store.digest(info, calibrated)), calibrated
