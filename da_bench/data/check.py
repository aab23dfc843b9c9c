"""Checks of a data set before it is trusted: counts, damage, duplicates, and classes that a domain lacks."""

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

NEAR = 4  # largest number of the 64 bits in which difference hashes of near duplicates differ
SHOWN = 4  # examples of a finding
BLOCK = 2048  # hashes that are compared with all others at a time


class ExampleHashes(NamedTuple):
    """Hashes of n examples.

    Attributes:
        names: name of each example: the path of an image, or "domain/part[row]".
        exact: sha256 of each example's bytes.
        near: difference hashes, uint64 [n]; 0 for examples without one.
    """

    names: list[str]
    exact: list[str]
    near: np.ndarray


NO_HASHES = ExampleHashes([], [], np.zeros(0, np.uint64))


@dataclasses.dataclass(frozen=True)
class DomainReport:
    """Report on one domain.

    Attributes:
        name: full name of the domain.
        published: published number of examples by part.
        counts: number of examples by part; empty if they cannot be read.
        classes: number of examples by class name; empty if they cannot be read.
        hashes: of every example; empty if they cannot be read.
        fault: what is wrong with the files; "" for nothing.
    """

    name: str
    published: dict[str, int]
    counts: dict[str, int]
    classes: dict[str, int]
    hashes: ExampleHashes
    fault: str


@dataclasses.dataclass(frozen=True)
class Report:
    """Report on all domains of a family.

    Attributes:
        domains: reports on the domains whose files exist.
        absent: names of the other domains.
        exact: groups of names of equal examples.
        near: pairs of names of nearly equal examples.
    """

    domains: list[DomainReport]
    absent: list[str]
    exact: list[list[str]]
    near: list[tuple[str, str]]

    @property
    def lacking(self) -> dict[str, list[str]]:
        """Classes that each readable domain lacks and others have."""
        readable = [domain for domain in self.domains if domain.classes]
        union = {name for domain in readable for name in domain.classes}
        return {domain.name: sorted(union - set(domain.classes)) for domain in readable}

    @property
    def faults(self) -> list[str]:
        """What makes results on this data not comparable: damage, and counts that differ from the published ones."""
        damaged = [domain.fault for domain in self.domains if domain.fault]
        return damaged + [
            f"'{domain.name}' has {domain.counts} examples, published are {domain.published}"
            for domain in self.domains
            if not domain.fault and domain.published and domain.counts != domain.published
        ]

    def manifest(self) -> str:
        """Return lines "sha256  name", sorted by name; for files, `sha256sum --check` reads them in the data root."""
        pairs = [pair for domain in self.domains for pair in zip(domain.hashes.names, domain.hashes.exact, strict=True)]
        return "".join(f"{digest}  {name}\n" for name, digest in sorted(pairs))


def check(name: str, root: Path | None = None, view: View | None = None) -> Report:
    """Read every example of a family, folder, table or domain once. Images are cached for training on the way.

    Untrusted .mat files are parsed in a child process first, so that a crash of the parser is reported.

    Args:
        name: name of a family, folder, table or domain.
        root: the data root; None for the environment variable DA_BENCH_DATA.
        view: size of cached images; None for the default.

    Raises:
        UserError: nothing has that name, or no domain's files exist. Everything else is in the report.
    """
    domains = domains_of(name, root)
    absent = [domain for domain in domains if missing(domain, root)]
    if absent == domains:
        require(domains[0], root)
    reports = [_check_domain(domain, root, view or View()) for domain in domains if domain not in absent]
    names = [name for report in reports for name in report.hashes.names]
    exact = np.array([digest for report in reports for digest in report.hashes.exact])
    near = np.concatenate([report.hashes.near for report in reports])
    pairs = [(names[i], names[j]) for i, j in near_pairs(near) if exact[i] != exact[j]]
    return Report(reports, absent, [[names[i] for i in rows] for rows in equal_groups(exact)], pairs)


def _check_domain(domain: str, root: Path | None, view: View) -> DomainReport:
    family, short_name = family_of(domain)
    published = dict(family.domains.get(short_name, {}))
    try:
        parts = parts_of(domain, root)
        counts = {name: len(part.labels) for name, part in parts.items()}
        hashes = _hash_images(domain, parts, root, view) if family.images else _hash_arrays(domain, parts)
    except UserError as error:
        return DomainReport(domain, published, {}, {}, NO_HASHES, str(error))
    return DomainReport(domain, published, counts, dict(sorted(Counter(_labels(parts)).items())), hashes, "")


