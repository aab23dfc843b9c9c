"""How a domain is declared, and where its randomness comes from."""

import dataclasses
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from da_bench.types import Splits


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainSpec:
    """Everything there is to know of a domain before reading it.

    name: "usps"; load: from the data root (None: the environment's) to the splits; classes: their names, by index;
    citation: the paper to cite; terms: licence or terms of use, in a few words; source_of_files: where a user gets the
    files, or "embedded" where an installed package brings them; counts: examples in (train, validation, test);
    folder, files: what has to be under the data root (the files may be gunzipped), nothing where embedded.
    """

    name: str
    load: Callable[[Path | None], Splits]
    classes: tuple[str, ...]
    citation: str
    terms: str
    source_of_files: str
    counts: tuple[int, int, int]
    folder: str = ""
    files: tuple[str, ...] = ()


def random_stream(*names: str) -> np.random.Generator:
    """The stream of randomness of these names, the same everywhere: a new consumer never shifts the draws of others."""
    return np.random.default_rng([zlib.crc32(name.encode()) for name in names])
