"""The user's own feature tables: DATA_ROOT/<name>/<domain>.npz or .mat, one file for each domain, without any code.

A file holds `inputs` [n, ...] and `labels` [n]; with an official split, `inputs_train`, `labels_train`, `inputs_test`,
`labels_test` and perhaps `..._validation`. Other common names are understood, see INPUTS and LABELS. Labels are names
or whole numbers. `classes` [c] may name the numbers: label k, from 0, has the name classes[k].
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.core.config import UserError, did_you_mean
from da_bench.data.family import UNSPLIT, Examples, Family, Parts
from da_bench.data.files import array_names, check_name, read_arrays

INPUTS = ("inputs", "features", "fts", "feas", "fea", "X", "x")
LABELS = ("labels", "y", "Y", "gnd")
CLASSES = "classes"
SPLIT = ("train", "validation", "test")
ENDINGS = (".npz", ".mat")
FORM = "arrays inputs [n, ...] and labels [n], or inputs_train, labels_train, inputs_test and labels_test"


def family(name: str) -> Family:
    """Return the family of the tables in the folder `name` under the data root, one .npz or .mat file for each domain.

    Raises:
        UserError: `name` is not the name of a folder: it has a slash, or starts with a dot.
    """
    if not re.fullmatch(r"[^./\\|][^/\\|]*", name):
        raise UserError(f"'{name}' cannot name a table: it has to be the name of a folder of the data root")
    return Family(
        name=f"table/{name}",
        read=read,
        domains={},
        classes=(),
        citation=f"the user's own table '{name}'",
        terms="the user's own",
        how_to_get=f"your own files, each with {FORM}",
        folder=name,
        files=lambda domain: ("|".join(f"{domain}{ending}" for ending in ENDINGS),),
        model="bottleneck",
    )


def domains_of(folder: Path) -> tuple[str, ...]:
    """Return the sorted names of the domains in `folder`, its .npz and .mat files; () if it is not a folder.

    Raises:
        UserError: the name of a file is not valid text.
    """
    paths = folder.iterdir() if folder.is_dir() else ()
    files = [path for path in paths if path.suffix in ENDINGS and path.name[:1] != "." and path.is_file()]
    for file in files:
        check_name(folder, file.name)
    return tuple(sorted({file.stem for file in files}))


def suggestion(folder: Path, domain: str) -> str:
    """Return the end of a message: what the user may have meant by a domain that is not in `folder`."""
    known = domains_of(folder)
    others = [path for path in sorted(folder.iterdir()) if path.stem not in known] if folder.is_dir() else []
    if similar := [path.name for path in others if path.stem.casefold() == domain.casefold()]:
        return f"; {', '.join(similar)} is not a file with the ending {' or '.join(ENDINGS)}"
    return did_you_mean(domain, known) if known else ""


def read(folder: Path, domain: str) -> Parts:
    """Read the file of a domain.

    Returns:
        {"all": ...}, or with a split "train", "test" and perhaps "validation". Inputs are float32, or uint8 images
        [n, h, w, 1 or 3] if the file has them so. Classes are sorted. A number without a name is its own name, padded
        with zeros so that the names of the table's classes sort as numbers do: "07", "10".

    Raises:
        UserError: no such domain; the file cannot be read, lacks an array or has it twice; arrays are empty, of
            different lengths or not finite; labels are not classes.
    """
    path = _path(folder, domain)
    columns = _columns(path)
    inputs = {
        part: as_features(path, pair.inputs, read_arrays(path, [pair.inputs])[0]) for part, pair in columns.items()
    }
    if len({(array.shape[1:], array.dtype) for array in inputs.values()}) > 1:
        shapes = ", ".join(f"{part} {array.dtype}{list(array.shape)}" for part, array in inputs.items())
        raise UserError(f"the parts of '{path}' differ in shape or type: {shapes}; make them alike")
    labels = _labels(path)
    for part, pair in columns.items():
        if len(inputs[part]) != len(labels[part]):
            lengths = f"{pair.inputs} is {inputs[part].shape}, {pair.labels} has {len(labels[part])}"
            raise UserError(f"inputs and labels of '{path}' do not match: {lengths}; rows of inputs are the examples")
    width = _digits(folder, labels)
    names = {part: np.char.zfill(array.astype(str), width) for part, array in labels.items()}
    classes = np.unique(_declared_classes(path) or np.concatenate(list(names.values())))
    index = {part: np.searchsorted(classes, array).astype(np.int32) for part, array in names.items()}
    return {part: Examples(inputs[part], index[part], tuple(classes.tolist())) for part in inputs}


def _path(folder: Path, domain: str) -> Path:
    paths = [folder / f"{domain}{ending}" for ending in ENDINGS if (folder / f"{domain}{ending}").is_file()]
    if domain not in domains_of(folder) or not paths:
        hint = suggestion(folder, domain) or f"; create one, with {FORM}"
        raise UserError(f"there is no '{domain}.npz' or '{domain}.mat' in '{folder}'{hint}")
    if len(paths) > 1:
        raise UserError(f"'{paths[0]}' and '{paths[1].name}' both exist: remove one of them")
    return paths[0]


class _Pair(NamedTuple):
    """Names of the arrays of one part."""

    inputs: str
    labels: str


def _columns(path: Path) -> dict[str, _Pair]:
    """Return the names of the arrays of each part that the file has."""
    names = array_names(path)
    pairs: dict[str, _Pair] = {}
    unpaired: list[str] = []
    for part in (UNSPLIT, *SPLIT):
        ending = "" if part == UNSPLIT else f"_{part}"
        pair = _Pair(_column(path, names, INPUTS, ending), _column(path, names, LABELS, ending))
        if all(pair):
            pairs[part] = pair
        else:
            unpaired += filter(None, pair)
    if unpaired or set(pairs) not in ({UNSPLIT}, {"train", "test"}, set(SPLIT)):
        raise UserError(f"'{path}' needs {FORM}; its arrays are: {', '.join(names) or 'none'}")
    return pairs


def _column(path: Path, names: tuple[str, ...], aliases: tuple[str, ...], ending: str) -> str:
    """Return the alias that is among `names`, "" if none is."""
    present = [alias + ending for alias in aliases if alias + ending in names]
    if len(present) > 1:
        raise UserError(f"'{path}' has {' and '.join(present)}, which mean the same: keep one of them")
    return present[0] if present else ""


def as_features(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Convert inputs to what methods take: uint8 images [n, h, w, 1 or 3] stay, everything else becomes float32.

    Args:
        path: the file, for messages.
        name: name of the array, for messages.
        array: inputs [n, ...].

    Raises:
        UserError: no numbers, no examples, only one dimension, values that are not finite in float32, or images
            [n, c, h, w].
    """
    fault = _fault(array)
    if fault:
        raise UserError(f"array '{name}' of '{path}' {fault}")
    if array.dtype == np.uint8 and array.ndim == 4:
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(array, np.float32)
    bad = ~np.isfinite(features)
    if bad.any():
        row = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))[0]
        fault = f"{bad.sum()} values that are not finite as float32, the first in row {row}, from 0"
        raise UserError(f"array '{name}' of '{path}' has {fault}: replace them or leave out their rows")
    return features


