"""Feature tables of one's own: DATA_ROOT/<name>/<domain>.npz or .mat, one file a domain, no code to write.

A file holds `inputs` [n, ...] and `labels` [n]; or, where the split is given, `inputs_train`, `labels_train`,
`inputs_test`, `labels_test`, and if need be `..._validation`. Other usual names are understood, see INPUTS and LABELS.
Labels are names, or whole numbers; `classes` [c] may name these, the name of label k, from 0, being classes[k].
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
    """The table `name`: a folder of that name under the data root, of one .npz or .mat file a domain.

    Raises:
        UserError: a name that is no folder's name: with a slash, or a dot in front.
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


def domains_of(place: Path) -> tuple[str, ...]:
    """Names of the domains in the folder `place`, sorted: its .npz and .mat files; none where it is no folder."""
    there = place.iterdir() if place.is_dir() else ()
    files = [one for one in there if one.suffix in ENDINGS and not one.name.startswith(".") and one.is_file()]
    for file in files:
        check_name(place, file.name)
    return tuple(sorted({file.stem for file in files}))


def near(place: Path, domain: str) -> str:
    """The ending of a message: what in the folder `place` may have been meant by a domain that is not there."""
    known = domains_of(place)
    others = [one for one in sorted(place.iterdir()) if one.stem not in known] if place.is_dir() else []
    if alike := [one.name for one in others if one.stem.casefold() == domain.casefold()]:
        return f"; {', '.join(alike)} is no file whose name ends in {' or '.join(ENDINGS)}"
    return did_you_mean(domain, known) if known else ""


def read(place: Path, domain: str) -> Parts:
    """The examples of one file: {"all": ...}, or where the file has a split, "train", "test" and if any "validation".

    Inputs are float32, or uint8 images [n, h, w, 1 or 3] if the file has them so; classes are sorted. A number that
    has no name is its own, with zeros in front so that the table's classes sort as numbers do: "07", "10".

    Raises:
        UserError: no such domain; a file that cannot be read, lacks an array or has one twice; arrays that are empty,
            of another length than each other, not finite, or labels that are no classes.
    """
    path = _path(place, domain)
    columns = _columns(path)
    inputs = {part: as_features(path, name, read_arrays(path, [name])[0]) for part, (name, _) in columns.items()}
    if len({(array.shape[1:], array.dtype) for array in inputs.values()}) > 1:
        raise UserError(f"the parts of '{path}' differ in shape or type: {_shapes(inputs)}; make them alike")
    labels = _labels(path)
    for part, (name, of) in columns.items():
        if len(inputs[part]) != len(labels[part]):
            lengths = f"{name} is {inputs[part].shape}, {of} has {len(labels[part])}"
            raise UserError(f"inputs and labels of '{path}' do not match: {lengths}; rows of inputs are the examples")
    return _named(inputs, labels, _declared(path), _width(place, labels))


def _path(place: Path, domain: str) -> Path:
    """The file of `domain`."""
    found = [place / f"{domain}{ending}" for ending in ENDINGS if (place / f"{domain}{ending}").is_file()]
    if domain not in domains_of(place) or not found:
        there = near(place, domain) or f"; make one, with {FORM}"
        raise UserError(f"there is no '{domain}.npz' or '{domain}.mat' in '{place}'{there}")
    if len(found) > 1:
        raise UserError(f"'{found[0]}' and '{found[1].name}' are both there: remove one of them")
    return found[0]


class _Pair(NamedTuple):
    inputs: str
    labels: str


def _columns(path: Path) -> dict[str, _Pair]:
    """The names of the arrays of each part that the file has."""
    names = array_names(path)
    endings = {UNSPLIT: "", **{part: f"_{part}" for part in SPLIT}}
    found = {part: (_one(path, names, INPUTS, end), _one(path, names, LABELS, end)) for part, end in endings.items()}
    pairs = {part: _Pair(inputs, labels) for part, (inputs, labels) in found.items() if inputs and labels}
    lonely = [name for part, pair in found.items() if part not in pairs for name in pair if name]
    if lonely or set(pairs) not in ({UNSPLIT}, {"train", "test"}, set(SPLIT)):
        raise UserError(f"'{path}' needs {FORM}; its arrays are: {', '.join(names) or 'none'}")
    return pairs


