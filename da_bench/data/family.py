"""What a family of data sets is: everything there is to know of it before reading it, and one way to read a domain."""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.core.config import Registry
from da_bench.core.types import Array

UNSPLIT = "all"  # the one part of a domain that was published without a split
Counts = Mapping[str, int]


class Listing(NamedTuple):
    """Images on disk, not yet decoded: paths under `place`, and the class name of each; sorted by path."""

    place: Path
    files: tuple[str, ...]
    labels: tuple[str, ...]


class Examples(NamedTuple):
    """Arrays: inputs [n, ...], uint8 images [n, h, w, c] or float32; labels [n] int32, an index into `classes`."""

    inputs: Array
    labels: np.ndarray
    classes: tuple[str, ...]


Parts = Mapping[str, "Listing | Examples"]


def _nothing(_domain: str) -> tuple[str, ...]:
    return ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """Data sets that are adapted to each other: one file of this room each.

    name: "office31"; read: (folder of the family, domain) -> the domain's parts, as published: {"all": ...} where there
    is no official split, else {"train": ..., "test": ...}, some with a "validation" too. domains: of each its published
    number of examples by part, in the order of the papers; classes: their published names, sorted; both empty where the
    user's own files decide. folder: under the data root, "" where an installed package brings the examples; files:
    what has to be there for a domain, paths relative to `folder` ("x.gz" may lie there gunzipped, a path may be that
    of a folder, "a|b" is one or the other). images: whether `read` gives a `Listing`, to be decoded and resized once.
    subsets: the published (source classes, target classes) of "partial" and "open" tasks. pairs: the (source, target)
    domains that papers use, where not all of them. model: the network that its tasks use by default. citation: the
    paper to cite; terms: licence or terms of use, in a few words; how_to_get: where a user gets the files.
    """

    name: str
    read: Callable[[Path, str], Parts]
    domains: Mapping[str, Counts]
    classes: tuple[str, ...]
    citation: str
    terms: str
    how_to_get: str = "embedded"
    folder: str = ""
    files: Callable[[str], tuple[str, ...]] = _nothing
    images: bool = False
    subsets: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = dataclasses.field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()
    model: str = ""

    def domain_names(self) -> list[str]:
        """Full names: "office31/amazon", and of a family of one domain, which is called like it, "mnist"."""
        return [self.name if domain == self.name else f"{self.name}/{domain}" for domain in self.domains]


FAMILIES: Registry[Family] = Registry("family")


def register(*families: Family) -> None:
    """Make families known by their names; every file of this room does so when it is imported."""
    for family in families:
        FAMILIES.add(family.name, family)


def random_stream(*names: str) -> np.random.Generator:
    """The stream of randomness of these names, the same everywhere: a new consumer never shifts the draws of others."""
    return np.random.default_rng([zlib.crc32(name.encode()) for name in names])