def _fault(array: np.ndarray) -> str:
    if array.dtype.kind not in "buif":
        return "holds no numbers: save the inputs as numbers"
    if array.ndim < 2:
        return f"has the shape {array.shape}: make it [n, d], or [n, 1] for one feature"
    if not array.size:
        return f"is empty, of the shape {array.shape}: leave its file out or fill it"
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] not in (1, 3):
        return f"has the shape {array.shape}: make images [n, h, w, 1 or 3], anything else float32"
    return ""


def _declared_classes(path: Path) -> tuple[str, ...]:
    """Return the class names by label that the file declares, () if it does not."""
    if CLASSES not in array_names(path):
        return ()
    names = read_arrays(path, [CLASSES])[0]
    if names.dtype.kind != "U" or len(set(names.ravel().tolist()) - {""}) < max(names.size, 1):
        raise UserError(f"array '{CLASSES}' of '{path}' has to hold strings, all different and none empty")
    return tuple(names.ravel().tolist())


def _labels(path: Path) -> dict[str, np.ndarray]:
    """Return the labels [n] of each part: class names, or whole numbers if these have no names."""
    declared = _declared_classes(path)
    labels = {part: _read_labels(path, pair.labels, declared) for part, pair in _columns(path).items()}
    if len({array.dtype.kind for array in labels.values()}) > 1:
        raise UserError(f"the labels of '{path}' are names in one part and numbers in another; make them alike")
    return labels


def _read_labels(path: Path, name: str, declared: tuple[str, ...]) -> np.ndarray:
    array = read_arrays(path, [name])[0]
    if array.size != max(array.shape, default=0):
        raise UserError(f"array '{name}' of '{path}' has the shape {array.shape}: make it [n], a label an example")
    if not array.size:
        raise UserError(f"array '{name}' of '{path}' is empty: leave the file out or fill it")
    labels = array.ravel()
    if labels.dtype.kind != "U":
        return _number_labels(path, name, labels, declared)
    known = np.isin(labels, declared) if declared else labels != ""
    if not known.all():
        row = np.argmin(known)
        raise UserError(f"array '{name}' of '{path}' has the label '{labels[row]}' in row {row}, which is not a class")
    return labels


def _number_labels(path: Path, name: str, labels: np.ndarray, declared: tuple[str, ...]) -> np.ndarray:
    numbers = labels.astype(float)
    limit = len(declared) or 2**31
    known = (numbers == np.rint(numbers)) & (numbers >= 0) & (numbers < limit)
    if set(np.unique(numbers)) == {-1, 1} and not declared:
        known[:] = True
    if not known.all():
        row = np.argmin(known)
        remedy = f"labels are whole numbers from 0{f' to {limit - 1}, for `classes`' if declared else ', or -1 and 1'}"
        raise UserError(f"array '{name}' of '{path}' has the label {labels[row]} in row {row}: {remedy}")
    return np.array(declared)[numbers.astype(int)] if declared else numbers.astype(int)


def _digits(folder: Path, labels: dict[str, np.ndarray]) -> int:
    """Return the most digits of a number label in any domain of the table, because their class names have to agree."""
    if all(array.dtype.kind == "U" for array in labels.values()):
        return 0
    others = [array for domain in domains_of(folder) for array in _labels_if_valid(folder, domain)]
    return max(len(str(np.abs(array).max())) for array in [*labels.values(), *others] if array.dtype.kind != "U")


def _labels_if_valid(folder: Path, domain: str) -> Iterable[np.ndarray]:
    try:
        return _labels(_path(folder, domain)).values()
    except UserError:  # reported when this domain is used
        return ()
