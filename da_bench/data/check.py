"""What there is to know of a data set before trusting it: counts, damage, duplicates, classes that one side lacks."""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.data import image_cache
from da_bench.data.domains import domains_of, family_of, listing_of, missing, parts_of, require
from da_bench.data.family import Examples, Parts
from da_bench.data.files import data_root
from da_bench.data.transforms import View

NEAR = 4  # bits of 64 in which the difference hashes of near duplicates differ at most
SHOWN = 4  # examples of a finding
BLOCK = 2048  # hashes compared with all others at a time


class ExampleHashes(NamedTuple):
    """Of every example its name, the sha256 of its bytes, and the difference hash, uint64; 0 where there is none."""

    names: list[str]
    exact: list[str]
    near: np.ndarray


NO_HASHES = ExampleHashes([], [], np.zeros(0, np.uint64))


@dataclasses.dataclass(frozen=True)
class DomainReport:
    """One domain. counts, published: examples by part; classes: examples by class name; prints: of every example.

    fault: what is wrong with the files, "" for nothing; counts, classes and prints are empty where they cannot be read.
    """

    name: str
    published: dict[str, int]
    counts: dict[str, int]
    classes: dict[str, int]
    prints: ExampleHashes
    fault: str


@dataclasses.dataclass(frozen=True)
class Report:
    """All domains of a family that are there, and the names of the absent ones.

    exact: groups of names of equal examples; near: pairs of names of nearly equal ones.
    """

    domains: list[DomainReport]
    absent: list[str]
    exact: list[list[str]]
    near: list[tuple[str, str]]

    @property
    def lacking(self) -> dict[str, list[str]]:
        """Of each readable domain the classes that others have and it has not."""
        readable = [one for one in self.domains if one.classes]
        union = {name for one in readable for name in one.classes}
        return {one.name: sorted(union - set(one.classes)) for one in readable}

    @property
    def faults(self) -> list[str]:
        """What makes results on this data not comparable: damage, and counts that are not the published ones."""
        damaged = [one.fault for one in self.domains if one.fault]
        return damaged + [
            f"'{one.name}' has {one.counts} examples, published are {one.published}"
            for one in self.domains
            if not one.fault and one.published and one.counts != one.published
        ]

    def manifest(self) -> str:
        """Lines "sha256  name", sorted by name; of files, what `sha256sum --check` reads in the data root."""
        lines = [f"{digest}  {name}" for one in self.domains for name, digest in zip(*one.prints[:2], strict=True)]
        return "".join(f"{line}\n" for line in sorted(lines, key=lambda line: line[66:]))


def check(name: str, root: Path | None = None, view: View | None = None) -> Report:
    """Read every example of a family, folder, table or domain once; images become packs for `view` on the way.

    Raises:
        UserError: there is no such data set, or none of its domains is there. Anything else is in the report.
    """
    every = domains_of(name, root)
    absent = [domain for domain in every if missing(domain, root)]
    if absent == every:
        require(every[0], root)
    reports = [_check_domain(domain, root, view or View()) for domain in every if domain not in absent]
    names = [name for one in reports for name in one.prints.names]
    exact = np.array([digest for one in reports for digest in one.prints.exact])
    near = np.concatenate([one.prints.near for one in reports])
    pairs = [(names[i], names[j]) for i, j in near_pairs(near) if exact[i] != exact[j]]
    return Report(reports, absent, [[names[i] for i in rows] for rows in equal_groups(exact)], pairs)


def _check_domain(domain: str, root: Path | None, view: View) -> DomainReport:
    family, own = family_of(domain)
    published = dict(family.domains.get(own, {}))
    try:
        parts = parts_of(domain, root)
        counts = {part: len(one.labels) for part, one in parts.items()}
        prints = _images(domain, parts, root, view) if family.images else _arrays(domain, parts)
    except UserError as error:
        return DomainReport(domain, published, {}, {}, NO_HASHES, str(error))
    return DomainReport(domain, published, counts, dict(sorted(Counter(_labels(parts)).items())), prints, "")


