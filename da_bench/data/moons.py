"""Inter-twinning moons, and the same rotated: the toy problem of Ganin et al., JMLR 2016, section 5.1.1."""

import zlib
from pathlib import Path

import numpy as np

from da_bench.data.base import DomainSpec
from da_bench.types import Domain, Splits

COUNTS = (300, 200, 1000)  # 300 as in the paper; fresh points to select and to report with
NOISE = 0.05  # standard deviation


def moons(angle: float) -> Splits:
    """Two moons, points [n, 2] float32, rotated counter-clockwise by `angle` degrees; classes equally often.

    As the paper words it: a fresh sample, every point rotated about the origin, here that of scikit-learn's moons. The
    authors' code first moves the moons' mean to the origin and doubles them, which leaves less of a shift: a network
    of theirs without adaptation reaches 0.81 on the target there, here 0.62.
    """
    turn = angle * np.pi / 180
    cos, sin = np.cos(turn), np.sin(turn)

    def split(name: str) -> Domain:
        points, labels = _draw(angle, name)
        x, y = points.T
        rotated = np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
        return Domain(rotated.astype(np.float32), labels.astype(np.int32))

    return Splits(split("train"), split("validation"), split("test"))


def _draw(angle: float, split: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_moons

    count = dict(zip(Splits._fields, COUNTS, strict=True))[split]
    return make_moons(count, noise=NOISE, random_state=zlib.crc32(f"{_name(angle)}/{split}".encode()))


def _name(angle: float) -> str:
    return f"moons/{angle:g}"


def declare(angle: float) -> DomainSpec:
    """The domain of moons rotated by `angle` degrees."""

    def load(_root: Path | None = None) -> Splits:
        return moons(angle)

    return DomainSpec(
        name=_name(angle),
        load=load,
        classes=("upper", "lower"),  # of the unrotated ones: scikit-learn's order
        citation="Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17(59), 2016, section 5.1.1",
        terms="free: generated",
        source_of_files="embedded",
        counts=COUNTS,
    )


DOMAINS = (declare(0), declare(35))
