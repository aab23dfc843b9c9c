"""MNIST-M: MNIST's digits blended into patches of the BSDS500 photographs, as in Ganin et al., JMLR 2016.

Two forms are read and give the same bytes: the original folder if it exists, else its ingredients: the MNIST files, the
200 training photographs of BSDS500, and the positions where the patches of the original were cut.
"""

import hashlib
from pathlib import Path

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.families import mnist
from da_bench.data.family import Examples, Family, Parts, register
from da_bench.data.files import check_published, first_existing, read_arrays, read_idx

COUNTS = {"train": 59001, "test": 9001}
SIDE = 32
SHA256 = {  # of the images of the original, uint8 [n, 32, 32, 3]
    "train": "3c689850ded80df111260294d02c79ee0a6e602a9fd634c4e08e1339628f8d33",
    "test": "47415b066fe8a39de3f0e86f65a72d4c4078f1e2557a388ca0a7cfd8dfe90b14",
}
OFFSETS = "mnist_m/offsets.npz"
PHOTOS = "bsds500/train"
ORIGINAL = tuple(f"mnist_m/mnist_m_{part}" for part in ("train_labels.txt", "train", "test_labels.txt", "test"))
INGREDIENTS = (OFFSETS, PHOTOS, *(f"mnist/{name}" for name in mnist.FILES))


def read(root: Path, _domain: str = "mnist_m") -> Parts:
    """Read RGB images [n, 32, 32, 3] uint8 of the train and test parts; `root` is the data root.

    Raises:
        UserError: a file is missing or corrupt, does not have the published counts, or gives other images.
    """
    if all((root / name).exists() for name in ORIGINAL) or not (root / OFFSETS).exists():
        return {part: _original(root / f"mnist_m/mnist_m_{part}", count) for part, count in COUNTS.items()}
    photos = _photos(root)
    return {part: _blend(root, part, photos) for part in COUNTS}


def _original(folder: Path, count: int) -> Examples:
    path = folder.with_name(f"{folder.name}_labels.txt")
    names, labels = _label_lines(path)
    check_published(path, len(names), count)
    images = np.stack([_decode(folder / name, (SIDE, SIDE)) for name in names])
    return Examples(images, mnist.digits(path, labels), mnist.DIGITS)


def _label_lines(path: Path) -> tuple[list[str], np.ndarray]:
    """Return sorted file names and the label of each, from lines such as "00000000.png 5"."""
    try:
        label_of = dict(line.split() for line in path.read_text().splitlines())
        names = sorted(label_of)
        return names, np.array([int(label_of[name]) for name in names])
    except (OSError, ValueError) as error:  # ValueError includes UnicodeDecodeError
        raise UserError(f"cannot read '{path}': {error}; get a fresh copy of it") from None


def _decode(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode an image file to RGB [h, w, 3] uint8; UserError if it is not an image of `size`."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            check_published(path, (image.mode, size and image.size), ("RGB", size))
            return np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: of a broken PNG
        raise UserError(f"cannot read '{path}': {error}; get a fresh copy of it") from None


def _photos(root: Path) -> list[np.ndarray]:
    names = [Path(str(name)).name for name in read_arrays(root / OFFSETS, ["files"])[0].ravel()]
    missing = [name for name in names if not (root / PHOTOS / name).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} photographs are missing in '{root / PHOTOS}': {', '.join(missing[:3])} ...; "
            "get the 200 training images of BSDS500"
        )
    return [_decode(root / PHOTOS / name) for name in names]


def _blend(root: Path, part: str, photos: list[np.ndarray]) -> Examples:
    offsets = _offsets(root / OFFSETS, part, photos)
    digits, labels = _digits(root / "mnist", part, len(offsets))
    images = _patches(photos, offsets)
    images ^= np.where(np.pad(digits, ((0, 0), (2, 2), (2, 2))) > 0, 255, 0).astype(np.uint8)[..., None]  # 255 - p
    digest = hashlib.sha256(images.data).hexdigest()
    if digest != SHA256[part]:
        raise UserError(
            f"the photographs of '{root / PHOTOS}' with '{root / OFFSETS}' give another {part} part than MNIST-M's "
            f"(sha256 {digest[:16]}): get the original BSDS500 photographs and Pillow from pypi.org (other "
            "JPEG decoders differ in single grey values), or use the original folder mnist_m/"
        )
    return Examples(images, labels, mnist.DIGITS)


def _offsets(path: Path, part: str, photos: list[np.ndarray]) -> np.ndarray:
    """Return photograph, top and left of every patch, int [n, 3]."""
    offsets = read_arrays(path, [part])[0]
    check_published(path, (offsets.shape, offsets.dtype.name), ((COUNTS[part], 3), "int16"))
    offsets = offsets.astype(int)
    highest = np.array([photo.shape[:2] for photo in photos]) - SIDE
    if not (np.isin(offsets[:, 0], np.arange(len(photos))).all() and (offsets >= 0).all()):
        raise UserError(f"'{path}' names photographs or positions that do not exist; get a fresh copy of it")
    if (offsets[:, 1:] > highest[offsets[:, 0]]).any():
        raise UserError(f"'{path}' has patches beyond the edges of the photographs; get the original photographs")
    return offsets


def _digits(folder: Path, part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first `count` images [count, 28, 28] of MNIST's part, and their labels."""
    first = 0 if part == "train" else 2
    image_path, label_path = (first_existing(folder / name) for name in mnist.FILES[first : first + 2])
    images, labels = read_idx(image_path), read_idx(label_path)
    check_published(image_path, images.shape, (mnist.COUNTS[part], 28, 28))
    check_published(label_path, labels.shape, (mnist.COUNTS[part],))
    return images[:count], mnist.digits(label_path, labels)[:count]


def _patches(photos: list[np.ndarray], offsets: np.ndarray) -> np.ndarray:
    """Cut the patches, uint8 [n, 32, 32, 3], photograph by photograph."""
    patches = np.empty((len(offsets), SIDE, SIDE, 3), np.uint8)
    for k, photo in enumerate(photos):
        rows = np.flatnonzero(offsets[:, 0] == k)
        windows = np.lib.stride_tricks.sliding_window_view(photo, (SIDE, SIDE), axis=(0, 1))
        patches[rows] = windows[offsets[rows, 1], offsets[rows, 2]].transpose(0, 2, 3, 1)
    return patches


def _files(_domain: str) -> tuple[str, ...]:
    """All of one form or all of the other, as far as "a or b" says it: what marks the one excuses all of the other."""
    return (*(f"{name}|{OFFSETS}" for name in ORIGINAL), *(f"{name}|{ORIGINAL[0]}" for name in INGREDIENTS[1:]))


register(
    Family(
        name="mnist_m",
        read=read,
        domains={"mnist_m": COUNTS},
        classes=mnist.DIGITS,
        citation="Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17(59), 2016; the photographs: "
        "Arbelaez et al., Contour Detection and Hierarchical Image Segmentation, IEEE TPAMI 33(5), 2011",
        terms="CC BY-SA 3.0 (MNIST), non-commercial research (BSDS500)",
        how_to_get="the original folder mnist_m/ of http://yaroslav.ganin.net; or the files of MNIST in mnist/, "
        "the training photographs of BSDS500 in bsds500/train/ and mnist_m/offsets.npz",
        folder=".",
        files=_files,
        model="lenet",
    )
)
