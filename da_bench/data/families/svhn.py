"""Street View House Numbers, cropped digits, from the two original .mat files."""

from pathlib import Path

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.families.mnist import DIGITS
from da_bench.data.family import Examples, Family, Parts, register
from da_bench.data.files import check_published, read_arrays

COUNTS = {"train": 73257, "test": 26032}


def read(folder: Path, _domain: str = "svhn") -> Parts:
    """Read RGB images [n, 32, 32, 3] uint8 of the train and test parts; by custom, the "extra" part is not used.

    Raises:
        UserError: a file is corrupt, or does not have the published shapes and labels.
    """
    return {part: _examples(folder / f"{part}_32x32.mat", count) for part, count in COUNTS.items()}


def _examples(path: Path, count: int) -> Examples:
    images, labels = read_arrays(path, ["X", "y"])
    check_published(path, (images.shape, images.dtype.name), ((32, 32, 3, count), "uint8"))
    check_published(path, labels.shape, (count, 1))
    if not np.isin(labels, np.arange(1, 11)).all():
        raise UserError(f"'{path}' has labels outside of 1..10; get a fresh copy of it")
    digits = labels[:, 0].astype(np.int32) % 10  # 10 stands for the digit 0
    return Examples(np.ascontiguousarray(images.transpose(3, 0, 1, 2)), digits, DIGITS)


register(
    Family(
        name="svhn",
        read=read,
        domains={"svhn": COUNTS},
        classes=DIGITS,
        citation="Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, "
        "NIPS Workshop on Deep Learning and Unsupervised Feature Learning, 2011",
        terms="non-commercial use only",
        how_to_get="train_32x32.mat and test_32x32.mat of http://ufldl.stanford.edu/housenumbers/",
        folder="svhn",
        files=lambda _domain: tuple(f"{part}_32x32.mat" for part in COUNTS),
        model="lenet",
    )
)
