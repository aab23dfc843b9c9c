"""The source -> target pairs, by name."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from da_bench.data import digits, moons
from da_bench.data.base import DomainSpec
from da_bench.data.files import data_root, find, locate
from da_bench.settings import Registry, UserError
from da_bench.types import Splits, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A pair of domains, by name.

    citation: the paper whose protocol it is; model: the default network; protocol: "inductive", that is, adapt on the
    target's training inputs and score on the target's test split, which nothing has seen before. (Transductive, the
    other custom, would score on the very inputs that were adapted on.)
    """

    name: str
    source: str
    target: str
    citation: str
    model: str
    protocol: str = "inductive"


DOMAINS: Registry[DomainSpec] = Registry("domain")
for _domain in (*digits.DOMAINS, *moons.DOMAINS):
    DOMAINS.add(_domain.name, _domain)

CYCADA = "Hoffman et al., CyCADA, ICML 2018: adapt on the training images, score on the test images"
TASKS: Registry[TaskSpec] = Registry("task")
for _task in (
    TaskSpec(
        name="digits/synthetic-to-real",
        source="digits/synthetic",
        target="digits/real",
        citation="da_bench",
        model="small_cnn",
    ),
    TaskSpec(
        name="digits/real-to-synthetic",
        source="digits/real",
        target="digits/synthetic",
        citation="da_bench",
        model="small_cnn",
    ),
    TaskSpec(name="mnist-to-usps", source="mnist", target="usps", citation=CYCADA, model="lenet"),
    TaskSpec(name="usps-to-mnist", source="usps", target="mnist", citation=CYCADA, model="lenet"),
    TaskSpec(
        name="moons/35",
        source="moons/0",
        target="moons/35",
        citation="Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17(59), 2016, section 5.1.1",
        model="mlp",
    ),
):
    TASKS.add(_task.name, _task)


def load(name: str, root: Path | None = None) -> Task:
    """The task `name`, its files under `root` (None: the environment's DA_BENCH_DATA).

    The domains are read once in a process, and so their arrays are read-only.

    Raises:
        UserError: no such task; files missing or corrupt; domains that do not fit together.
    """
    spec = TASKS[name]
    source, target = (_splits(DOMAINS[domain], root) for domain in (spec.source, spec.target))
    _check_fit(spec, source, target)
    return Task(name, DOMAINS[spec.source].classes, source, target, spec.citation, spec.protocol)


def present(name: str, root: Path | None = None) -> bool:
    """Whether all files of the task `name` are there, without opening any; UserError where there is no such task."""
    spec = TASKS[name]
    return all(_has_files(DOMAINS[domain], root) for domain in (spec.source, spec.target))


def _has_files(spec: DomainSpec, root: Path | None) -> bool:
    if not spec.files:
        return True
    try:
        return None not in locate(data_root(root), spec.folder, spec.files).values()
    except UserError:  # no root: nothing is there
        return False


def _splits(spec: DomainSpec, root: Path | None) -> Splits:
    if not spec.files:
        return _read(spec, None)
    find(root, spec.folder, spec.files, spec.source_of_files)
    return _read(spec, data_root(root).resolve())  # the environment and the working folder may change: key by the path


@functools.lru_cache(maxsize=16)
def _read(spec: DomainSpec, root: Path | None) -> Splits:
    splits = spec.load(root)
    for array in (part for domain in splits for part in domain):
        np.asarray(array).flags.writeable = False
    counts = tuple(len(domain.labels) for domain in splits)
    if counts != spec.counts:
        raise UserError(f"domain '{spec.name}' has {counts} examples where it declares {spec.counts}")
    return splits


def _check_fit(spec: TaskSpec, source: Splits, target: Splits) -> None:
    classes = DOMAINS[spec.source].classes, DOMAINS[spec.target].classes
    shapes = source.train.inputs.shape[1:], target.train.inputs.shape[1:]
    for what, (ours, theirs) in {"classes": classes, "shape": shapes}.items():
        if ours != theirs:
            raise UserError(f"task '{spec.name}': {what} {ours} of '{spec.source}', {theirs} of '{spec.target}'")
