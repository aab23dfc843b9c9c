"""Tasks (source -> target pairs) by name.

A name is [FAMILY/]SOURCE-to-TARGET[+CLASSES][@PROTOCOL]: "office31/amazon-to-webcam", "mnist-to-usps",
"my_folder/photos-to-sketches", "table/mine/a-to-b", "office31/amazon-to-webcam+partial@transductive". A target without
a slash belongs to the source's family; from the user's own folder to the family usps, write
"my_folder/photos-to-usps/usps".
"""

import dataclasses
import functools
from collections.abc import Sequence
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
from da_bench.data.splits import Protocol, SplitRows, split_rows
from da_bench.data.transforms import View

Classes = Literal["same", "shared", "partial", "open"]
UNKNOWN = "unknown"  # the class of everything in an open task's target that the source does not know
ALIASES = {"moons/35": "moons/0-to-35"}
ALIASED = {full: short for short, full in ALIASES.items()}
USPS = ("mnist-to-usps", "usps-to-mnist", "mnist-to-usps_pooled", "usps_pooled-to-mnist")
ACROSS = (*USPS, "mnist-to-mnist_m", "svhn-to-mnist", "mnist-to-svhn")  # between families


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """Description of a task; no data is read for it.

    Attributes:
        name: name of the task.
        source: full name of the source domain.
        target: full name of the target domain.
        protocol: which rows train, validate and are scored, see `splits.split_rows`.
        classes: "same": both domains have the same classes; "shared": only the classes that both have, other rows are
            left out; "partial": the target lacks some of the source's classes; "open": the target has more classes,
            which are all scored as the class `UNKNOWN`. For the last two, a family's published subsets are used.
        citation: paper to cite.
        model: name of the default network.
        images: whether the inputs are images on disk, which need a `View`.
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
    """Return the description of a task.

    Raises:
        UserError: the domain, protocol or choice of classes in the name is unknown (the message suggests the nearest
            one), or the name is an alternative spelling: a task has one name, so that a run has one record.
    """
    stem, classes, protocol = _suffixes(name)
    source, target = _domain_names(name, ALIASES.get(stem, stem))
    if name != (known := _task_name(source, target, classes, protocol)):
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
    """Return the name of the inductive task between two domains, given by their full names: "office31/amazon".

    Raises:
        UserError: a domain is unknown.
    """
    for domain in (source, target):
        family_of(domain)
    return _task_name(_full_domain_name(source), _full_domain_name(target), "same", "inductive")


def _suffixes(name: str) -> tuple[str, Classes, Protocol]:
    stem, _, protocol = name.partition("@")
    stem, _, classes = stem.partition("+")
    for given, known in ((protocol, get_args(Protocol)), (classes, get_args(Classes))):
        if given and given not in known:
            raise UserError(f"task '{name}': no such ending '{given}'{did_you_mean(given, known)}")
    return stem, classes or "same", protocol or "inductive"  # type: ignore[return-value]


def _task_name(source: str, target: str, classes: Classes, protocol: Protocol) -> str:
    stem = f"{source}-to-{_written_target(source.rpartition('/')[0], target)}"
    classes_end = "" if classes == "same" else f"+{classes}"
    protocol_end = "" if protocol == "inductive" else f"@{protocol}"
    return ALIASED.get(stem, stem) + classes_end + protocol_end


def _written_target(family: str, target: str) -> str:
    """Return how a target is written after a source of `family`, so that `_full_target_name` reads it as `target`."""
    own = target.removeprefix(f"{family}/") if family else target
    written = own if "/" not in own and _full_target_name(family, own) == target else target
    # "usps/usps" after the user's own folder, where "usps" would mean a folder in it
    return written if _full_target_name(family, written) == target else f"{target}/{target}"


def _full_target_name(family: str, written: str) -> str:
    """Return the full name of a target as written after a source of `family`; without a slash, it is of that family.

    After a registered family or tfds, the name of another family means that family. After the user's own folder, it is
    a folder in it: who has my_folder/usps means that one.
    """
    if "/" in written or not family:
        return written
    elsewhere = written in FAMILIES and (family in FAMILIES or family == tfds_read.PREFIX)
    return written if elsewhere else f"{family}/{written}"


def _domain_names(name: str, stem: str) -> tuple[str, str]:
    """Return both domains' full names; if "-to-" can be read in several ways, the first that names known domains."""
    words = stem.split("-to-")
    splits = [("-to-".join(words[:i]), "-to-".join(words[i:])) for i in range(1, len(words))]
    readings = [
        (_full_domain_name(source), _full_domain_name(_full_target_name(source.rpartition("/")[0], target)))
        for source, target in splits
    ]
    if not readings:
        raise UserError(_domain_for_task(stem) or f"unknown task '{name}'{did_you_mean(name, names())}")
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
        if "/" in source and source.partition("/")[0] not in FAMILIES:  # a folder: no known task is near
            raise UserError(f"task '{name}': {error}") from None
        raise UserError(f"unknown task '{name}'{did_you_mean(name, names())} ({error})") from None
    if source == target:
        raise UserError(f"task '{name}' adapts a domain to itself; give two")
    return source, target


