"""Image files as bytes: some with known pixels, and one for each way in which a file can be wrong."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
GREY, GREY_ALPHA, COLOUR, PALETTE, COLOUR_ALPHA = 0, 4, 2, 3, 6  # colour types of PNG


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(size, bits, colour, rows, *more):
    """Encode a PNG by its specification; `rows`: unfiltered bytes of each row; `more`: chunks before the pixels."""
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0)
    packer = zlib.compressobj(9)
    pixels = b"".join([*(packer.compress(b"\0" + row) for row in rows), packer.flush()])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def checkerboard():
    """Encode four pixels: red and green above, blue and white below."""
    return png((2, 2), 8, COLOUR, [bytes(RED + GREEN), bytes(BLUE + WHITE)])


def bomb(side):
    """Encode a black image with one bit per pixel."""
    row = bytes((side + 7) // 8)
    return png((side, side), 1, GREY, (row for _ in range(side)))


def encode(images, **options):
    """Encode an image, or a list of frames, with Pillow."""
    first, *others = images if isinstance(images, list) else [images]
    file = io.BytesIO()
    first.save(file, **options, **({"save_all": True, "append_images": others} if others else {}))
    return file.getvalue()


def flat(mode, colour, size=(8, 8)):
    return Image.new(mode, size, colour)


def photo(height=48, width=64, seed=0):
    """Return a smooth image with some noise, so that every format has something to encode."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], -1)
    return Image.fromarray((smooth // 2 + np.random.default_rng(seed).integers(0, 64, smooth.shape)).astype(np.uint8))


FRAMES = [flat("RGB", RED), flat("RGB", BLUE)]
PALETTE_OF_TWO = chunk(b"PLTE", bytes(RED + GREEN))

# file name: (content, its only colour)
FLAT = {
    "rgb.png": (png((1, 1), 8, COLOUR, [bytes((1, 2, 3))]), (1, 2, 3)),
    "named_jpg_but_png.jpg": (png((1, 1), 8, COLOUR, [bytes((1, 2, 3))]), (1, 2, 3)),
    "one_bit.png": (png((1, 1), 1, GREY, [b"\x80"]), WHITE),
    "grey.png": (png((1, 1), 8, GREY, [b"\x4d"]), (77, 77, 77)),
    "grey_16_bits.png": (png((1, 1), 16, GREY, [struct.pack(">H", 77 * 257)]), (77, 77, 77)),
    "grey_16_bits_white.png": (png((1, 1), 16, GREY, [b"\xff\xff"]), WHITE),
    "grey_16_bits_rounded.png": (png((1, 1), 16, GREY, [struct.pack(">H", 77 * 257 + 129)]), (78, 78, 78)),
    "grey_16_bits.tif": (encode(Image.fromarray(np.full((1, 1), 77 * 257, np.uint16)), format="TIFF"), (77, 77, 77)),
    "rgb_16_bits.png": (png((1, 1), 16, COLOUR, [struct.pack(">HHH", 257, 514, 771)]), (1, 2, 3)),
    "grey_seen_half.png": (png((1, 1), 8, GREY_ALPHA, [bytes((0, 51))]), (204, 204, 204)),  # 255 (1 - 51/255)
    "rgba_seen_half.png": (png((1, 1), 8, COLOUR_ALPHA, [bytes((255, 0, 0, 51))]), (255, 204, 204)),
    "rgba_not_seen.png": (png((1, 1), 8, COLOUR_ALPHA, [bytes((9, 9, 9, 0))]), WHITE),
    "palette.png": (png((1, 1), 8, PALETTE, [b"\1"], PALETTE_OF_TWO), GREEN),
    "palette_seen_half.png": (
        png((1, 1), 8, PALETTE, [b"\0"], PALETTE_OF_TWO, chunk(b"tRNS", bytes((51, 255)))),
        (255, 204, 204),
    ),
    "palette_one_not_seen.png": (
        png((1, 1), 8, PALETTE, [b"\1"], PALETTE_OF_TWO, chunk(b"tRNS", bytes((255, 0)))),
        WHITE,
    ),
    "palette_other_not_seen.png": (png((1, 1), 8, PALETTE, [b"\1"], PALETTE_OF_TWO, chunk(b"tRNS", b"\0")), GREEN),
    "a_colour_not_seen.png": (
        png((1, 1), 8, COLOUR, [bytes(RED)], chunk(b"tRNS", struct.pack(">HHH", *RED))),
        WHITE,
    ),
    "cmyk.tif": (encode(flat("CMYK", (255, 0, 0, 0)), format="TIFF"), (0, 255, 255)),
    "cmyk_half_black.tif": (encode(flat("CMYK", (0, 0, 0, 51)), format="TIFF"), (204, 204, 204)),
    "cmyk.jpg": (encode(flat("CMYK", (255, 0, 0, 0)), format="JPEG", quality=100, subsampling=0), (0, 255, 255)),
    "grey.jpg": (encode(flat("L", 77), format="JPEG"), (77, 77, 77)),
    "one_frame.gif": (encode(flat("RGB", RED), format="GIF"), RED),
    "lossless.webp": (encode(flat("RGB", (1, 2, 3)), format="WEBP", lossless=True), (1, 2, 3)),
    "rgb.bmp": (encode(flat("RGB", (1, 2, 3)), format="BMP"), (1, 2, 3)),
    "broken_exif.jpg": (encode(flat("L", 77), format="JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01"), (77, 77, 77)),
    "stereo.jpg": (encode([flat("L", 77), flat("L", 0)], format="MPO"), (77, 77, 77)),
}

# file name: (content, part of the message)
BAD = {
    "empty.jpg": (b"", "it is empty"),
    "text.jpg": (b"Not Found\n", "not an image of a known format"),
    "vector.jpg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image of a known format"),
    "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "not an image of a known format"),
    "animated.gif": (encode(FRAMES, format="GIF"), r"animated.*\(2 frames\)"),
    "animated.png": (encode(FRAMES, format="PNG"), r"animated.*\(2 frames\)"),
    "animated.webp": (encode(FRAMES, format="WEBP"), r"animated.*\(2 frames\)"),
    "pages.tif": (encode(FRAMES, format="TIFF"), r"several pages \(2 frames\)"),
    "thin.png": (png((65_501, 1), 1, GREY, [bytes(8188)]), "a side of more than 65,500"),
    "float.tif": (encode(flat("F", 0.5), format="TIFF"), "of kind 'F', without a known range"),
    "grey_16_bits_one_not_seen.png": (png((1, 1), 16, GREY, [b"\0\1"], chunk(b"tRNS", b"\0\1")), "of kind 'I;16'"),
    "flipped_checksum.png": (checkerboard()[:-14] + b"?" + checkerboard()[-13:], "truncated or damaged"),
}

FORMATS = {
    "baseline.jpg": {"format": "JPEG"},
    "progressive.jpg": {"format": "JPEG", "progressive": True},
    "photo.png": {"format": "PNG"},
    "photo.bmp": {"format": "BMP"},
    "photo.gif": {"format": "GIF"},
    "photo.webp": {"format": "WEBP"},
    "photo.tif": {"format": "TIFF"},
    "photo_lzw.tif": {"format": "TIFF", "compression": "tiff_lzw"},
}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_classes(folder, **counts):
    """folder/<class>/<i>.png: `count` different small images of each class."""
    for name, count in counts.items():
        for i in range(count):
            write(folder / name / f"{i}.png", encode(photo(12, 10, seed=len(name) * 100 + i), format="PNG"))
    return folder
