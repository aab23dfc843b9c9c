"""Image cache: images decoded and resized once, in a folder that is memory-mapped when it is opened.

The folder of one set of images holds

* images.npy: uint8 [n, side, side, 3];
* index.jsonl: one line an image, in the same order, see `ImageEntry`;
* pack.json: the digest, the sizes, and the versions of the decoders. It is written last.

The folder is built as a draft that only ever grows. The images are flushed to disk first, then the lines of the index,
so that a line stands for an image that is safely on disk. A killed process resumes after the last complete line. A lock
lets only one process work on a draft.
"""

import hashlib
import io
import itertools
import json
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np

from da_bench.core.config import UserError, did_you_mean
from da_bench.core.locks import hold_locks
from da_bench.core.progress import bar
from da_bench.core.storage import cache_folder, publish_folder, storage_errors
from da_bench.data.family import Examples, Listing
from da_bench.data.images import RESIZE_MODES, ResizeMode, decode_bytes, dhash, read_bytes, resize, strict_pillow

IMAGES, INDEX, SUMMARY = "images.npy", "index.jsonl", "pack.json"
RULES = 1  # version of the rules of decoding and resizing; raise it when they change, so that old caches are not used
SAVE_EVERY = 256  # images between two flushes
REMEDY = "free some space or grant permission to write there, or set DA_BENCH_CACHE to another folder"
SHOWN = 20  # bad images in one message
WORKERS = min(32, 1 + (os.cpu_count() or 1))  # one more than cores: some wait for the disk
A = TypeVar("A")
B = TypeVar("B")


class ImageEntry(NamedTuple):
    """Where a cached image is from: one line of index.jsonl.

    Attributes:
        file: path in the listing.
        label: class name.
        sha256: of the file's bytes.
        width: of the original image, in pixels.
        height: of the original image, in pixels.
        dhash: 64-bit difference hash, see `images.dhash`.
    """

    file: str
    label: str
    sha256: str
    width: int
    height: int
    dhash: int


class CachedImages(NamedTuple):
    """Decoded images.

    Attributes:
        images: uint8 [n, side, side, 3], memory-mapped and read-only.
        labels: int32 [n], indices into `classes`.
        classes: sorted class names.
        digest: sha256 over images, labels and classes.
        entries: where each image is from.
    """

    images: np.memmap
    labels: np.ndarray
    classes: tuple[str, ...]
    digest: str
    entries: list[ImageEntry]

    def examples(self) -> Examples:
        """Return what training needs."""
        return Examples(self.images, self.labels, self.classes)


class _Recipe(NamedTuple):
    """Which images are cached, and how they are resized."""

    listing: Listing
    side: int
    how: ResizeMode


def images_folder() -> Path:
    """Return the folder of all image caches, see `cache_folder`."""
    return cache_folder("packs")


def prepare(
    listing: Listing, name: str, side: int, how: ResizeMode, cache: Path, progress: bool = False
) -> CachedImages:
    """Open the cached images of a listing; decode them first if `cache` does not hold them yet.

    The paths, sizes and times of all files are part of the name of the folder: if one changes, the images are decoded
    again.

    Args:
        listing: image files and labels.
        name: name of the images in the folder's name and the progress bar, such as "office31/amazon".
        side: side of the resized squares, in pixels.
        how: how images become squares, see `images.resize`.
        cache: folder of all image caches.
        progress: show a bar on stderr.

    Raises:
        UserError: images that cannot be used (one message for all), or none at all; a damaged cache.
        StorageError: no space left, or no permission to write in `cache`.
    """
    if how not in RESIZE_MODES:
        raise UserError(f"unknown way to resize '{how}'{did_you_mean(how, RESIZE_MODES)}")
    if side < 1:
        raise UserError(f"images of {side} pixels a side: at least 1 is needed")
    if not listing.files:
        raise UserError(f"'{name}' lists no images under '{listing.folder}'")
    recipe = _Recipe(listing, side, how)
    folder = cache / f"{name.replace('/', '-')}-{side}-{how}-{key(listing)}"

    def announce(holder: str) -> None:
        if progress:
            print(f"waiting for process {holder}, which is preparing the same images", file=sys.stderr)

    with storage_errors(f"write the image cache '{folder}'", REMEDY):
        if not folder.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with hold_locks([folder.with_name(f".{folder.name}.lock")], on_wait=announce):
                if not folder.exists():  # otherwise another process has prepared it meanwhile
                    _build(recipe, folder, name if progress else "")
    return open_cached(folder)