def _domain_for_task(stem: str) -> str:
    """Return the error message for the name of a registered domain; "" for any other name."""
    if not any(stem in family.domain_names() for family in FAMILIES.values()):
        return ""
    family = stem.partition("/")[0]
    starts = (f"{stem}-to-", f"{family}/", f"{family}-to-")
    example = next(task for start in starts for task in names() if task.startswith(start))
    return f"'{stem}' is a domain; a task is a pair, such as '{example}'"


def _full_domain_name(domain: str) -> str:
    """Return the full name of a domain: "usps" for "usps/usps"."""
    family, _, own = domain.rpartition("/")
    return own if own in FAMILIES and family == own else domain


def names() -> list[str]:
    """Return the sorted names of the inductive, closed-set tasks of all registered families."""
    within = []
    for family in FAMILIES.values():
        all_pairs = [(a, b) for a in family.domains for b in family.domains if a != b]
        within += [f"{family.name}/{a}-to-{b}" for a, b in family.pairs or all_pairs]
    return sorted([*(ALIASED.get(name, name) for name in within), *ACROSS])


def present(name: str, root: Path | None = None) -> bool:
    """Return whether all files of a task exist; none is opened.

    Raises:
        UserError: no task has this name.
    """
    task = spec(name)
    try:
        return not any(domains.missing(domain, root) for domain in (task.source, task.target))
    except UserError:  # no data root
        return False


def load(name: str, root: Path | None = None, view: View | None = None) -> Task:
    """Load a task.

    A task that was loaded before is returned again while none of its files changes.

    Args:
        name: name of the task.
        root: the data root; None for the environment variable DA_BENCH_DATA.
        view: how the network sees images; None for the default. Ignored for other inputs.

    Returns:
        The task. Arrays are read-only. A class index refers to the sorted class names of both domains.

    Raises:
        UserError: no such task; files are missing or damaged; the domains' shapes differ, or their classes differ and
            the name of the task does not declare it.
    """
    task = spec(name)
    return _join_domains(task, *(domains.read(domain, root, view) for domain in (task.source, task.target)))


@functools.lru_cache(maxsize=4)
def _join_domains(task: TaskSpec, source: DomainData, target: DomainData) -> Task:
    source, target, classes = _unite_classes(task, source, target)
    inputs = match_images(source.examples.inputs, target.examples.inputs)
    _check_shapes(task, *inputs)
    source_rows = split_rows(task.source, source.parts, task.protocol, "source")
    target_rows = split_rows(task.target, target.parts, task.protocol, "target")
    source_splits, target_splits = _splits(source, inputs[0], source_rows), _splits(target, inputs[1], target_rows)
    return Task(task.name, classes, source_splits, target_splits, task.citation, task.protocol)