def _one(path: Path, names: tuple[str, ...], aliases: tuple[str, ...], ending: str) -> str:
    """The one of `aliases` that is among `names`; "" where none is."""
    found = [alias + ending for alias in aliases if alias + ending in names]
    if len(found) > 1:
        raise UserError(f"'{path}' has {' and '.join(found)}, which mean the same: keep one of them")
    return found[0] if found else ""


def as_features(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Inputs [n, ...] as a method takes them: uint8 images [n, h, w, 1 or 3] as they are, all else as float32.

    Raises:
        UserError: no numbers, no examples, one dimension only, values not finite in float32, images [n, c, h, w].
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
        where = f"{bad.sum()} values that are not finite as float32, the first in row {row}, from 0"
        raise UserError(f"array '{name}' of '{path}' has {where}: replace them or leave out their rows")
    return features


def _fault(array: np.ndarray) -> str:
    if array.dtype.kind not in "buif":
        return "holds no numbers: save the inputs as numbers"
    if array.ndim < 2:
        return f"has the shape {array.shape}: make it [n, d], and of one feature [n, 1]"
    if not array.size:
        return f"is empty, of the shape {array.shape}: leave its file out or fill it"
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] not in (1, 3):
        return f"has the shape {array.shape}: make images [n, h, w, 1 or 3], other things float32"
    return ""


def _declared(path: Path) -> tuple[str, ...]:
    """The class names by label that the file has; none where it has not."""
    if CLASSES not in array_names(path):
        return ()
    names = read_arrays(path, [CLASSES])[0]
    if names.dtype.kind != "U" or len(set(names.ravel().tolist()) - {""}) < max(names.size, 1):
        raise UserError(f"array '{CLASSES}' of '{path}' has to hold strings, all different and none empty")
    return tuple(names.ravel().tolist())


def _labels(path: Path) -> dict[str, np.ndarray]:
    """Of every part, [n] class names or, where numbers have none, whole numbers."""
    declared = _declared(path)
    labels = {part: _checked(path, name, declared) for part, (_, name) in _columns(path).items()}
    if len({array.dtype.kind for array in labels.values()}) > 1:
        raise UserError(f"the labels of '{path}' are names in one part and numbers in another; make them alike")
    return labels


def _checked(path: Path, name: str, declared: tuple[str, ...]) -> np.ndarray:
    array = read_arrays(path, [name])[0]
    if array.size != max(array.shape, default=0):
        raise UserError(f"array '{name}' of '{path}' has the shape {array.shape}: make it [n], a label an example")
    if not array.size:
        raise UserError(f"array '{name}' of '{path}' is empty: leave the file out or fill it")
    labels = array.ravel()
    if labels.dtype.kind != "U":
        return _numbered(path, name, labels, declared)
    known = np.isin(labels, declared) if declared else labels != ""
    if not known.all():
        row = np.argmin(known)
        raise UserError(f"array '{name}' of '{path}' has the label '{labels[row]}' in row {row}, which is no class")
    return labels


def _numbered(path: Path, name: str, labels: np.ndarray, declared: tuple[str, ...]) -> np.ndarray:
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


def _width(place: Path, labels: dict[str, np.ndarray]) -> int:
    """The most digits of a label that is a number, in all domains of the table: their class names have to agree."""
    if all(array.dtype.kind == "U" for array in labels.values()):
        return 0
    every = [*labels.values(), *(array for domain in domains_of(place) for array in _labels_if_sound(place, domain))]
    return max(len(str(np.abs(array).max())) for array in every if array.dtype.kind != "U")


def _labels_if_sound(place: Path, domain: str) -> Iterable[np.ndarray]:
    try:
        return _labels(_path(place, domain)).values()
    except UserError:  # nobody has asked for this domain: it is told of when somebody does
        return ()


def _named(
    inputs: dict[str, np.ndarray], labels: dict[str, np.ndarray], declared: tuple[str, ...], width: int
) -> Parts:
    names = {part: np.char.zfill(array.astype(str), width) for part, array in labels.items()}
    classes = np.unique(declared or np.concatenate(list(names.values())))
    index = {part: np.searchsorted(classes, array).astype(np.int32) for part, array in names.items()}
    return {part: Examples(inputs[part], index[part], tuple(classes.tolist())) for part in inputs}


def _shapes(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{part} {array.dtype}{list(array.shape)}" for part, array in arrays.items())
