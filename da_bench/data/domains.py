"""Domains by name: which family one belongs to, whether its files are there, and its examples."""

import dataclasses
import functools
import importlib
import itertools
import pkgutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from da_bench.core.config import UserError, did_you_mean
from da_bench.data import families, folders, image_cache, tables, tfds_read
from da_bench.data.family import FAMILIES, Examples, Family, Listing, Parts
from da_bench.data.files import HOW_TO_SET_ROOT, data_root, first_existing
from da_bench.data.transforms import View

for _module in pkgutil.iter_modules(families.__path__):
    importlib.import_module(f"{families.__name__}.{_module.name}")

TABLE = "table/"  # what the names of feature tables of one's own start with


@dataclasses.dataclass(frozen=True, eq=False)
class DomainData:
    """A domain as read: all its examples, and the rows of each published part. It equals only itself."""

    examples: Examples
    parts: Mapping[str, np.ndarray]


def family_of(domain: str) -> tuple[Family, str]:
    """The family of a domain, and its name within it.

    "office31/amazon", "mnist", "my_folder/photos", "table/mine/a", "tfds/cifar10".

    A first word that is no registered family is a folder of images under the data root.

    Raises:
        UserError: the family has no such domain; its nearest one is named. Or no name under the data root.
    """
    if domain in FAMILIES:
        name, own = domain, domain
    else:
        name, _, own = domain.rpartition("/")
    if name and name not in FAMILIES:
        _check_place(domain)
    if name == tfds_read.PREFIX:
        return tfds_read.family(own), own
    if name.startswith(TABLE):
        return tables.family(name.removeprefix(TABLE)), own
    if name not in FAMILIES and name:
        return folders.family(name), own
    if not name or own not in FAMILIES[name].domains:
        known = FAMILIES[name].domain_names() if name else [one for f in FAMILIES.values() for one in f.domain_names()]
        raise UserError(f"unknown domain '{domain}'{did_you_mean(domain, known)}")
    return FAMILIES[name], own


def _check_place(name: str) -> None:
    """A name may not lead out of the data root, nor there be two ways to one place."""
    if any(not part or part.startswith(".") for part in name.split("/")):
        raise UserError(
            f"'{name}' is no name under the data root: write FOLDER or FOLDER/DOMAIN, no part of which is empty or "
            "starts with a dot"
        )


def domains_of(name: str, root: Path | None = None) -> list[str]:
    """Full names of the domains of a family, or of a folder or table of one's own; a domain's own name gives itself.

    Raises:
        UserError: there is none of that name; no data root for a folder of one's own.
    """
    if name in FAMILIES:
        return FAMILIES[name].domain_names()
    _check_place(name)
    if name.startswith(TABLE) and name.count("/") == 1:
        return [f"{name}/{own}" for own in _tables(data_root(root) / name.removeprefix(TABLE))]
    if "/" in name:
        family_of(name)
        return [name]
    place = data_root(root) / name
    if not place.is_dir():
        raise UserError(f"the data root has no folder '{name}'{_no_family(name)}")
    try:
        return [f"{name}/{own}" for own in folders.domains_of(place)]
    except UserError as error:
        raise UserError(f"{error}{_is_table(name) if tables.domains_of(place) else ''}") from None


def _tables(place: Path) -> tuple[str, ...]:
    found = tables.domains_of(place)
    if not found:
        raise UserError(f"'{place}' holds no feature tables: it takes one .npz or .mat file for each domain")
    return found


def missing(domain: str, root: Path | None = None) -> list[str]:
    """What the domain needs under the data root and does not find there; no file is opened.

    Raises:
        UserError: no data root is given, or it is not a folder, and the domain needs files.
    """
    family, own = family_of(domain)
    if not family.folder:
        return [] if family.domains else [family.how_to_get]  # none: what tfds has not prepared
    place = data_root(root) / family.folder
    return [names for names in family.files(own) if not any(_is_there(place / name) for name in names.split("|"))]


def _is_there(path: Path) -> bool:
    return path.exists() or (path.suffix == ".gz" and path.with_suffix("").exists())


def read(domain: str, root: Path | None = None, view: View | None = None) -> DomainData:
    """All examples of a domain. Images on disk are decoded once, as large as `view` wants them, and then mapped.

    What was read before is not read again while its files have the paths, sizes and times that they had.

    Raises:
        UserError: files that are missing, damaged or not what was published, each named.
    """
    family, _ = family_of(domain)
    if not family.folder:
        return _read(domain, None, None, (str(tfds_read.data_dir()),))
    require(domain, root)
    place = data_root(root).resolve()
    return _read(domain, place, view if family.images else None, _stamp(domain, place))


Stamp = tuple[object, ...]


