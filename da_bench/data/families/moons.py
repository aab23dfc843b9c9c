"""Two interleaved moons, and the same rotated: the toy problem of Ganin et al., JMLR 2016, section 5.1.1."""

import zlib
from pathlib import Path

import numpy as np

from da_bench.data.family import Examples, Family, Parts, register

CLASSES = ("lower", "upper")
COUNTS = {"train": 300, "validation": 200, "test": 1000}  # 300 as in the paper; further points validate and test
NOISE = 0.05  # standard deviation
CENTRED = "centred-"
MEAN = (0.5, 0.25)  # of both moons together


def read(_folder: Path | None, domain: str) -> Parts:
    """Generate two moons, points [n, 2] float32, rotated counter-clockwise; the classes are balanced.

    As the paper describes it: a fresh sample, every point rotated about the origin, here that of scikit-learn's moons.
    The authors' code, which made the paper's figure, first moves the moons' mean to the origin and doubles their size,
    which makes the shift smaller: these are the domains "centred-0" and "centred-35".

    Args:
        _folder: not used, no files are needed.
        domain: the angle in degrees, after "centred-" for the moons of the authors' code.
    """
    return {part: _rotated(domain, part, count) for part, count in COUNTS.items()}


def _rotated(domain: str, part: str, count: int) -> Examples:
    from sklearn.datasets import make_moons

    points, is_lower = make_moons(count, noise=NOISE, random_state=zlib.crc32(f"moons/{domain}/{part}".encode()))
    if domain.startswith(CENTRED):
        points = 2 * (points - MEAN)
    angle = float(domain.removeprefix(CENTRED)) * np.pi / 180
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = points.T
    rotated = np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
    return Examples(rotated.astype(np.float32), (1 - is_lower).astype(np.int32), CLASSES)


register(
    Family(
        name="moons",
        read=read,
        domains={"0": COUNTS, "35": COUNTS, "centred-0": COUNTS, "centred-35": COUNTS},
        classes=CLASSES,
        citation="Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17(59), 2016, section 5.1.1",
        terms="free: generated",
        pairs=(("0", "35"), ("35", "0"), ("centred-0", "centred-35")),
        model="mlp",
    )
)
