"""Digits, 0 to 9: printed and handwritten 8x8 images that need no files, MNIST and USPS from the data root."""

from pathlib import Path

import numpy as np

from da_bench.data import typefaces
from da_bench.data.base import DomainSpec, random_stream
from da_bench.data.files import find, read_idx, read_libsvm
from da_bench.settings import UserError
from da_bench.types import Domain, Splits

CLASSES = tuple("0123456789")
SYNTHETIC_COUNTS = (4000, 500, 1000)
REAL_COUNTS = (898, 180, 719)  # 50, 10 and 40 %
MNIST_VALIDATION = 5000
USPS_VALIDATION = 729  # 10 %

MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
MNIST_SOURCE = "the four official files, https://yann.lecun.com/exdb/mnist/ and its mirrors"
USPS_FILES = ("usps.bz2", "usps.t.bz2")
USPS_SOURCE = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps"


def synthetic(_root: Path | None = None) -> Splits:
    """Printed digits [n, 8, 8, 1], multiples of 1/16 in [0, 1]; every class exactly equally often in every split.

    Other draws in each split of the same typefaces; see `typefaces`. The same bytes at every call and on every machine.
    """
    train, validation, test = map(_printed, ("train", "validation", "test"), SYNTHETIC_COUNTS)
    return Splits(train, validation, test)


def _printed(split: str, count: int) -> Domain:
    names = ("digits/synthetic", split)
    labels = random_stream(*names, "labels").permutation(np.arange(count) % len(CLASSES))
    return Domain(typefaces.render(labels, *names), labels.astype(np.int32))


def real(_root: Path | None = None) -> Splits:
    """Handwritten digits [n, 8, 8, 1], multiples of 1/16 in [0, 1]: the 1797 images of UCI optdigits' test part.

    scikit-learn ships them. A seeded permutation cuts them into 50 % train, 10 % validation and 40 % test. The writers
    are those of optdigits' test part, but not told apart in the file, so each may be in every split.

    Raises:
        UserError: the installed scikit-learn ships another number of them.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    _expect("scikit-learn's load_digits", len(images), sum(REAL_COUNTS))
    whole = Domain((images / 16).astype(np.float32).reshape(-1, 8, 8, 1), labels.astype(np.int32))
    rest, test = _hold_out(whole, REAL_COUNTS[2], "digits/real", "test")
    return Splits(*_hold_out(rest, REAL_COUNTS[1], "digits/real", "validation"), test)


def mnist(root: Path | None = None) -> Splits:
    """MNIST [n, 28, 28, 1] in [0, 1]: grey values over 255. Seeded validation of 5000 out of the 60000; official test.

    Raises:
        UserError: files missing or corrupt, or not of the published counts.
    """
    paths = find(root, "mnist", MNIST_FILES, MNIST_SOURCE)
    train, test = _idx_domain(paths[0], paths[1], 60000), _idx_domain(paths[2], paths[3], 10000)
    return Splits(*_hold_out(train, MNIST_VALIDATION, "mnist", "validation"), test)


def _idx_domain(image_path: Path, label_path: Path, count: int) -> Domain:
    images, labels = read_idx(image_path), read_idx(label_path)
    _expect(str(image_path), images.shape, (count, 28, 28))
    _expect(str(label_path), labels.shape, (count,))
    return Domain(_unit(images), _digits(label_path, labels))


def usps(root: Path | None = None) -> Splits:
    """USPS [n, 28, 28, 1] in [0, 1], from the 16x16 of LIBSVM's files. Seeded 10 % of train validate; official test.

    Its values in [-1, 1] become the nearest of 256 greys, which Pillow's bilinear filter resizes in integers, so equal
    on every machine. Implementations differ here (other filters, zero padding, MNIST shrunk instead), and so do scores.

    Raises:
        UserError: files missing or corrupt, or not of the published counts.
    """
    paths = find(root, "usps", USPS_FILES, USPS_SOURCE)
    train, test = _libsvm_domain(paths[0], 7291), _libsvm_domain(paths[1], 2007)
    return Splits(*_hold_out(train, USPS_VALIDATION, "usps", "validation"), test)


def _libsvm_domain(path: Path, count: int) -> Domain:
    inputs, labels = read_libsvm(path, features=16 * 16)
    _expect(str(path), len(inputs), count)
    if np.abs(inputs).max() > 1:
        raise UserError(f"'{path}' is not USPS: it has values out of [-1, 1]; get a fresh copy of it")
    greys = np.rint((inputs + 1) * 127.5).astype(np.uint8)
    return Domain(_unit(resize(greys.reshape(-1, 16, 16), 28)), _digits(path, labels - 1))


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Grey images uint8 [n, h, w] -> uint8 [n, side, side], by Pillow's bilinear filter."""
    from PIL import Image

    size = (side, side)
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in images])


def _unit(greys: np.ndarray) -> np.ndarray:
    return (greys.astype(np.float32) / np.float32(255))[..., None]


def _digits(path: Path, labels: np.ndarray) -> np.ndarray:
    if not np.isin(labels, np.arange(10)).all():
        raise UserError(f"'{path}' has labels that are no digits; get a fresh copy of it")
    return labels.astype(np.int32)


def _expect(what: str, found: object, published: object) -> None:
    if found != published:
        raise UserError(f"'{what}' holds {found} images or labels where {published} are published; get a fresh copy")


def _hold_out(domain: Domain, count: int, *names: str) -> tuple[Domain, Domain]:
    """(the rest, `count` examples): a random choice by the stream of `names`, both in the order of the file."""
    held = np.zeros(len(domain.labels), bool)
    held[random_stream(*names).permutation(len(held))[:count]] = True
    return Domain(domain.inputs[~held], domain.labels[~held]), Domain(domain.inputs[held], domain.labels[held])


DOMAINS = (
    DomainSpec(
        name="digits/synthetic",
        load=synthetic,
        classes=CLASSES,
        citation="da_bench: digits of the typefaces DejaVu, STIX and Computer Modern (BaKoMa)",
        terms="free: made from freely licensed typefaces",
        source_of_files="embedded",
        counts=SYNTHETIC_COUNTS,
    ),
    DomainSpec(
        name="digits/real",
        load=real,
        classes=CLASSES,
        citation="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, doi:10.24432/C50P49",
        terms="CC BY 4.0",
        source_of_files="embedded",
        counts=REAL_COUNTS,
    ),
    DomainSpec(
        name="mnist",
        load=mnist,
        classes=CLASSES,
        citation="LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998",
        terms="CC BY-SA 3.0",
        source_of_files=MNIST_SOURCE,
        counts=(60000 - MNIST_VALIDATION, MNIST_VALIDATION, 10000),
        folder="mnist",
        files=MNIST_FILES,
    ),
    DomainSpec(
        name="usps",
        load=usps,
        classes=CLASSES,
        citation="Hull, A database for handwritten text recognition research, IEEE TPAMI 16(5), 1994",
        terms="research",
        source_of_files=USPS_SOURCE,
        counts=(7291 - USPS_VALIDATION, USPS_VALIDATION, 2007),
        folder="usps",
        files=USPS_FILES,
    ),
)
