"""The source -> target pairs, by name.

A name is [FAMILY/]SOURCE-to-TARGET[+CLASSES][@PROTOCOL]: "office31/amazon-to-webcam", "mnist-to-usps",
"my_folder/photos-to-sketches", "table/mine/a-to-b", "office31/amazon-to-webcam+partial@transductive". A target without
a slash is of the source's family; from a folder of one's own to the family usps, it is "my_folder/photos-to-usps/usps".
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from da_bench.core.config import UserError, did_you_mean
from da_bench.core.types import Array, Domain, Splits, Task
from da_bench.data import domains, tfds_read
from da_bench.data.domains import DomainData, family_of
from da_bench.data.family import FAMILIES, Examples
from da_bench.data.folders import normalized_name
from da_bench.data.harmonise import match_images
from da_bench.data.lazy_arrays import Rows
from da_bench.data.splits import Protocol, Role, SplitRows, split_rows
from da_bench.data.transforms import View

Classes = Literal["same", "shared", "partial", "open"]
UNKNOWN = "unknown"  # the class of everything in an open task's target that the source does not know
ALIASES = {"moons/35": "moons/0-to-35"}
ALIASED = {full: short for short, full in ALIASES.items()}
USPS = ("mnist-to-usps", "usps-to-mnist", "mnist-to-usps_pooled", "usps_pooled-to-mnist")
ACROSS = (*USPS, "mnist-to-mnist_m", "svhn-to-mnist", "mnist-to-svhn")  # between families


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A pair of domains, by name.

    protocol: which split adapts and which is scored, see `splits.cut`. classes: "same": both domains have the same;
    "shared": only those that both have, the rest is left out; "partial": the target lacks some of the source's;
    "open": the target has more, which are all scored as one class `UNKNOWN`. A family's published subsets of classes
    are taken for the last two. model: the default network; images: whether a `View` is needed.
    """

    name: str
    source: str
    target: str
    protocol: Protocol
    classes: Classes
    citation: str
    model: str
    images: bool


@functools.cache
def spec(name: str) -> TaskSpec:
    """The task of this name.

    Raises:
        UserError: not a task's name, or no such domain, protocol or choice of classes; the nearest name is given. Or
            another spelling of a task's name: a task has one, so that the same run has one record.
    """
    stem, classes, protocol = _suffixes(name)
    source, target = _pair(name, ALIASES.get(stem, stem))
    if name != (known := _spelled(source, target, classes, protocol)):
        raise UserError(f"task '{name}' is called '{known}'")
    family, _ = family_of(source)
    return TaskSpec(
        name=name,
        source=source,
        target=target,
        protocol=protocol,
        classes=classes,
        citation=family.citation,
        model=family.model,
        images=family.images,
    )


def between(source: str, target: str) -> str:
    """The name of the inductive task from one domain to another, both by their full names: "office31/amazon".

    Raises:
        UserError: there is no such domain.
    """
    for domain in (source, target):
        family_of(domain)
    return _spelled(_full(source), _full(target), "same", "inductive")


def _suffixes(name: str) -> tuple[str, Classes, Protocol]:
    stem, _, protocol = name.partition("@")
    stem, _, classes = stem.partition("+")
    for given, known in ((protocol, get_args(Protocol)), (classes, get_args(Classes))):
        if given and given not in known:
            raise UserError(f"task '{name}': no such ending '{given}'{did_you_mean(given, known)}")
    return stem, classes or "same", protocol or "inductive"  # type: ignore[return-value]


def _spelled(source: str, target: str, classes: Classes, protocol: Protocol) -> str:
    stem = f"{source}-to-{_short(source.rpartition('/')[0], target)}"
    classes_end = "" if classes == "same" else f"+{classes}"
    protocol_end = "" if protocol == "inductive" else f"@{protocol}"
    return ALIASED.get(stem, stem) + classes_end + protocol_end


