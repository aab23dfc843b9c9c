"""Packs: images decoded and resized once, in a folder that is opened by mapping it into memory.

A pack's folder holds images.npy (uint8 [n, side, side, 3]), index.jsonl (a line an image, in the same order) and
pack.json (what it is made of and how; written last). It is made in a draft that only ever grows: the images first, then
the lines of the index, both flushed to disk, so that a line stands for an image that is safely there. What was killed
goes on after its last whole line. A lock that dies with its holder lets only one process work on a draft.
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
RULES = 1  # of decoding and resizing; another number wherever they change, so that old packs are not taken for new ones
SAVE_EVERY = 256  # images
REMEDY = "free some space or grant permission to write there, or set DA_BENCH_CACHE to another folder"
SHOWN = 20  # bad images in one message
WORKERS = min(32, 1 + (os.cpu_count() or 1))  # one more than cores: some wait for the disk
A = TypeVar("A")
B = TypeVar("B")


class ImageEntry(NamedTuple):
    """An image as it was found: path in the listing, class, sha256 of the file, size in pixels, difference hash."""

    file: str
    label: str
    sha256: str
    width: int
    height: int
    dhash: int


class CachedImages(NamedTuple):
    """Decoded images: images uint8 [n, side, side, 3], mapped and read-only; labels int32 [n], indices of `classes`.

    classes: the sorted names; digest: sha256 over images, labels and classes; entries: of each image where it is from.
    """

    images: np.memmap
    labels: np.ndarray
    classes: tuple[str, ...]
    digest: str
    entries: list[ImageEntry]

    def examples(self) -> Examples:
        """What training takes of it."""
        return Examples(self.images, self.labels, self.classes)


class _Recipe(NamedTuple):
    """What a pack is to be made of, and how."""

    listing: Listing
    side: int
    how: ResizeMode


def images_folder() -> Path:
    """Return the folder of the packs, see `cache_folder`."""
    return cache_folder("packs")


def prepare(
    listing: Listing, name: str, side: int, how: ResizeMode, cache: Path, progress: bool = False
) -> CachedImages:
    """The pack of a listing of images at side x side pixels; decoded only where it is not in the folder `cache` yet.

    name: what the pack is called, "office31/amazon"; how: see `images.resize`; progress: show a bar on stderr. The
    paths, sizes and times of all files are part of the pack's folder name: where one changes, another pack is made.

    Raises:
        UserError: bad images (one message for all), or none; no space or no permission in `cache`; a damaged pack.
    """
    recipe = _checked(_Recipe(listing, side, how), name)
    folder = cache / f"{name.replace('/', '-')}-{side}-{how}-{key(listing)}"

    def announce(holder: str) -> None:
        if progress:
            print(f"waiting for process {holder}, which is preparing the same images", file=sys.stderr)

    with storage_errors(f"write the pack '{folder}'", REMEDY):
        if not folder.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with hold_locks([folder.with_name(f".{folder.name}.lock")], on_wait=announce):
                if not folder.exists():  # else another process has made it meanwhile
                    _make(recipe, folder, name if progress else "")
    return open_cached(folder)


def _checked(recipe: _Recipe, name: str) -> _Recipe:
    if recipe.how not in RESIZE_MODES:
        raise UserError(f"unknown way to resize '{recipe.how}'{did_you_mean(recipe.how, RESIZE_MODES)}")
    if recipe.side < 1:
        raise UserError(f"images of {recipe.side} pixels a side: at least 1 is needed")
    if not recipe.listing.files:
        raise UserError(f"'{name}' lists no images under '{recipe.listing.place}'")
    return recipe


def key(listing: Listing) -> str:
    """A hash of the paths, classes, sizes and times of all files of a listing."""
    place = os.path.realpath(listing.place)
    files = [(*pair, *stamp(os.path.join(place, pair[0]))) for pair in _pairs(listing)]
    return hashlib.sha256(json.dumps([RULES, place, files]).encode()).hexdigest()[:16]


def _pairs(listing: Listing) -> Iterable[tuple[str, str]]:
    return zip(listing.files, listing.labels, strict=True)


def stamp(path: Path | str) -> tuple[int, ...]:
    """Size in bytes and time of the last change in ns; () where it is not there."""
    try:
        found = os.stat(path)
    except OSError:  # decoding says so, together with all that is wrong
        return ()
    return found.st_size, found.st_mtime_ns


def _make(recipe: _Recipe, folder: Path, shown: str) -> None:
    draft = folder.with_name(f"{folder.name}.draft")
    draft.mkdir(exist_ok=True)
    with (draft / IMAGES).open("a+b") as images, (draft / INDEX).open("a+b") as index:
        done = _resume(recipe, images, index)
        _check_space(recipe, draft, done)
        faults = _fill(recipe, images, index, bar(range(done, len(recipe.listing.files)), shown, "images"))
    if faults:
        shutil.rmtree(draft)
        raise _bad_images(faults, recipe.listing.place)
    _publish(recipe, draft, folder)


def _resume(recipe: _Recipe, images: IO[bytes], index: IO[bytes]) -> int:
    """Cut a draft down to what is safely in it, the header at least, and return the number of its images."""
    lines = _good_lines(recipe, index)
    header = _header(recipe)
    images.seek(0)
    fits = images.read(len(header)) == header
    row = 3 * recipe.side**2
    done = min(len(lines), (images.seek(0, os.SEEK_END) - len(header)) // row) if fits else 0
    index.truncate(sum(map(len, lines[:done])))
    images.truncate(len(header) + done * row if fits else 0)
    if not fits:
        images.write(header)
    return done


def _good_lines(recipe: _Recipe, index: IO[bytes]) -> list[bytes]:
    """The lines before the first that is torn, or not that of its image."""
    index.seek(0)
    both = zip(index, _pairs(recipe.listing), strict=False)
    return [line for line, _ in itertools.takewhile(lambda pair: _is_entry(*pair), both)]


def _is_entry(line: bytes, of: tuple[str, str]) -> bool:
    try:
        return line.endswith(b"\n") and ImageEntry(*json.loads(line))[:2] == of
    except (ValueError, TypeError):
        return False


def _header(recipe: _Recipe) -> bytes:
    file = io.BytesIO()
    shape = (len(recipe.listing.files), recipe.side, recipe.side, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _check_space(recipe: _Recipe, draft: Path, done: int) -> None:
    needed = (len(recipe.listing.files) - done) * (3 * recipe.side**2 + 300)  # 300: a line of the index
    free = shutil.disk_usage(draft).free
    if needed > free:
        raise UserError(
            f"'{draft.parent}' has {free / 1e9:.2f} GB left, where the images of '{recipe.listing.place}' take "
            f"{needed / 1e9:.2f} GB at {recipe.side} pixels: make room, or set DA_BENCH_CACHE to another folder"
        )


def _fill(recipe: _Recipe, images: IO[bytes], index: IO[bytes], rows: Iterable[int]) -> list[str]:
    """Append the images of `rows`; what is wrong with the bad ones, after the first of which nothing is written."""
    faults: list[str] = []
    lines: list[bytes] = []
    with strict_pillow(), ThreadPoolExecutor(WORKERS) as pool:  # Pillow lets other threads run while it decodes
        for made in _in_order(pool, lambda row: _attempt(recipe, row), rows):
            if isinstance(made, str):
                faults.append(made)
            elif not faults:
                images.write(made[0].data)
                lines.append(json.dumps(made[1]).encode() + b"\n")
            if len(lines) == SAVE_EVERY:
                _save(images, index, lines)
    _save(images, index, lines)
    return faults


def _in_order(pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """`work` of every item, in their order, with a few in the making at a time: results never pile up."""
    pending: deque[Future[B]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > 2 * WORKERS:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _attempt(recipe: _Recipe, row: int) -> tuple[np.ndarray, ImageEntry] | str:
    try:
        return _decoded(recipe, row)
    except UserError as error:
        return str(error)


def _decoded(recipe: _Recipe, row: int) -> tuple[np.ndarray, ImageEntry]:
    file, label = recipe.listing.files[row], recipe.listing.labels[row]
    path = recipe.listing.place / file
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


def _bad_images(faults: list[str], place: Path) -> UserError:
    if len(faults) == 1:
        return UserError(faults[0])
    more = [f"... and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return UserError("\n  ".join([f"{len(faults)} images of '{place}' cannot be used:", *faults[:SHOWN], *more]))


def _publish(recipe: _Recipe, draft: Path, folder: Path) -> None:
    entries = _read_index(draft / INDEX)
    summary = {
        "digest": _digest(_mapped(draft / IMAGES, (len(entries), recipe.side, recipe.side, 3)), *_labels(entries)),
        "index": hashlib.sha256((draft / INDEX).read_bytes()).hexdigest(),
        "count": len(entries),
        "side": recipe.side,
        "how": recipe.how,
        "decoder": _decoder(),
    }
    (draft / SUMMARY).write_text(json.dumps(summary, indent=2), encoding="utf-8")
    publish_folder(draft, folder)


def _decoder() -> dict[str, Any]:
    import PIL
    from PIL import features

    codecs = {name: features.version(name) for name in ("libjpeg_turbo", "jpg", "zlib", "webp", "libtiff")}
    return {"pillow": PIL.__version__, **codecs, "filter": "bilinear", "exif_orientation": "ignored", "rules": RULES}


def open_cached(folder: Path) -> CachedImages:
    """A pack that was prepared before: its sizes and its index are checked here, its images by `verify`.

    Raises:
        UserError: a file of it is missing, damaged or of another size than the others say.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        digest, side, index = summary["digest"], summary["side"], summary["index"]
        if hashlib.sha256((folder / INDEX).read_bytes()).hexdigest() != index:
            raise ValueError(f"{INDEX} is not the one that {SUMMARY} was written for")
        entries = _read_index(folder / INDEX)
        images = _mapped(folder / IMAGES, (len(entries), side, side, 3))
    except (OSError, EOFError, SyntaxError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from None
    return CachedImages(images, *_labels(entries), digest, entries)


def _mapped(path: Path, shape: tuple[int, ...]) -> np.memmap:
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


def verify(pack: CachedImages) -> None:
    """Hold the images, labels and classes against the digest that was made with them; reads every byte.

    Raises:
        UserError: they are not what was prepared.
    """
    if _digest(pack.images, pack.labels, pack.classes) != pack.digest:
        raise _damaged(Path(str(pack.images.filename)).parent, "the images are not those that were prepared")


def _digest(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps([images.shape, classes]).encode())
    digest.update(labels.astype("<i4").tobytes())
    for row in range(0, len(images), SAVE_EVERY):
        digest.update(np.ascontiguousarray(images[row : row + SAVE_EVERY]).data)
    return digest.hexdigest()


def _damaged(folder: Path, fault: str) -> UserError:
    return UserError(f"the pack '{folder}' is damaged ({fault}): delete that folder, and it is made anew")