def _stamp(domain: str, root: Path) -> Stamp:
    """Paths, sizes and times of the domain's files: equal only where they are those of before."""
    family, own = family_of(domain)
    if family.images:
        parts = parts_of(domain, root)
        return (image_cache.key(listing_of(parts)), *(len(one.labels) for one in parts.values()))
    return tuple((path, *image_cache.stamp(path)) for path in _files(family, own, root / family.folder))


def _files(family: Family, own: str, place: Path) -> list[Path]:
    if family.name.startswith(TABLE):
        return sorted(place.iterdir())  # the other domains have a say in how classes are called
    found = [first_existing(*(place / choice for choice in names.split("|"))) for names in family.files(own)]
    return [path for one in found for path in (one, *sorted(one.rglob("*")))]


def require(domain: str, root: Path | None) -> None:
    """Raise one UserError for all that the domain needs and does not find: what, where, and how to get it."""
    family, own = family_of(domain)
    if not family.folder:
        family.read(Path(), own)
        return
    how = f"to get them: {family.how_to_get}"
    try:
        absent = missing(domain, root)
    except UserError as error:
        needed = f"'{domain}' needs {_either(family.files(own))} in the folder '{family.folder}' of the data root"
        raise UserError(f"{needed} ({how}), but {error}") from None
    if absent:
        known = "" if family.name in FAMILIES else _meant(family, own, data_root(root) / family.folder)
        raise UserError(
            f"'{domain}': missing in '{data_root(root) / family.folder}': {_either(absent)} ({how}){known}; "
            f"if the data root is elsewhere, {HOW_TO_SET_ROOT}"
        )


def _either(names: Iterable[str]) -> str:
    return ", ".join(names).replace("|", " or ")


def _meant(family: Family, own: str, place: Path) -> str:
    """The ending of a message: what may have been meant by a domain of one's own that is not there."""
    if own in FAMILIES and own in FAMILIES[own].domains:
        return f"; the family is written '{own}/{own}' here"
    if family.name.startswith(TABLE):
        return tables.near(place, own)
    if not place.is_dir():
        return _no_family(family.name)
    return _is_table(family.name) if tables.domains_of(place) else folders.near(place, own)


def _is_table(name: str) -> str:
    return f"; of the .npz and .mat files there, the name is '{TABLE}{name}'"


def _no_family(name: str) -> str:
    return f"; no family is called '{name}'{did_you_mean(name, FAMILIES)}"


def parts_of(domain: str, root: Path | None = None) -> Parts:
    """The domain's published parts as its family reads them: arrays, or listings of images not yet decoded.

    Raises:
        UserError: files that are missing, damaged or of another layout, each named.
    """
    family, own = family_of(domain)
    if not family.folder:
        return family.read(Path(), own)
    require(domain, root)
    return family.read(data_root(root) / family.folder, own)


@functools.lru_cache(maxsize=16)
def _read(domain: str, root: Path | None, view: View | None, _as_of: Stamp) -> DomainData:
    family, own = family_of(domain)
    parts = parts_of(domain, root)
    counts = {part: len(one.labels) for part, one in parts.items()}
    published = family.domains.get(own) or counts
    if counts != published:
        raise UserError(
            f"'{domain}' has {counts} examples where {dict(published)} are published; `da-bench data check "
            f"{family.name}` says more, and under another folder's name it is a data set of your own"
        )
    examples = _decoded(domain, parts, view) if family.images else _join_domains(parts)
    examples.labels.flags.writeable = False
    ends = np.cumsum([0, *counts.values()])
    rows = [np.arange(start, end) for start, end in itertools.pairwise(ends)]
    return DomainData(examples, dict(zip(counts, rows, strict=True)))


def _decoded(domain: str, parts: Parts, view: View | None) -> Examples:
    view = view or View()
    made = image_cache.prepare(
        listing_of(parts), domain, view.stored_side, view.resize, image_cache.images_folder(), progress=True
    )
    image_cache.verify(made)
    return made.examples()


def listing_of(parts: Parts) -> Listing:
    """All images of a domain, part after part."""
    listings = [part for part in parts.values() if isinstance(part, Listing)]
    files = tuple(file for listing in listings for file in listing.files)
    return Listing(listings[0].place, files, tuple(label for listing in listings for label in listing.labels))


def _join_domains(parts: Parts) -> Examples:
    each = [part for part in parts.values() if isinstance(part, Examples)]
    inputs = np.concatenate([part.inputs for part in each]) if len(each) > 1 else np.asarray(each[0].inputs)
    inputs.flags.writeable = False
    return Examples(inputs, np.concatenate([part.labels for part in each]).astype(np.int32), each[0].classes)