def key(listing: Listing) -> str:
    """Return a hash of the paths, classes, sizes and times of all files of a listing."""
    folder = os.path.realpath(listing.folder)
    files = [(*pair, *stamp(os.path.join(folder, pair[0]))) for pair in _pairs(listing)]
    return hashlib.sha256(json.dumps([RULES, folder, files]).encode()).hexdigest()[:16]


def _pairs(listing: Listing) -> Iterable[tuple[str, str]]:
    return zip(listing.files, listing.labels, strict=True)


def stamp(path: Path | str) -> tuple[int, ...]:
    """Return size in bytes and time of change in ns of a file; () if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:  # reported when it is decoded, together with all other faults
        return ()
    return status.st_size, status.st_mtime_ns


def _build(recipe: _Recipe, folder: Path, bar_name: str) -> None:
    draft = folder.with_name(f"{folder.name}.draft")
    draft.mkdir(exist_ok=True)
    with (draft / IMAGES).open("a+b") as images, (draft / INDEX).open("a+b") as index:
        completed = _resume(recipe, images, index)
        _check_space(recipe, draft, completed)
        remaining = bar(range(completed, len(recipe.listing.files)), bar_name, "images")
        faults = _append(recipe, images, index, remaining)
    if faults:
        shutil.rmtree(draft)
        if len(faults) == 1:
            raise UserError(faults[0])
        more = [f"... and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        summary = f"{len(faults)} images of '{recipe.listing.folder}' cannot be used:"
        raise UserError("\n  ".join([summary, *faults[:SHOWN], *more]))
    _publish(recipe, draft, folder)


def _resume(recipe: _Recipe, images: IO[bytes], index: IO[bytes]) -> int:
    """Cut a draft down to the images that are safely in it, and return their number. Write the header if needed."""
    lines = _valid_lines(recipe, index)
    header = _header(recipe)
    images.seek(0)
    has_header = images.read(len(header)) == header
    row = 3 * recipe.side**2
    completed = min(len(lines), (images.seek(0, os.SEEK_END) - len(header)) // row) if has_header else 0
    index.truncate(sum(map(len, lines[:completed])))
    images.truncate(len(header) + completed * row if has_header else 0)
    if not has_header:
        images.write(header)
    return completed


def _valid_lines(recipe: _Recipe, index: IO[bytes]) -> list[bytes]:
    """Return the lines before the first that is torn or belongs to another image."""

    def is_valid(line: bytes, pair: tuple[str, str]) -> bool:
        try:
            return line.endswith(b"\n") and ImageEntry(*json.loads(line))[:2] == pair
        except (ValueError, TypeError):
            return False

    index.seek(0)
    pairs = zip(index, _pairs(recipe.listing), strict=False)
    return [line for line, _ in itertools.takewhile(lambda item: is_valid(*item), pairs)]


def _header(recipe: _Recipe) -> bytes:
    file = io.BytesIO()
    shape = (len(recipe.listing.files), recipe.side, recipe.side, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _check_space(recipe: _Recipe, draft: Path, completed: int) -> None:
    needed = (len(recipe.listing.files) - completed) * (3 * recipe.side**2 + 300)  # 300: a line of the index
    free = shutil.disk_usage(draft).free
    if needed > free:
        raise UserError(
            f"'{draft.parent}' has {free / 1e9:.2f} GB left, but the images of '{recipe.listing.folder}' take "
            f"{needed / 1e9:.2f} GB at {recipe.side} pixels: free some space, or set DA_BENCH_CACHE to another folder"
        )


def _append(recipe: _Recipe, images: IO[bytes], index: IO[bytes], rows: Iterable[int]) -> list[str]:
    """Append the images of `rows`. Return the faults of the bad ones; nothing is written after the first of them."""

    def attempt(row: int) -> tuple[np.ndarray, ImageEntry] | str:
        try:
            return _decode_row(recipe, row)
        except UserError as error:
            return str(error)

    faults: list[str] = []
    lines: list[bytes] = []
    with strict_pillow(), ThreadPoolExecutor(WORKERS) as pool:  # Pillow releases the lock of the interpreter
        for result in _in_order(pool, attempt, rows):
            if isinstance(result, str):
                faults.append(result)
            elif not faults:
                image, entry = result
                images.write(image.data)
                lines.append(json.dumps(entry).encode() + b"\n")
            if len(lines) == SAVE_EVERY:
                _save(images, index, lines)
    _save(images, index, lines)
    return faults


def _in_order(pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Yield `work(item)` in the order of the items. Only a few are computed ahead, so that results do not pile up."""
    pending: deque[Future[B]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > 2 * WORKERS:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _decode_row(recipe: _Recipe, row: int) -> tuple[np.ndarray, ImageEntry]:
    file, label = recipe.listing.files[row], recipe.listing.labels[row]
    path = recipe.listing.folder / file
    content = read_bytes(path)
    image = decode_bytes(content, path)
    entry = ImageEntry(file, label, hashlib.sha256(content).hexdigest(), *image.size, dhash(image))
    return resize(image, recipe.side, recipe.how), entry


def _save(images: IO[bytes], index: IO[bytes], lines: list[bytes]) -> None:
    """Flush the images to disk, and only then the lines that say that they are there."""
    _flush(images)
    index.write(b"".join(lines))
    _flush(index)
    lines.clear()


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(recipe: _Recipe, draft: Path, folder: Path) -> None:
    import PIL
    from PIL import features

    codecs = {name: features.version(name) for name in ("libjpeg_turbo", "jpg", "zlib", "webp", "libtiff")}
    rules = {"filter": "bilinear", "exif_orientation": "ignored", "rules": RULES}
    entries = _read_index(draft / INDEX)
    summary = {
        "digest": _digest(_map_images(draft / IMAGES, (len(entries), recipe.side, recipe.side, 3)), *_labels(entries)),
        "index": hashlib.sha256((draft / INDEX).read_bytes()).hexdigest(),
        "count": len(entries),
        "side": recipe.side,
        "how": recipe.how,
        "decoder": {"pillow": PIL.__version__, **codecs, **rules},
    }
    (draft / SUMMARY).write_text(json.dumps(summary, indent=2), encoding="utf-8")
    publish_folder(draft, folder)


def open_cached(folder: Path) -> CachedImages:
    """Open images that were prepared before. Sizes and the index are checked here, the images by `verify`.

    Raises:
        UserError: a file is missing, damaged or of another size than the others say.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        digest, side, index = summary["digest"], summary["side"], summary["index"]
        if hashlib.sha256((folder / INDEX).read_bytes()).hexdigest() != index:
            raise ValueError(f"{INDEX} does not belong to {SUMMARY}")
        entries = _read_index(folder / INDEX)
        images = _map_images(folder / IMAGES, (len(entries), side, side, 3))
    except (OSError, EOFError, SyntaxError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from None
    return CachedImages(images, *_labels(entries), digest, entries)


def _map_images(path: Path, shape: tuple[int, ...]) -> np.memmap:
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    size = path.stat().st_size
    if images.dtype != np.uint8 or images.shape != shape or size != images.offset + images.nbytes:
        raise ValueError(f"{path.name} holds {images.dtype} {images.shape} in {size} bytes, not uint8 {shape}")
    return images


def _read_index(path: Path) -> list[ImageEntry]:
    with path.open(encoding="utf-8") as lines:
        return [ImageEntry(*json.loads(line)) for line in lines]


def _labels(entries: list[ImageEntry]) -> tuple[np.ndarray, tuple[str, ...]]:
    classes = sorted({entry.label for entry in entries})
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[entry.label] for entry in entries], np.int32), tuple(classes)


def verify(cached: CachedImages) -> None:
    """Compare images, labels and classes with the digest that was computed when they were prepared; read every byte.

    Raises:
        UserError: they differ.
    """
    if _digest(cached.images, cached.labels, cached.classes) != cached.digest:
        raise _damaged(Path(str(cached.images.filename)).parent, "the images are not those that were prepared")


def _digest(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps([images.shape, classes]).encode())
    digest.update(labels.astype("<i4").tobytes())
    for row in range(0, len(images), SAVE_EVERY):
        digest.update(np.ascontiguousarray(images[row : row + SAVE_EVERY]).data)
    return digest.hexdigest()


def _damaged(folder: Path, fault: str) -> UserError:
    return UserError(f"the image cache '{folder}' is damaged ({fault}): delete that folder, and it is built again")
