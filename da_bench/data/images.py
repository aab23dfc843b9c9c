"""One way to decode an image and one way to resize it, so that equal files give equal pixels on every machine.

Everything becomes 8-bit RGB. A palette is looked up; grey fills the three channels; transparent parts show white paper
(torchvision's loader drops the alpha channel and so shows colours that nobody was meant to see); CMYK becomes
(255 - c)(255 - k) / 255 and so on, without a colour profile; 16-bit grey is divided by 257, and 16-bit colour keeps its
high byte. EXIF orientation is ignored, as in torchvision's loader, with which the published numbers were obtained.

A decoder notices a flipped bit in a PNG, whose checksums are compared here, but hardly ever in a JPEG. Therefore the
image cache stores the SHA-256 of every file.
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
MAX_PIXELS = 89_478_485  # Pillow's MAX_IMAGE_PIXELS; Pillow only warns above it, and other code may raise it
MAX_SIDE = 65_500  # the most that a JPEG holds; narrow images beyond it would take gigabytes to resize
MAX_BYTES = 8 * MAX_PIXELS  # 16-bit RGBA, not compressed
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB")
GREY_16_BITS = ("I;16", "I;16L", "I;16B", "I;16N")


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Turn truncated files and Pillow's warnings into errors inside the block, whatever the process has configured.

    Two warnings are ignored, because they say nothing about the pixels: damaged EXIF, and a damaged index of further
    images. Both settings apply to the entire process: enter the block once, around all decoding threads.
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
    """Decode an image file to RGB. Its content decides: a PNG named .jpg is decoded as a PNG.

    Raises:
        UserError: the file is unreadable, empty, truncated, too large, of several frames, or of an unknown format.
    """
    with strict_pillow():
        return decode_bytes(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Read an image file.

    Raises:
        UserError: the file is unreadable, empty or too large for an image.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _refuse(path, f"it holds more than {MAX_BYTES:,} bytes", "make it smaller, or remove it")
        content = path.read_bytes()
    except OSError as error:
        raise _refuse(path, error.strerror or str(error), "make it readable, or remove it") from None
    if not content:
        raise _refuse(path, "it is empty")
    return content


def decode_bytes(content: bytes, path: Path) -> "Image":
    """Decode the content of an image file to RGB. Call it inside `strict_pillow`.

    Args:
        content: the file's bytes.
        path: name of the file in error messages.

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
        raise _refuse(path, f"it is not an image of a known format ({', '.join(FORMATS)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path) from None
    except Exception as error:  # on damaged files, Pillow's parsers raise nearly anything
        raise _refuse(path, f"it is truncated or damaged ({error or type(error).__name__})") from None


def _check_header(image: "Image", path: Path) -> None:
    if max(image.size) > MAX_SIDE or image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO: a photograph with its preview; every viewer shows the first
        fault = f"it is animated, or has several pages ({frames} frames)"
        raise _refuse(path, fault, "save one of them, or remove it")


def _to_rgb(image: "Image", path: Path) -> "Image":
    from PIL import Image

    if image.mode in GREY_16_BITS and "transparency" not in image.info:
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    if image.mode not in MODES:
        raise _refuse(path, f"its pixels are of kind '{image.mode}', without a known range", "save it as 8-bit RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    transparent = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", transparent.size, "white"), transparent).convert("RGB")


def _too_large(path: Path) -> UserError:
    fault = f"it declares more than {MAX_PIXELS:,} pixels, or a side of more than {MAX_SIDE:,}"
    return _refuse(path, fault, "make it smaller, or remove it")


def _refuse(path: Path, fault: str, remedy: str = "replace it with a good copy, or remove it") -> UserError:
    return UserError(f"cannot use the image '{path}': {fault}; {remedy}")


def resize(image: "Image", side: int, how: ResizeMode) -> np.ndarray:
    """Resize an image to a square by Pillow's antialiased bilinear filter, in one step.

    Args:
        image: RGB image of any shape.
        side: side of the square, in pixels.
        how: "squash": the whole image is stretched to the square, as in the code of most papers. "centre": its central
            square, from edge to edge of the shorter side.

    Returns:
        uint8 [side, side, 3].
    """
    from PIL.Image import Resampling

    box = (0.0, 0.0, float(image.width), float(image.height))
    if how == "centre":
        short = min(image.size)
        left, top = (image.width - short) / 2, (image.height - short) / 2
        box = (left, top, left + short, top + short)
    return np.asarray(image.resize((side, side), Resampling.BILINEAR, box))


def dhash(image: "Image") -> int:
    """Compute the 64-bit difference hash of an image.

    Each bit says whether one of 8 x 9 grey pixels, row by row, is brighter than its left neighbour. Equal images have
    equal hashes; those of near duplicates (resized, recompressed) differ in a few bits.
    """
    from PIL.Image import Resampling

    grey = np.asarray(image.convert("L").resize((9, 8), Resampling.BILINEAR))
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes())
