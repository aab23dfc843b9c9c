"""Features of Office-Caltech10 as the classical methods use them: SURF bags of words, and DeCAF6."""

import functools
from pathlib import Path

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.family import UNSPLIT, Counts, Examples, Family, Parts, register
from da_bench.data.files import check_published, first_existing, read_arrays
from da_bench.data.tables import as_features

CLASSES = (
    "backpack",
    "bike",
    "calculator",
    "headphones",
    "keyboard",
    "laptop",
    "monitor",
    "mouse",
    "mug",
    "projector",
)
DOMAINS: dict[str, Counts] = {
    "amazon": {UNSPLIT: 958},
    "caltech10": {UNSPLIT: 1123},
    "dslr": {UNSPLIT: 157},
    "webcam": {UNSPLIT: 295},
}


def surf_files(domain: str) -> tuple[str, ...]:
    """Return the names that the SURF file of a domain may have."""
    return f"surf/{domain}.mat", f"surf/{domain}_SURF_L10.mat", f"surf/{domain.capitalize()}_SURF_L10.mat"


def decaf_files(domain: str) -> tuple[str, ...]:
    """Return the names that the DeCAF file of a domain may have."""
    names = {domain: None, domain.removesuffix("10"): None}
    return tuple(f"decaf/{name}{ending}.mat" for ending in ("", "_decaf") for name in names)


def read_surf(folder: Path, domain: str) -> Parts:
    """Read SURF histograms of visual words, [n, 800] float32, as published.

    Scaling is left to the method or the experiment. The custom is to scale every row to sum 1 and then, within each
    domain, every column to mean 0 and variance 1. Labels 1 to 10 are the classes in alphabetical order: in all four
    domains, each is as frequent as its photographs.

    Raises:
        UserError: the file is corrupt, or does not have the published shape and labels.
    """
    path = first_existing(*(folder / name for name in surf_files(domain)))
    return _read(path, "fts", (DOMAINS[domain][UNSPLIT], 800))


def read_decaf(folder: Path, domain: str) -> Parts:
    """Read activations of DeCAF's sixth layer, [n, 4096] float32, as published; see `read_surf` on scaling and labels.

    Raises:
        UserError: the file is corrupt, or does not have the published shape and labels.
    """
    return _read(
        first_existing(*(folder / name for name in decaf_files(domain))), "feas", (DOMAINS[domain][UNSPLIT], 4096)
    )


def _read(path: Path, name: str, shape: tuple[int, int]) -> Parts:
    inputs, labels = read_arrays(path, [name, "labels"])
    check_published(path, inputs.shape, shape)
    check_published(path, labels.shape, (shape[0], 1))
    if not np.isin(labels, np.arange(1, 11)).all():
        raise UserError(f"'{path}' has labels outside of 1..10; get a fresh copy of it")
    return {UNSPLIT: Examples(as_features(path, name, inputs), labels[:, 0].astype(np.int32) - 1, CLASSES)}


_family = functools.partial(
    Family,
    domains=DOMAINS,
    classes=CLASSES,
    terms="research",
    folder="office_caltech10",
    model="bottleneck",
)
GONG = "Gong et al., Geodesic Flow Kernel for Unsupervised Domain Adaptation, CVPR 2012"
DECAF = "Donahue et al., DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition, ICML 2014"
register(
    _family(
        name="office_caltech10_surf",
        read=read_surf,
        citation=GONG,
        how_to_get="the SURF_L10 .mat files of the authors' GFK code, in surf/",
        files=lambda domain: ("|".join(surf_files(domain)),),
    ),
    _family(
        name="office_caltech10_decaf",
        read=read_decaf,
        citation=f"{DECAF}; {GONG}",
        how_to_get="the {domain}_decaf.mat files of https://github.com/jindongwang/transferlearning, in decaf/",
        files=lambda domain: ("|".join(decaf_files(domain)),),
    ),
)
