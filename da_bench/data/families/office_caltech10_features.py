"""Features of Office-Caltech10 as the shallow methods use them: SURF bags of words, and DeCAF6."""

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
    """Names that the SURF file of `domain` goes by."""
    return f"surf/{domain}.mat", f"surf/{domain}_SURF_L10.mat", f"surf/{domain.capitalize()}_SURF_L10.mat"


def decaf_files(domain: str) -> tuple[str, ...]:
    """Names that the DeCAF file of `domain` goes by."""
    names = {domain: None, domain.removesuffix("10"): None}
    return tuple(f"decaf/{name}{ending}.mat" for ending in ("", "_decaf") for name in names)


def read_surf(place: Path, domain: str) -> Parts:
    """Raw histograms [n, 800] float32 of visual words; how to scale them is the method's or the experiment's affair.

    It is customary to make every row sum to 1, and then every column of each domain of mean 0 and variance 1.
    Labels 1 to 10 are the classes in alphabetical order: in all four domains, each is as frequent as its photographs.

    Raises:
        UserError: a file that is corrupt, or not of the published shape and labels.
    """
    return _read(first_existing(*(place / name for name in surf_files(domain))), "fts", (DOMAINS[domain][UNSPLIT], 800))


def read_decaf(place: Path, domain: str) -> Parts:
    """Activations [n, 4096] float32 of DeCAF's sixth layer, as they are; scaling and labels as those of `read_surf`.

    Raises:
        UserError: a file that is corrupt, or not of the published shape and labels.
    """
    return _read(
        first_existing(*(place / name for name in decaf_files(domain))), "feas", (DOMAINS[domain][UNSPLIT], 4096)
    )


def _read(path: Path, name: str, shape: tuple[int, int]) -> Parts:
    inputs, labels = read_arrays(path, [name, "labels"])
    check_published(path, inputs.shape, shape)
    check_published(path, labels.shape, (shape[0], 1))
    if not np.isin(labels, np.arange(1, 11)).all():
        raise UserError(f"'{path}' has labels that are not in 1..10; get a fresh copy of it")
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
