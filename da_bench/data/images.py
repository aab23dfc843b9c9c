"""One way to read an image and one way to resize it, so that equal files give equal pixels wherever they are read.

The rule to RGB, 8 bits: a palette is looked up; grey fills the three channels; what is transparent shows white paper
(torchvision's loader drops the alpha channel, and so shows colours that nobody was meant to see); CMYK is
(255 - c)(255 - k) / 255 and so on, no colour profile is applied; 16-bit grey is divided by 257, 16-bit colour keeps its
high byte. EXIF orientation is ignored, as by torchvision's loader, with which the published numbers were made.

A decoder notices a flipped bit in a PNG, whose checksums are compared here, and hardly ever one in a JPEG: that is what
the SHA-256 of every file in a pack is for.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from da_bench.core.config import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

ResizeMode = Literal["squash", "centre"]
RESIZE_MODES: tuple[str, ...] = get_args(ResizeMode)
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
MAX_PIXELS = 89_478_485  # Pillow's MAX_IMAGE_PIXELS, which it only warns of, and which others may have lifted
MAX_SIDE = 65_500  # the most that a JPEG holds; narrow images beyond it would take gigabytes to resize
MAX_BYTES = 8 * MAX_PIXELS  # 16-bit RGBA, not compressed
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB")
GREY_16_BITS = ("I;16", "I;16L", "I;16B", "I;16N")


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Pillow as it is meant here, whatever this process has made of it: truncated files and warnings are errors.

    Two warnings are not, as they say nothing of the pixels: damaged EXIF, and a damaged index of further images.
    Both are settings of the whole process: enter it once, around all the threads that decode.
    """
    from PIL import ImageFile

    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", module=r"PIL\.")
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.(TiffImagePlugin|JpegImagePlugin)")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def decode(path: Path) -> "Image":
    """The image of a file, in RGB.

    What counts is the content: a PNG named .jpg is read as the PNG that it is.

    Raises:
        UserError: unreadable, empty, truncated, no image of a known format, of several frames, or too large.
    """
    with strict_pillow():
        return decode_bytes(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The content of an image's file.

    Raises:
        UserError: unreadable, empty or too large for an image.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _refused(path, f"it holds more than {MAX_BYTES:,} bytes", "make it smaller, or remove it")
        content = path.read_bytes()
    except OSError as error:
        raise _refused(path, error.strerror or str(error), "make it readable, or remove it") from None
    if not content:
        raise _refused(path, "it is empty")
    return content


def decode_bytes(content: bytes, path: Path) -> "Image":
    """The image that `content` encodes, in RGB; `path` is for messages. To be called within `strict_pillow`.

    Raises:
        UserError: as `decode`.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_header(image, path)
            if image.format == "PNG":
                Image.open(io.BytesIO(content), formats=["PNG"]).verify()  # its checksums, which decoding skips
            image.load()
            return _to_rgb(image, path)
    except UserError:
        raise
    except Image.UnidentifiedImageError:
        raise _refused(path, f"it is no image of a known format ({', '.join(FORMATS)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _gigantic(path) from None
    except Exception as error:  # damaged files make Pillow's parsers raise nearly anything
        raise _refused(path, f"it is truncated or damaged ({error or type(error).__name__})") from None


def _check_header(image: "Image", path: Path) -> None:
    if max(image.size) > MAX_SIDE or image.width * image.height > MAX_PIXELS:
        raise _gigantic(path)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a photograph with its preview, of which every viewer shows the first
        raise _refused(
            path, f"it is animated, or has several pages ({frames} frames)", "save one of them, or remove it"
        )


def _to_rgb(image: "Image", path: Path) -> "Image":
    from PIL import Image

    if image.mode in GREY_16_BITS and "transparency" not in image.info:
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    if image.mode not in MODES:
        raise _refused(path, f"its pixels are of kind '{image.mode}', without a known range", "save it as 8-bit RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def _gigantic(path: Path) -> UserError:
    fault = f"it declares more than {MAX_PIXELS:,} pixels, or a side of more than {MAX_SIDE:,}"
    return _refused(path, fault, "make it smaller, or remove it")


def _refused(path: Path, fault: str, remedy: str = "put a good copy in its place, or remove it") -> UserError:
    return UserError(f"cannot use the image '{path}': {fault}; {remedy}")


def resize(image: "Image", side: int, how: ResizeMode) -> np.ndarray:
    """An image as uint8 [side, side, 3], by Pillow's antialiased bilinear filter, in one step.

    "squash": the whole image, straight to the square, as the code of most papers does. "centre": its central square,
    from edge to edge of the shorter side.
    """
    from PIL.Image import Resampling

    box = (0.0, 0.0, float(image.width), float(image.height)) if how == "squash" else _central_square(image)
    return np.asarray(image.resize((side, side), Resampling.BILINEAR, box))


def _central_square(image: "Image") -> tuple[float, float, float, float]:
    short = min(image.size)
    left, top = (image.width - short) / 2, (image.height - short) / 2
    return left, top, left + short, top + short


def dhash(image: "Image") -> int:
    """The 64-bit difference hash: of 8 x 9 grey pixels, row by row, whether each is brighter than its left neighbour.

    Equal images have equal hashes; near duplicates (resized, recompressed) differ in a few bits.
    """
    from PIL.Image import Resampling

    grey = np.asarray(image.convert("L").resize((9, 8), Resampling.BILINEAR))
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes())