def _splits(data: DomainData, inputs: Array, rows: SplitRows) -> Splits:
    """Cut a domain: small arrays at once, memory-mapped files only when they are read."""

    def read_only(array: Array) -> np.ndarray:
        array = np.asarray(array)
        array.flags.writeable = False
        return array

    def take(selected: np.ndarray) -> Domain:
        lazy = isinstance(inputs, np.memmap)
        taken: Any = Rows(inputs, selected) if lazy else read_only(inputs[selected])
        return Domain(taken, read_only(data.examples.labels[selected]))

    domains = {id(selected): take(selected) for selected in rows}  # the splits of a transductive target are one object
    return Splits(*(domains[id(selected)] for selected in rows))


def _check_shapes(task: TaskSpec, source: Array, target: Array) -> None:
    if (source.shape[1:], source.dtype) != (target.shape[1:], target.dtype):
        raise UserError(
            f"task '{task.name}': inputs of '{task.source}' are {source.dtype} {source.shape[1:]}, of '{task.target}' "
            f"{target.dtype} {target.shape[1:]}: a network needs the same of both"
        )


def _unite_classes(
    task: TaskSpec, source: DomainData, target: DomainData
) -> tuple[DomainData, DomainData, tuple[str, ...]]:
    """Return both domains with the rows that the task declares, labelled by the index of the sorted class names."""

    def present(data: DomainData) -> set[str]:
        return {data.examples.classes[i] for i in np.unique(data.examples.labels)}

    source_classes, target_classes = _declared_classes(task, present(source), present(target))
    known = tuple(sorted(source_classes if task.classes == "open" else source_classes | target_classes))
    classes = (*known, UNKNOWN) if task.classes == "open" else known
    return _relabel(source, source_classes, classes), _relabel(target, target_classes, classes), classes


def _declared_classes(task: TaskSpec, source: set[str], target: set[str]) -> tuple[set[str], set[str]]:
    """Return the classes of each domain that the task declares."""
    family, _ = family_of(task.source)
    if task.classes in family.subsets and family is family_of(task.target)[0]:
        source, target = (set(subset) for subset in family.subsets[task.classes])
    if task.classes == "shared":
        source = target = source & target
    fits = {"same": source == target, "shared": bool(source), "partial": target < source, "open": source < target}
    if not fits[task.classes]:
        raise UserError(_misfit(task, source, target))
    return source, target


def _misfit(task: TaskSpec, source: set[str], target: set[str]) -> str:
    stem = task.name.partition("+")[0].partition("@")[0]
    only_source, only_target = sorted(source - target), sorted(target - source)
    similar = [(a, b) for a in only_source for b in only_target if normalized_name(a) == normalized_name(b)]
    hint = f" ({similar[0][0]!a} and {similar[0][1]!a} look alike: rename one)" if similar else ""
    return (
        f"task '{task.name}': the domains' classes do not fit: only '{task.source}' has {_some(only_source)}; only "
        f"'{task.target}' has {_some(only_target)}; both have {len(source & target)}{hint}. Correct the folders, or "
        f"declare it: '{stem}+shared' (only what both have), '+partial' (the target lacks some), '+open' (it has more)"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown or "none"


def _relabel(data: DomainData, selected: set[str], classes: Sequence[str]) -> DomainData:
    """Keep the rows of the `selected` classes, labelled by their index in `classes`, or by the last one."""
    index = {name: i for i, name in enumerate(classes)}
    names = data.examples.classes
    labels = np.array([index.get(name, len(classes) - 1) for name in names], np.int32)
    is_selected = np.array([name in selected for name in names])[data.examples.labels]
    parts = {part: rows[is_selected[rows]] for part, rows in data.parts.items()}
    return DomainData(Examples(data.examples.inputs, labels[data.examples.labels], tuple(classes)), parts)
