"""Images in folders, one folder for each class: most published data sets, and any folder of the user's own."""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from da_bench.core.config import UserError, did_you_mean
from da_bench.data.family import UNSPLIT, Family, Listing
from da_bench.data.files import check_name

IMAGES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"))
# Notes and lists that come with data sets and that nobody takes for an image.
NOTES = frozenset((".txt", ".md", ".rst", ".json", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".html", ".log", ".pdf"))
NOTE_NAMES = frozenset(("readme", "license", "licence", "copying", "sha256sums", "md5sums"))
ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z"))
LITTER = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"))  # of file browsers


def list_classes(folder: Path) -> Listing:
    """List the images in folder/<class>/ and its subfolders, sorted by path. A class has the name of its folder.

    Links are followed. Hidden files, the litter of file browsers, and notes (.txt, .json, .csv, ...) are skipped.

    Raises:
        UserError: the folder is missing, unreadable or without class folders; a class has no images; two classes have
            names that look alike, or share a folder through a link; an image is outside the class folders, or all
            images are too deep; an archive or another file that is not an image; a loop of links; a name that is
            not valid text.
    """
    classes = domains_of(folder)
    _check_class_names(folder, classes)
    if outside := list(_images_in(folder)):
        raise UserError(f"the image '{outside[0]}' is outside the class folders: move it into that of its class")
    real = Path(os.path.realpath(folder))
    parents = frozenset(map(str, (real, *real.parents)))
    start = len(os.path.join(folder, ""))  # strings: for a million images, Path takes most of the time
    files = {name: sorted(path[start:] for path in _walk(os.path.join(folder, name), parents)) for name in classes}
    for name, names in files.items():
        if not names:
            raise UserError(f"the class folder '{folder / name}' holds no image: add some, or remove it")
    if all(file.count("/") > 1 for names in files.values() for file in names):
        raise UserError(
            f"'{folder}' holds the folders {', '.join(files)}, but no images directly in them: class folders "
            "have to be in the folder of the domain itself, <domain>/<class>/*.jpg; move them there"
        )
    _check_shared_folders(folder, files)
    pairs = sorted((file, name) for name, names in files.items() for file in names)
    return Listing(folder, tuple(file for file, _ in pairs), tuple(name for _, name in pairs))


def domains_of(folder: Path) -> tuple[str, ...]:
    """Return the sorted names of the folders in `folder`: the domains of a family, or the classes of a domain.

    Raises:
        UserError: `folder` is missing, unreadable or holds no folder.
    """
    names = tuple(entry.name for entry in _entries(folder) if _is_folder(entry))
    if not names:
        raise UserError(f"'{folder}' holds no folders: it needs one folder of images for each class")
    return names


def family(name: str) -> Family:
    """Return the family of the images in name/<domain>/<class>/ under the data root: any folder, without any code."""
    return Family(
        name=name,
        read=lambda folder, domain: {UNSPLIT: list_classes(folder / domain)},
        domains={},
        classes=(),
        citation="the user's own images",
        terms="the user's own",
        how_to_get=f"they are your own: {name}/<domain>/<class>/*.jpg",
        folder=name,
        files=lambda domain: (domain,),
        images=True,
        model="convnet",
    )


def normalized_name(name: str) -> str:
    """Return what names that look alike have in common."""
    return unicodedata.normalize("NFC", name.strip().casefold())


def suggestion(folder: Path, domain: str) -> str:
    """Return the end of a message: what the user may have meant by a domain that is not in `folder`."""
    entries = _entries(folder)
    if archives := [entry.name for entry in entries if Path(entry.name).suffix.lower() in ARCHIVES]:
        return f"; archives are not unpacked, unpack them yourself: {', '.join(archives)}"
    names = [entry.name for entry in entries if _is_folder(entry)]
    return did_you_mean(domain, names) if names else ""


def _check_class_names(folder: Path, classes: tuple[str, ...]) -> None:
    first: dict[str, str] = {}
    for name in classes:
        other = first.setdefault(normalized_name(name), name)
        if other != name:
            raise UserError(f"the class folders '{other}' and '{name}' of '{folder}' look alike: merge or rename them")


def _check_shared_folders(folder: Path, files: Mapping[str, Iterable[str]]) -> None:
    owner: dict[str, str] = {}
    for name, names in files.items():
        for subfolder in {file.rpartition("/")[0] for file in names}:
            real = os.path.realpath(folder / subfolder)
            if (other := owner.setdefault(real, name)) != name:
                raise UserError(
                    f"the classes '{other}' and '{name}' of '{folder}' both hold the folder '{real}': remove a link"
                )


def _walk(folder: str, parents: frozenset[str]) -> Iterator[str]:
    """Yield all images under `folder`. `parents`: real paths of the folders that lead to it."""
    real = os.path.realpath(folder)
    if real in parents:
        raise UserError(f"the link '{folder}' leads back to '{real}', which contains it: remove the link")
    yield from _images_in(folder)
    for entry in _entries(folder):
        if _is_folder(entry):
            yield from _walk(entry.path, parents | {real})


def _images_in(folder: Path | str) -> Iterator[str]:
    return (entry.path for entry in _entries(folder) if not _is_folder(entry) and _is_image(entry))


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, sorted by name, without hidden ones and litter."""
    try:
        with os.scandir(folder) as scanned:
            entries = [entry for entry in scanned if entry.name[:1] != "." and entry.name.lower() not in LITTER]
    except OSError as error:
        raise UserError(
            f"cannot list the folder '{folder}': {error.strerror}; check that it exists and that you may read it"
        ) from None
    for entry in entries:
        check_name(folder, entry.name)
    return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        if entry.is_dir() or entry.is_file():
            return entry.is_dir()
        fault = "it is a broken link, or neither a file nor a folder"
    except OSError as error:
        fault = str(error.strerror)
    raise UserError(f"cannot use '{entry.path}': {fault}; remove it")


def _is_image(entry: os.DirEntry[str]) -> bool:
    path, suffix = entry.path, os.path.splitext(entry.name)[1].lower()
    if suffix in IMAGES:
        return True
    if suffix in NOTES or entry.name.lower() in NOTE_NAMES:
        return False
    if suffix in ARCHIVES:
        raise UserError(f"'{path}' is an archive: unpack it yourself, and move it away from the images")
    formats = " ".join(sorted(IMAGES))
    raise UserError(f"'{path}' is not an image of a supported format ({formats}): convert it, or move it away")