def _labels(parts: Parts) -> Iterator[str]:
    for one in parts.values():
        yield from [one.classes[i] for i in one.labels] if isinstance(one, Examples) else one.labels


def _images(domain: str, parts: Parts, root: Path | None, view: View) -> ExampleHashes:
    """Every image decoded once, by way of the pack that training will read."""
    listing = listing_of(parts)
    made = image_cache.prepare(
        listing, domain, view.stored_side, view.resize, image_cache.images_folder(), progress=True
    )
    image_cache.verify(made)
    place = os.path.relpath(listing.place, data_root(root))
    names = [f"{place}/{entry.file}" for entry in made.entries]
    return ExampleHashes(
        names, [one.sha256 for one in made.entries], np.array([one.dhash for one in made.entries], np.uint64)
    )


def _arrays(domain: str, parts: Parts) -> ExampleHashes:
    inputs = {part: one.inputs for part, one in parts.items() if isinstance(one, Examples)}
    rows = [(f"{domain}/{part}[{i}]", row) for part, of_part in inputs.items() for i, row in enumerate(of_part)]
    exact = [hashlib.sha256(np.ascontiguousarray(row).data).hexdigest() for _, row in rows]
    return ExampleHashes([name for name, _ in rows], exact, np.zeros(len(rows), np.uint64))


def equal_groups(digests: np.ndarray) -> list[np.ndarray]:
    """Rows of each digest that stands more than once."""
    _, inverse, counts = np.unique(digests, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    groups = np.split(order, np.cumsum(counts)[:-1])
    return [group for group in groups if len(group) > 1]


def near_pairs(hashes: np.ndarray) -> Iterable[tuple[int, int]]:
    """Rows i < j whose difference hashes differ in at most `NEAR` bits; 0, the hash of flat images, says nothing."""
    rows = np.flatnonzero(hashes)
    known = hashes[rows]
    for start in range(0, len(rows), BLOCK):
        block = known[start : start + BLOCK, None]
        left, right = np.nonzero(np.bitwise_count(block ^ known[None, start:]) <= NEAR)
        yield from ((int(rows[start + i]), int(rows[start + j])) for i, j in zip(left, right, strict=True) if i < j)


def findings(report: Report) -> list[str]:
    """In sentences: classes that a domain lacks, or that hold a single example; equal and nearly equal examples."""
    lacking = [f"'{name}' has no {_some(classes)}" for name, classes in report.lacking.items() if classes]
    single = [
        f"'{one.name}' has one example only of {_some([name for name, count in one.classes.items() if count == 1])}"
        for one in report.domains
        if 1 in one.classes.values()
    ]
    absent = [f"not here: {', '.join(report.absent)}"] if report.absent else []
    return [*absent, *lacking, *single, *_duplicates(report)]


def _parts(one: DomainReport) -> Iterator[tuple[str, str]]:
    """(name, part) of every example."""
    return zip(one.prints.names, (part for part, count in one.counts.items() for _ in range(count)), strict=True)


def _duplicates(report: Report) -> list[str]:
    home = {name: one.name for one in report.domains for name in one.prints.names}
    part = {name: (one.name, part) for one in report.domains for name, part in _parts(one)}
    across = sum(len({home[name] for name in group}) > 1 for group in report.exact)
    leaks = sum(len({part[name] for name in group}) > len({home[name] for name in group}) for group in report.exact)
    lines = [
        f"{sum(map(len, report.exact)) - len(report.exact)} exact duplicates in {len(report.exact)} groups, "
        f"{across} of them across domains{f', {leaks} across parts of one' if leaks else ''}{_example(report.exact)}"
    ]
    if any(one.prints.near.any() for one in report.domains):
        between = sum(home[left] != home[right] for left, right in report.near)
        lines.append(
            f"{len(report.near)} pairs of nearly equal images (difference hashes within {NEAR} of 64 bits), "
            f"{between} of them across domains{_example(report.near)}"
        )
    return lines


def _example(groups: Sequence[Sequence[str]]) -> str:
    return f", such as {_some(groups[0])}" if groups else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
