"""Domains by name: the family that a domain belongs to, whether its files exist, and its examples."""

import dataclasses
import functools
import importlib
import itertools
import pkgutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from da_bench.core.config import UserError, did_you_mean
from da_bench.data import families, folders, image_cache, tables, tfds_read
from da_bench.data.family import FAMILIES, Examples, Family, Listing, Parts
from da_bench.data.files import HOW_TO_SET_ROOT, data_root, first_existing, listed
from da_bench.data.transforms import View

for _module in pkgutil.iter_modules(families.__path__):
    importlib.import_module(f"{families.__name__}.{_module.name}")

TABLE = "table/"  # prefix of the names of the user's own feature tables


@dataclasses.dataclass(frozen=True, eq=False)
class DomainData:
    """A domain as it was read. It equals only itself.

    Attributes:
        examples: all examples of the domain.
        parts: the rows of each published part, int64.
    """

    examples: Examples
    parts: Mapping[str, np.ndarray]


def family_of(domain: str) -> tuple[Family, str]:
    """Return the family of a domain, and the domain's name within the family.

    Args:
        domain: full name: "office31/amazon", "mnist", "my_folder/photos", "table/mine/a" or "tfds/cifar10". A first
            word that is not a registered family is a folder of images under the data root.

    Raises:
        UserError: the family has no such domain (the message names the nearest one); the name leads out of the data
            root.
    """
    if domain in FAMILIES:
        family_name, short_name = domain, domain
    else:
        family_name, _, short_name = domain.rpartition("/")
    if family_name and family_name not in FAMILIES:
        _check_path(domain)
    if family_name == tfds_read.PREFIX:
        return tfds_read.family(short_name), short_name
    if family_name.startswith(TABLE):
        return tables.family(family_name.removeprefix(TABLE)), short_name
    if family_name not in FAMILIES and family_name:
        return folders.family(family_name), short_name
    if not family_name or short_name not in FAMILIES[family_name].domains:
        selected = [FAMILIES[family_name]] if family_name else FAMILIES.values()
        known = [name for family in selected for name in family.domain_names()]
        raise UserError(f"unknown domain '{domain}'{did_you_mean(domain, known)}")
    return FAMILIES[family_name], short_name


def _check_path(name: str) -> None:
    """Refuse names that lead out of the data root or are a second name of the same folder."""
    if any(not part or part.startswith(".") for part in name.split("/")):
        raise UserError(
            f"'{name}' is not a valid name under the data root: write FOLDER or FOLDER/DOMAIN; no part may be empty or "
            "start with a dot"
        )


def domains_of(name: str, root: Path | None = None) -> list[str]:
    """Return the full names of the domains of a family, a folder of images or a feature table.

    Args:
        name: name of a family, folder or table. The name of a domain gives that domain alone.
        root: the data root; None for the environment variable DA_BENCH_DATA.

    Raises:
        UserError: nothing has that name; the data root is needed and missing.
    """
    if name in FAMILIES:
        return FAMILIES[name].domain_names()
    _check_path(name)
    if name.startswith(TABLE) and name.count("/") == 1:
        folder = data_root(root) / name.removeprefix(TABLE)
        domains = tables.domains_of(folder)
        if not domains:
            raise UserError(f"'{folder}' holds no feature tables: add one .npz or .mat file for each domain")
        return [f"{name}/{domain}" for domain in domains]
    if "/" in name:
        family_of(name)
        return [name]
    folder = data_root(root) / name
    if not folder.is_dir():
        raise UserError(f"the data root has no folder '{name}'{_no_family(name)}")
    try:
        return [f"{name}/{domain}" for domain in folders.domains_of(folder)]
    except UserError as error:
        raise UserError(f"{error}{_table_hint(name) if tables.domains_of(folder) else ''}") from None


def missing(domain: str, root: Path | None = None) -> list[str]:
    """Return the paths that the domain needs under the data root and that do not exist; no file is opened.

    Raises:
        UserError: the domain needs files, and no data root is given or it is not a folder.
    """
    family, short_name = family_of(domain)
    if not family.folder:
        return [] if family.domains else [family.how_to_get]  # the latter: tfds has not prepared it
    folder = data_root(root) / family.folder
    return [
        alternatives
        for alternatives in family.files(short_name)
        if not first_existing(*(folder / path for path in alternatives.split("|"))).exists()
    ]


def require(domain: str, root: Path | None) -> None:
    """Raise one UserError for everything that the domain needs and that is missing: what, where, how to get it."""
    family, short_name = family_of(domain)
    if not family.folder:
        family.read(Path(), short_name)
        return
    how = f"to get them: {family.how_to_get}"
    try:
        absent = missing(domain, root)
    except UserError as error:
        needed = f"'{domain}' needs {listed(family.files(short_name))} in the folder '{family.folder}' of the data root"
        raise UserError(f"{needed} ({how}), but {error}") from None
    if absent:
        folder = data_root(root) / family.folder
        hint = "" if family.name in FAMILIES else _hint(family, short_name, folder)
        raise UserError(
            f"'{domain}': missing in '{folder}': {listed(absent)} ({how}){hint}; if the data root is elsewhere, "
            f"{HOW_TO_SET_ROOT}"
        )


