"""Amazon product reviews of four kinds, positive or negative: counts of the 5000 most frequent words and word pairs."""

from pathlib import Path

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.family import Counts, Examples, Family, Parts, register
from da_bench.data.files import check_published, read_libsvm

FEATURES = 5000
CLASSES = ("negative", "positive")
DOMAINS: dict[str, Counts] = {
    "books": {"train": 2000, "test": 4465},
    "dvd": {"train": 2000, "test": 3586},
    "electronics": {"train": 2000, "test": 5681},
    "kitchen": {"train": 2000, "test": 5945},
}


def read(folder: Path, domain: str) -> Parts:
    """Read word counts [n, 5000] float32 of the train and test parts, as published: 0, 1, 2, ...

    The array is dense although less than 2 % of the counts are not 0: a domain takes at most 160 MB, and gathering a
    batch of dense rows on the device is faster than of sparse rows.

    Raises:
        UserError: a file is corrupt, does not hold counts with indices from 0, or not the published number of reviews.
    """
    return {part: _examples(folder / _name(domain, part), count) for part, count in DOMAINS[domain].items()}


def _name(domain: str, part: str) -> str:
    return f"{domain}_{part}.svmlight"


def _examples(path: Path, count: int) -> Examples:
    inputs, labels = read_libsvm(path, FEATURES, zero_based=True)
    check_published(path, len(inputs), count)
    if (inputs < 0).any() or (inputs != np.rint(inputs)).any():
        raise UserError(f"'{path}' has values that are not word counts; get the unscaled, raw features")
    if not inputs[:, 0].any():  # one of the most frequent words, in half of the reviews or more
        raise UserError(f"'{path}' has no index 0, so its indices count from 1; get the file whose indices start at 0")
    return Examples(inputs, _sentiment(path, labels), CLASSES)


def _sentiment(path: Path, labels: np.ndarray) -> np.ndarray:
    if not (np.isin(labels, (-1, 1)).all() or np.isin(labels, (0, 1)).all()):
        raise UserError(f"'{path}' has labels {np.unique(labels)[:5]}, not -1 and 1 or 0 and 1; get a fresh copy of it")
    return (labels > 0).astype(np.int32)


register(
    Family(
        name="amazon_reviews",
        read=read,
        domains=DOMAINS,
        classes=CLASSES,
        citation="Blitzer et al., Biographies, Bollywood, Boom-boxes and Blenders, ACL 2007; the features: "
        "Chen et al., Marginalized Denoising Autoencoders for Domain Adaptation, ICML 2012",
        terms="research",
        how_to_get="the {domain}_{train,test}.svmlight of the authors' code of Ganin et al. (DANN), JMLR 2016",
        folder="amazon_reviews",
        files=lambda domain: (_name(domain, "train"), _name(domain, "test")),
        model="bottleneck",
    )
)