def _short(family: str, target: str) -> str:
    """How a target is written after a source of `family`: what `_target` reads as `target`."""
    own = target.removeprefix(f"{family}/") if family else target
    written = own if "/" not in own and _target(family, own) == target else target
    return written if _target(family, written) == target else f"{target}/{target}"  # "usps", for a folder of one's own


def _target(family: str, written: str) -> str:
    """The domain that a target, as written, means: without a slash it is of the source's family.

    Only a known family, or tfds, leaves the names of other families alone: whoever has a folder usps in a folder of
    their own means that one.
    """
    if "/" in written or not family:
        return written
    elsewhere = written in FAMILIES and (family in FAMILIES or family == tfds_read.PREFIX)
    return written if elsewhere else f"{family}/{written}"


def _pair(name: str, stem: str) -> tuple[str, str]:
    """Both domains' full names; where "-to-" may be read in several ways, the first that names known domains."""
    readings = list(_readings(stem))
    if not readings:
        raise UserError(f"unknown task '{name}'{did_you_mean(name, names())}")
    for source, target in readings[:-1]:
        try:
            family_of(source), family_of(target)
        except UserError:
            continue
        return source, target
    source, target = readings[-1]
    try:
        family_of(source), family_of(target)
    except UserError as error:
        if "/" in source and source.partition("/")[0] not in FAMILIES:  # of no known family: no known task is near
            raise UserError(f"task '{name}': {error}") from None
        raise UserError(f"unknown task '{name}'{did_you_mean(name, names())} ({error})") from None
    if source == target:
        raise UserError(f"task '{name}' adapts a domain to itself; give two")
    return source, target


def _readings(stem: str) -> Iterator[tuple[str, str]]:
    words = stem.split("-to-")
    for i in range(1, len(words)):
        source, target = "-to-".join(words[:i]), "-to-".join(words[i:])
        yield _full(source), _full(_target(source.rpartition("/")[0], target))


def _full(domain: str) -> str:
    """The one name of a domain: of "usps/usps" it is "usps"."""
    family, _, own = domain.rpartition("/")
    return own if own in FAMILIES and family == own else domain


def names() -> list[str]:
    """Every pair of domains of the known families, inductive, closed-set, in the order of the families' papers."""
    within = []
    for family in FAMILIES.values():
        every = [(a, b) for a in family.domains for b in family.domains if a != b]
        within += [f"{family.name}/{a}-to-{b}" for a, b in family.pairs or every]
    return sorted([*(ALIASED.get(name, name) for name in within), *ACROSS])


def present(name: str, root: Path | None = None) -> bool:
    """Whether all files of the task `name` are there, without opening any; UserError where there is no such task."""
    task = spec(name)
    try:
        return not any(domains.missing(domain, root) for domain in (task.source, task.target))
    except UserError:  # no root: nothing is there
        return False


def load(name: str, root: Path | None = None, view: View | None = None) -> Task:
    """The task `name`, its files under `root` (None: the environment's DA_BENCH_DATA), its images ready for `view`.

    The class index is the sorted name over both domains. Arrays are read-only. While no file has changed, a task that
    was asked for before is that very one.

    Raises:
        UserError: no such task; files missing or damaged; domains that do not fit together, or whose classes differ
            where the task's name does not declare it.
    """
    task = spec(name)
    return _join_domains(task, *(domains.read(domain, root, view) for domain in (task.source, task.target)))


@functools.lru_cache(maxsize=4)
def _join_domains(task: TaskSpec, source: DomainData, target: DomainData) -> Task:
    source, target, classes = _unite(task, source, target)
    inputs = match_images(source.examples.inputs, target.examples.inputs)
    _check_shapes(task, *inputs)
    names, wholes = (task.source, task.target), (source, target)
    splits = [
        _splits(whole, values, split_rows(domain, whole.parts, task.protocol, role))
        for domain, whole, values, role in zip(names, wholes, inputs, ROLES, strict=True)
    ]
    return Task(task.name, classes, splits[0], splits[1], task.citation, task.protocol)


ROLES: tuple[Role, Role] = ("source", "target")