def _labels(parts: Parts) -> Iterator[str]:
    for part in parts.values():
        yield from [part.classes[i] for i in part.labels] if isinstance(part, Examples) else part.labels


def _hash_images(domain: str, parts: Parts, root: Path | None, view: View) -> ExampleHashes:
    """Decode every image once, into the image cache that training will read."""
    listing, cache = listing_of(parts), image_cache.images_folder()
    cached = image_cache.prepare(listing, domain, view.stored_side, view.resize, cache, progress=True)
    image_cache.verify(cached)
    folder = os.path.relpath(listing.folder, data_root(root))
    names = [f"{folder}/{entry.file}" for entry in cached.entries]
    near = np.array([entry.dhash for entry in cached.entries], np.uint64)
    return ExampleHashes(names, [entry.sha256 for entry in cached.entries], near)


def _hash_arrays(domain: str, parts: Parts) -> ExampleHashes:
    arrays = {name: part.inputs for name, part in parts.items() if isinstance(part, Examples)}
    rows = [(f"{domain}/{name}[{i}]", row) for name, inputs in arrays.items() for i, row in enumerate(inputs)]
    exact = [hashlib.sha256(np.ascontiguousarray(row).data).hexdigest() for _, row in rows]
    return ExampleHashes([name for name, _ in rows], exact, np.zeros(len(rows), np.uint64))


def equal_groups(digests: np.ndarray) -> list[np.ndarray]:
    """Return the rows [k] of each digest that occurs more than once; `digests` [n]."""
    _, inverse, counts = np.unique(digests, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    groups = np.split(order, np.cumsum(counts)[:-1])
    return [group for group in groups if len(group) > 1]


def near_pairs(hashes: np.ndarray) -> Iterable[tuple[int, int]]:
    """Yield rows i < j whose difference hashes differ in at most `NEAR` bits.

    Args:
        hashes: uint64 [n]. 0, the hash of images of one colour, is ignored.
    """
    rows = np.flatnonzero(hashes)
    known = hashes[rows]
    for start in range(0, len(rows), BLOCK):
        block = known[start : start + BLOCK, None]
        left, right = np.nonzero(np.bitwise_count(block ^ known[None, start:]) <= NEAR)
        yield from ((int(rows[start + i]), int(rows[start + j])) for i, j in zip(left, right, strict=True) if i < j)


def findings(report: Report) -> list[str]:
    """Describe a report in sentences: absent domains, classes that are missing or have one example, duplicates."""
    lacking = [f"'{name}' has no {_some(classes)}" for name, classes in report.lacking.items() if classes]
    single = [
        f"'{domain.name}' has only one example of {_some([name for name, n in domain.classes.items() if n == 1])}"
        for domain in report.domains
        if 1 in domain.classes.values()
    ]
    absent = [f"not present: {', '.join(report.absent)}"] if report.absent else []
    return [*absent, *lacking, *single, *_duplicates(report)]


def _duplicates(report: Report) -> list[str]:
    domain_of: dict[str, str] = {}
    part_of: dict[str, tuple[str, str]] = {}
    for domain in report.domains:
        parts = (part for part, count in domain.counts.items() for _ in range(count))
        for name, part in zip(domain.hashes.names, parts, strict=True):
            domain_of[name], part_of[name] = domain.name, (domain.name, part)
    across = sum(len({domain_of[name] for name in group}) > 1 for group in report.exact)
    leaks = sum(
        len({part_of[name] for name in group}) > len({domain_of[name] for name in group}) for group in report.exact
    )
    lines = [
        f"{sum(map(len, report.exact)) - len(report.exact)} exact duplicates in {len(report.exact)} groups, "
        f"{across} of them across domains{f', {leaks} across parts of one' if leaks else ''}{_example(report.exact)}"
    ]
    if any(domain.hashes.near.any() for domain in report.domains):
        across = sum(domain_of[left] != domain_of[right] for left, right in report.near)
        lines.append(
            f"{len(report.near)} pairs of nearly equal images (difference hashes within {NEAR} of 64 bits), "
            f"{across} of them across domains{_example(report.near)}"
        )
    return lines


def _example(groups: Sequence[Sequence[str]]) -> str:
    return f", such as {_some(groups[0])}" if groups else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
