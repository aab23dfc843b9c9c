"""Listings of images from list files (lines `path label`), and their comparison with what was published."""

import os
import posixpath
from pathlib import Path

from da_bench.core.config import UserError
from da_bench.data.family import Listing

SHOWN = 3  # how many of the images or classes at fault a message names


def read_list(path: Path, classes: tuple[str, ...]) -> dict[str, str]:
    """File -> class name, in the order of the list; files are relative, as "a/b.jpg", whoever wrote "./a/b.jpg".

    The last word of a line is its label, an index into `classes`; all before it is the path, spaces included. Blank
    lines are passed over; there are no comments. `classes` is in the order of the list's labels, which need not be
    sorted: what comes out are names, so that no order of a list reaches the labels of the suite.

    Raises:
        UserError: unreadable or empty; a line without a label, with one that is no index into `classes`, with a path
            that leads out of the folder, or with a file that an earlier line has.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            file, label = _split(line)
            if fault := _fault(file, label, len(classes)) or ("an earlier line has it" if file in found else ""):
                raise UserError(f"'{path}', line {number} '{line.strip()}': {fault}; get a fresh copy of the list")
            found[file] = classes[int(label)]
    if not found:
        raise UserError(f"'{path}' lists no images; get a fresh copy of the list")
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list '{path}': {error}; get a fresh copy of it") from None


def _split(line: str) -> tuple[str, str]:
    file, *label = line.strip().rsplit(maxsplit=1)
    return (file if ".." in file.split("/") else posixpath.normpath(file)), "".join(label)


def _fault(file: str, label: str, classes: int) -> str:
    if not label:
        return "it has no label"
    if not (label.isascii() and label.isdigit()):
        return f"its label '{label}' is no whole number"
    if int(label) >= classes:
        return f"its label {label} is not in 0..{classes - 1}"
    if file.startswith("/") or ".." in file.split("/"):
        return "its path leads out of the folder of the data set"
    return ""


def listing(place: Path, names: dict[str, str]) -> Listing:
    """The images place/<file> of a list that was read, sorted by path.

    Raises:
        UserError: one for all listed files that are not there.
    """
    files = tuple(sorted(names))
    missing = [file for file in files if not os.path.isfile(f"{place}/{file}")]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(files)} listed images are not in '{place}': {_first(missing)}; "
            "unpack the images there, or get the list that belongs to them"
        )
    return Listing(place, files, tuple(names[file] for file in files))


def check_classes(images: Listing, classes: tuple[str, ...]) -> Listing:
    """`images`, if their classes are the published ones.

    Raises:
        UserError: classes that are missing, or that the data set does not have.
    """
    found = set(images.labels)
    faults = {"it lacks": sorted(set(classes) - found), "it is not to have": sorted(found - set(classes))}
    if any(faults.values()):
        told = "; ".join(f"{what} {_first(names)}" for what, names in faults.items() if names)
        raise UserError(f"the class folders in '{images.place}' are not those published: {told}")
    return images


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
