"""Images in folders, one folder a class: what image data sets are on disk, and any folder of one's own."""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from da_bench.core.config import UserError, did_you_mean
from da_bench.data.family import UNSPLIT, Family, Listing, Parts
from da_bench.data.files import check_name

IMAGES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"))
# Notes and lists that data sets bring along, which nobody takes for an image.
NOTES = frozenset((".txt", ".md", ".rst", ".json", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".html", ".log", ".pdf"))
NOTE_NAMES = frozenset(("readme", "license", "licence", "copying", "sha256sums", "md5sums"))
ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z"))
LITTER = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"))


def list_classes(place: Path) -> Listing:
    """The images of place/<class>/, folders within folders too, sorted by path; a class is the name of its folder.

    Links are followed. Hidden files, the litter of file browsers, and notes (.txt, .json, .csv, ...) are passed over.

    Raises:
        UserError: `place` is missing, unreadable or without class folders; a class without images; two classes that
            look alike, or hold the same folder by a link; an image outside a class, or all images further down than
            in a class; an archive, or any other file that is no image; a loop of links; a name that is no text.
    """
    classes = domains_of(place)
    _check_names(place, classes)
    if strays := list(_images_in(place)):
        raise UserError(f"the image '{strays[0]}' lies beside the class folders: move it into that of its class")
    found = {name: sorted(_relative(_walk(os.path.join(place, name), _above(place)), place)) for name in classes}
    for name, files in found.items():
        if not files:
            raise UserError(f"the class folder '{place / name}' holds no image: add some, or remove it")
    _check_depth(place, found)
    _check_apart(place, found)
    pairs = sorted((file, name) for name, files in found.items() for file in files)
    return Listing(place, tuple(file for file, _ in pairs), tuple(name for _, name in pairs))


def domains_of(place: Path) -> tuple[str, ...]:
    """Names of the folders in `place`, sorted: the domains of a family, the classes of a domain.

    Raises:
        UserError: `place` is missing, unreadable or holds no folder.
    """
    names = tuple(entry.name for entry in _entries(place) if _is_folder(entry))
    if not names:
        raise UserError(f"'{place}' holds no folders: it takes one folder of images for each class")
    return names


def family(name: str) -> Family:
    """The images in name/<domain>/<class>/ under the data root: any folder, without a line of code."""
    return Family(
        name=name,
        read=lambda folder, domain: _parts(folder / domain),
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


def _parts(place: Path) -> Parts:
    return {UNSPLIT: list_classes(place)}


def normalized_name(name: str) -> str:
    """What names that look alike have in common."""
    return unicodedata.normalize("NFC", name.strip().casefold())


def near(place: Path, domain: str) -> str:
    """The ending of a message: what in the folder `place` may have been meant by a domain that is not there."""
    entries = _entries(place)
    if archives := [entry.name for entry in entries if Path(entry.name).suffix.lower() in ARCHIVES]:
        return f"; archives are not unpacked, do so yourself: {', '.join(archives)}"
    names = [entry.name for entry in entries if _is_folder(entry)]
    return did_you_mean(domain, names) if names else ""


def _check_names(place: Path, classes: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(normalized_name(name), name)
        if other != name:
            raise UserError(f"the class folders '{other}' and '{name}' of '{place}' look alike: merge or rename them")


def _check_depth(place: Path, found: Mapping[str, Iterable[str]]) -> None:
    if all(file.count("/") > 1 for files in found.values() for file in files):
        raise UserError(
            f"'{place}' holds the folders {', '.join(found)}, none of which has an image right in it: the class "
            "folders have to be in the folder of the domain itself, <domain>/<class>/*.jpg; move them there"
        )


def _check_apart(place: Path, found: Mapping[str, Iterable[str]]) -> None:
    owner: dict[str, str] = {}
    for name, files in found.items():
        for folder in {file.rpartition("/")[0] for file in files}:
            real = os.path.realpath(place / folder)
            if (other := owner.setdefault(real, name)) != name:
                raise UserError(
                    f"the classes '{other}' and '{name}' of '{place}' both hold the folder '{real}': remove a link"
                )


def _relative(paths: Iterable[str], place: Path) -> Iterator[str]:
    start = len(os.path.join(place, ""))  # strings: for a million images, Path takes most of the time
    return (path[start:] for path in paths)


def _above(place: Path) -> frozenset[str]:
    real = Path(os.path.realpath(place))
    return frozenset(map(str, (real, *real.parents)))


def _walk(folder: str, above: frozenset[str]) -> Iterator[str]:
    """All images under `folder`; `above`: the real paths of the folders that lead to it."""
    real = os.path.realpath(folder)
    if real in above:
        raise UserError(f"the link '{folder}' leads back to '{real}', which it is in: remove the link")
    yield from _images_in(folder)
    for entry in _entries(folder):
        if _is_folder(entry):
            yield from _walk(entry.path, above | {real})


def _images_in(folder: Path | str) -> Iterator[str]:
    return (entry.path for entry in _entries(folder) if not _is_folder(entry) and _is_image(entry))


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name; without what is hidden, and litter."""
    try:
        with os.scandir(folder) as found:
            entries = [one for one in found if not one.name.startswith(".") and one.name.lower() not in LITTER]
    except OSError as error:
        raise UserError(
            f"cannot list the folder '{folder}': {error.strerror}; check that it is there and that you may read it"
        ) from None
    for entry in entries:
        check_name(folder, entry.name)
    return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        if entry.is_dir() or entry.is_file():
            return entry.is_dir()
        fault = "it is no file (or a link that leads nowhere)"
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
    raise UserError(f"'{path}' is no image that can be read ({' '.join(sorted(IMAGES))}): convert it, or move it away")