def _hint(family: Family, domain: str, folder: Path) -> str:
    """End of a message: what the user may have meant by a domain of their own that does not exist."""
    if domain in FAMILIES and domain in FAMILIES[domain].domains:
        return f"; the family is written '{domain}/{domain}' here"
    if family.name.startswith(TABLE):
        return tables.suggestion(folder, domain)
    if not folder.is_dir():
        return _no_family(family.name)
    return _table_hint(family.name) if tables.domains_of(folder) else folders.suggestion(folder, domain)


def _table_hint(name: str) -> str:
    return f"; for the .npz and .mat files in it, write '{TABLE}{name}'"


def _no_family(name: str) -> str:
    return f"; no family is called '{name}'{did_you_mean(name, FAMILIES)}"


def parts_of(domain: str, root: Path | None = None) -> Parts:
    """Return the domain's published parts as its family reads them: arrays, or listings of images.

    Raises:
        UserError: files that are missing, damaged or of another layout; the message names each.
    """
    family, short_name = family_of(domain)
    if not family.folder:
        return family.read(Path(), short_name)
    require(domain, root)
    return family.read(data_root(root) / family.folder, short_name)


def listing_of(parts: Parts) -> Listing:
    """Join the listings of a domain's parts, part after part."""
    listings = [part for part in parts.values() if isinstance(part, Listing)]
    files = tuple(file for listing in listings for file in listing.files)
    return Listing(listings[0].folder, files, tuple(label for listing in listings for label in listing.labels))


def read(domain: str, root: Path | None = None, view: View | None = None) -> DomainData:
    """Read all examples of a domain.

    Images are decoded once, at the size that `view` needs, and then memory-mapped. A domain that was read before is
    returned again while its files keep their paths, sizes and times.

    Args:
        domain: full name.
        root: the data root; None for the environment variable DA_BENCH_DATA.
        view: how the network sees images; None for the default. Ignored for other inputs.

    Raises:
        UserError: files that are missing, damaged or not as published; the message names each.
    """
    family, short_name = family_of(domain)
    if not family.folder:
        return _read(domain, None, None, (str(tfds_read.data_dir()),))
    require(domain, root)
    resolved = data_root(root).resolve()
    return _read(domain, resolved, view if family.images else None, _stamp(family, short_name, resolved))


Stamp = tuple[object, ...]


def _stamp(family: Family, domain: str, root: Path) -> Stamp:
    """Paths, sizes and times of the domain's files: another value if any of them changes."""
    folder = root / family.folder
    if family.images:
        parts = family.read(folder, domain)
        return (image_cache.key(listing_of(parts)), *(len(part.labels) for part in parts.values()))
    if family.name.startswith(TABLE):
        paths = sorted(folder.iterdir())  # the other domains matter too: they decide how classes are named
    else:
        found = [first_existing(*(folder / path for path in paths.split("|"))) for paths in family.files(domain)]
        paths = [path for each in found for path in (each, *sorted(each.rglob("*")))]
    return tuple((path, *image_cache.stamp(path)) for path in paths)


@functools.lru_cache(maxsize=16)
def _read(domain: str, root: Path | None, view: View | None, _as_of: Stamp) -> DomainData:
    family, short_name = family_of(domain)
    parts = parts_of(domain, root)
    counts = {part: len(examples.labels) for part, examples in parts.items()}
    published = family.domains.get(short_name) or counts
    if counts != published:
        raise UserError(
            f"'{domain}' has {counts} examples, but {dict(published)} are published: run `da-bench data check "
            f"{family.name}` for details, or give the folder another name to use it as a data set of your own"
        )
    examples = _decode_images(domain, parts, view) if family.images else _join_parts(parts)
    examples.labels.flags.writeable = False
    ends = np.cumsum([0, *counts.values()])
    rows = [np.arange(start, end) for start, end in itertools.pairwise(ends)]
    return DomainData(examples, dict(zip(counts, rows, strict=True)))


def _decode_images(domain: str, parts: Parts, view: View | None) -> Examples:
    view = view or View()
    folder = image_cache.images_folder()
    cached = image_cache.prepare(listing_of(parts), domain, view.stored_side, view.resize, folder, progress=True)
    image_cache.verify(cached)
    return cached.examples()


def _join_parts(parts: Parts) -> Examples:
    arrays = [part for part in parts.values() if isinstance(part, Examples)]
    inputs = np.concatenate([part.inputs for part in arrays]) if len(arrays) > 1 else np.asarray(arrays[0].inputs)
    inputs.flags.writeable = False
    return Examples(inputs, np.concatenate([part.labels for part in arrays]).astype(np.int32), arrays[0].classes)