def _splits(whole: DomainData, inputs: Array, rows: SplitRows) -> Splits:
    """Small arrays are cut at once, mapped files only when they are read."""

    def take(chosen: np.ndarray) -> Domain:
        labels = whole.examples.labels[chosen]
        labels.flags.writeable = False
        taken: Any = Rows(inputs, chosen) if isinstance(inputs, np.memmap) else _read_only(inputs[chosen])
        return Domain(taken, labels)

    made = {id(chosen): take(chosen) for chosen in rows}  # the splits of a transductive target are one
    return Splits(*(made[id(chosen)] for chosen in rows))


def _read_only(array: Array) -> np.ndarray:
    array = np.asarray(array)
    array.flags.writeable = False
    return array


def _check_shapes(task: TaskSpec, source: Array, target: Array) -> None:
    ours, theirs = (source.shape[1:], source.dtype), (target.shape[1:], target.dtype)
    if ours != theirs:
        raise UserError(
            f"task '{task.name}': inputs of '{task.source}' are {ours[1]} {ours[0]}, of '{task.target}' {theirs[1]} "
            f"{theirs[0]}: a network needs the same of both"
        )


def _unite(task: TaskSpec, source: DomainData, target: DomainData) -> tuple[DomainData, DomainData, tuple[str, ...]]:
    """Both domains with the rows that the task declares, labelled by the index of the sorted class names."""
    ours, theirs = _declared(task, _present(source), _present(target))
    known = tuple(sorted(ours if task.classes == "open" else ours | theirs))
    classes = (*known, UNKNOWN) if task.classes == "open" else known
    return _labelled(source, ours, classes), _labelled(target, theirs, classes), classes


def _present(whole: DomainData) -> set[str]:
    return {whole.examples.classes[i] for i in np.unique(whole.examples.labels)}


def _declared(task: TaskSpec, ours: set[str], theirs: set[str]) -> tuple[set[str], set[str]]:
    """The classes of either domain that the task is about."""
    family, _ = family_of(task.source)
    if task.classes in family.subsets and family is family_of(task.target)[0]:
        ours, theirs = (set(subset) for subset in family.subsets[task.classes])
    if task.classes == "shared":
        ours = theirs = ours & theirs
    fits = {"same": ours == theirs, "shared": bool(ours), "partial": theirs < ours, "open": ours < theirs}
    if not fits[task.classes]:
        raise UserError(_misfit(task, ours, theirs))
    return ours, theirs


def _misfit(task: TaskSpec, ours: set[str], theirs: set[str]) -> str:
    stem = task.name.partition("+")[0].partition("@")[0]
    similar = [
        (a, b) for a in sorted(ours - theirs) for b in sorted(theirs - ours) if normalized_name(a) == normalized_name(b)
    ]
    hint = f" ({similar[0][0]!a} and {similar[0][1]!a} look alike: rename one)" if similar else ""
    return (
        f"task '{task.name}': the domains' classes do not fit: only '{task.source}' has {_some(ours - theirs)}; only "
        f"'{task.target}' has {_some(theirs - ours)}; both have {len(ours & theirs)}{hint}. Correct the folders, or "
        f"declare it: '{stem}+shared' (only what both have), '+partial' (the target lacks some), '+open' (it has more)"
    )


def _some(names: set[str]) -> str:
    listed = ", ".join(sorted(names)[:8])
    return f"{listed} and {len(names) - 8} more" if len(names) > 8 else listed or "none"


def _labelled(whole: DomainData, kept: set[str], classes: Sequence[str]) -> DomainData:
    """Only rows of the `kept` classes, labelled by their place in `classes`, or as the last one."""
    index = {name: i for i, name in enumerate(classes)}
    own = whole.examples.classes
    new = np.array([index.get(name, len(classes) - 1) for name in own], np.int32)
    stays = np.array([name in kept for name in own])[whole.examples.labels]
    parts = {part: rows[stays[rows]] for part, rows in whole.parts.items()}
    return DomainData(Examples(whole.examples.inputs, new[whole.examples.labels], tuple(classes)), parts)
