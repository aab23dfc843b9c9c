"""Listings of images from list files (lines `path label`), and their comparison with the published classes."""

import os
import posixpath
from pathlib import Path

from da_bench.core.config import UserError
from da_bench.data.family import Listing

SHOWN = 3  # how many images or classes a message names


def read_list(path: Path, classes: tuple[str, ...]) -> dict[str, str]:
    """Read a list file.

    The last word of a line is its label; everything before it is the path, spaces included. Blank lines are skipped.
    There are no comments.

    Args:
        path: the list file.
        classes: class names by label. They need not be sorted: names are returned, so the order of a list's labels
            never reaches the labels of the suite.

    Returns:
        The class name of each file, in the order of the list. Files are relative and normalised: "./a/b.jpg" becomes
        "a/b.jpg".

    Raises:
        UserError: the list is unreadable or empty; a line has no label, a label that is not an index into `classes`, a
            path outside the folder, or the file of an earlier line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list '{path}': {error}; get a fresh copy of it") from None
    labels: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        file, *rest = line.strip().rsplit(maxsplit=1)
        file, label = (file if ".." in file.split("/") else posixpath.normpath(file)), "".join(rest)
        fault = _fault(file, label, len(classes)) or ("an earlier line has this file" if file in labels else "")
        if fault:
            raise UserError(f"'{path}', line {number} '{line.strip()}': {fault}; get a fresh copy of the list")
        labels[file] = classes[int(label)]
    if not labels:
        raise UserError(f"'{path}' lists no images; get a fresh copy of the list")
    return labels


def _fault(file: str, label: str, classes: int) -> str:
    if not label:
        return "it has no label"
    if not (label.isascii() and label.isdigit()):
        return f"its label '{label}' is not a whole number"
    if int(label) >= classes:
        return f"its label {label} is not in 0..{classes - 1}"
    if file.startswith("/") or ".." in file.split("/"):
        return "its path leads out of the folder of the data set"
    return ""


def listing(folder: Path, labels: dict[str, str]) -> Listing:
    """Make a listing of the images folder/<file>, sorted by path.

    Args:
        folder: the folder that the files are relative to.
        labels: class name of each file, see `read_list`.

    Raises:
        UserError: files do not exist; one message for all.
    """
    files = tuple(sorted(labels))
    missing = [file for file in files if not os.path.isfile(f"{folder}/{file}")]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(files)} listed images are not in '{folder}': {_first(missing)}; "
            "unpack the images there, or get the list that belongs to them"
        )
    return Listing(folder, files, tuple(labels[file] for file in files))


def check_classes(images: Listing, classes: tuple[str, ...]) -> Listing:
    """Return `images` if their classes are the published ones.

    Raises:
        UserError: classes are missing or not published.
    """
    present = set(images.labels)
    faults = {"missing": sorted(set(classes) - present), "not published": sorted(present - set(classes))}
    if any(faults.values()):
        described = "; ".join(f"{fault}: {_first(names)}" for fault, names in faults.items() if names)
        raise UserError(f"the class folders in '{images.folder}' are not the published ones: {described}")
    return images


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
