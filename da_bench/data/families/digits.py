"""Digits 0 to 9 without any files: printed and handwritten 8x8 images."""

from pathlib import Path

import numpy as np

from da_bench.data import typefaces
from da_bench.data.families.mnist import DIGITS
from da_bench.data.family import UNSPLIT, Examples, Family, Parts, random_stream, register
from da_bench.data.files import check_published

SYNTHETIC_COUNTS = {"train": 4000, "validation": 500, "test": 1000}
REAL_COUNTS = {UNSPLIT: 1797}


def read(_folder: Path | None, domain: str) -> Parts:
    """Return grey values [n, 8, 8, 1] float32, multiples of 1/16 in [0, 1].

    Args:
        _folder: not used, no files are needed.
        domain: "synthetic": printed digits, every class equally often in every part; the parts are different draws of
            the same typefaces. The bytes are the same on every machine, see `typefaces`. "real": the 1797 images of the
            test part of UCI optdigits, which scikit-learn ships. The file does not identify its writers, so a
            writer may be in every split.

    Raises:
        UserError: the installed scikit-learn ships another number of images.
    """
    if domain == "real":
        return {UNSPLIT: _handwritten()}
    return {part: _printed(part, count) for part, count in SYNTHETIC_COUNTS.items()}


def _printed(part: str, count: int) -> Examples:
    names = ("digits/synthetic", part)
    labels = random_stream(*names, "labels").permutation(np.arange(count) % len(DIGITS))
    return Examples(typefaces.render(labels, *names), labels.astype(np.int32), DIGITS)


def _handwritten() -> Examples:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    check_published("scikit-learn's load_digits", len(images), REAL_COUNTS[UNSPLIT])
    return Examples((images / 16).astype(np.float32).reshape(-1, 8, 8, 1), labels.astype(np.int32), DIGITS)


register(
    Family(
        name="digits",
        read=read,
        domains={"synthetic": SYNTHETIC_COUNTS, "real": REAL_COUNTS},
        classes=DIGITS,
        citation="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, doi:10.24432/C50P49; "
        "da_bench: digits of the typefaces DejaVu, STIX and Computer Modern (BaKoMa)",
        terms="CC BY 4.0; made from freely licensed typefaces",
        model="small_cnn",
    )
)
