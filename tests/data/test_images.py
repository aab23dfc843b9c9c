import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from da_bench.core.config import UserError
from da_bench.data.images import decode, decode_bytes, dhash, resize, strict_pillow
from tests.helpers import corpus
from tests.helpers.corpus import BLUE, GREEN, RED, WHITE, write


@pytest.mark.parametrize("name", corpus.FLAT)
def test_single_colour_images_are_decoded(tmp_path, name):
    content, colour = corpus.FLAT[name]
    image = decode(write(tmp_path / name, content))
    assert image.mode == "RGB"
    tolerance = 1 if name.endswith(".jpg") else 0
    assert np.abs(np.asarray(image).reshape(-1, 3) - np.int32(colour)).max() <= tolerance


@pytest.mark.parametrize("name", corpus.BAD)
def test_bad_image_is_refused_in_one_message(tmp_path, name):
    content, fault = corpus.BAD[name]
    with pytest.raises(UserError, match=rf"cannot use the image '.*{name}': .*{fault}.*; .+"):
        decode(write(tmp_path / name, content))


def test_corpus_image_with_a_bad_checksum_differs_in_one_byte():
    board = corpus.checkerboard()
    assert sum(a != b for a, b in zip(board, corpus.BAD["flipped_checksum.png"][0], strict=True)) == 1


@pytest.mark.parametrize("side", [30_000, 9_500], ids=["Pillow refuses", "Pillow only warns"])
def test_gigantic_image_is_refused_from_its_header(tmp_path, side, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    path = write(tmp_path / "bomb.png", corpus.bomb(side))
    assert path.stat().st_size < 115_000
    with pytest.raises(UserError, match=r"bomb\.png': it declares more than 89,478,485 pixels"):
        decode(path)


def test_pixel_limit_does_not_depend_on_that_of_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UserError, match="89,478,485"):
        decode(write(tmp_path / "bomb.png", corpus.bomb(9_500)))


def test_oversized_file_is_refused_unread(tmp_path):
    with (tmp_path / "long.bmp").open("wb") as file:
        file.truncate(2**40)  # a sparse file, which takes no space
    with pytest.raises(UserError, match=r"long\.bmp': it holds more than 715,827,880 bytes"):
        decode(tmp_path / "long.bmp")


@pytest.mark.parametrize("name", corpus.FORMATS)
@pytest.mark.parametrize("percent", [90, 50, 10, 2])
def test_truncated_image_is_refused(tmp_path, name, percent, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # some libraries set this for the entire process
    content = corpus.encode(corpus.photo(), **corpus.FORMATS[name])
    path = write(tmp_path / name, content)
    assert decode(path).size == (64, 48)
    write(path, content[: len(content) * percent // 100])
    with pytest.raises(UserError, match=rf"{name}'"):
        decode(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("name", corpus.FORMATS)
def test_flipped_bits_give_an_error_or_an_image(tmp_path, name, rng):
    content = corpus.encode(corpus.photo(), **corpus.FORMATS[name])
    intact = np.asarray(decode(write(tmp_path / name, content)))
    for at in rng.integers(0, len(content), 100):
        flipped = content[:at] + bytes([content[at] ^ 1 << rng.integers(8)]) + content[at + 1 :]
        try:
            with strict_pillow():
                image = decode_bytes(flipped, tmp_path / name)
        except UserError as error:
            assert name in str(error)  # noqa: PT017
            continue
        assert image.mode == "RGB"
        if name.endswith(".png"):  # checksums detect all but flips in the last, empty chunk
            np.testing.assert_array_equal(image, intact)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg': No such file or directory; make it readable"):
        decode(tmp_path / "gone.jpg")
    with pytest.raises(UserError, match="Is a directory"):
        decode(tmp_path)


def test_exif_orientation_is_ignored(tmp_path):
    image = corpus.photo()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    decoded = decode(write(tmp_path / "turned.jpg", corpus.encode(image, format="JPEG", exif=exif)))
    assert decoded.size == image.size


def test_warning_filters_are_restored(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(write(tmp_path / "broken_exif.jpg", corpus.FLAT["broken_exif.jpg"][0]))
        filters = list(warnings.filters)
        with pytest.raises(UserError):
            decode(tmp_path / "gone.jpg")
        assert warnings.filters == filters
    assert not caught


@pytest.fixture
def board(tmp_path):
    return decode(write(tmp_path / "board.png", corpus.checkerboard()))


def test_pixels_are_in_row_major_order(board):
    np.testing.assert_array_equal(board, [[RED, GREEN], [BLUE, WHITE]])


@pytest.mark.parametrize("how", ["squash", "centre"])
def test_resized_checkerboard_has_known_values(board, how):
    assert resize(board, 2, how).dtype == np.uint8
    np.testing.assert_array_equal(resize(board, 2, how), [[RED, GREEN], [BLUE, WHITE]])
    np.testing.assert_array_equal(
        resize(board, 1, how), [[[128, 128, 128]]]
    )  # in each channel two of four pixels are bright
    # At twice the size, pixel centres are at -1/4, 1/4, 3/4, 5/4 of the way from the first pixel to the second, which
    # gives weights 1, 3/4, 1/4, 0 of the first.
    np.testing.assert_array_equal(resize(board, 4, how)[0, :, 0], [255, 191, 64, 0])
    np.testing.assert_array_equal(resize(board, 4, how)[:, 0, 2], [0, 64, 191, 255])


def stripes():
    """Return 4 x 2 pixels: one red, two green and one blue column."""
    return Image.fromarray(np.uint8([[RED, GREEN, GREEN, BLUE]] * 2))


def test_squash_keeps_the_sides_and_centre_crops_them():
    np.testing.assert_array_equal(resize(stripes(), 2, "centre"), [[GREEN, GREEN]] * 2)
    np.testing.assert_array_equal(resize(stripes().rotate(90, expand=True), 2, "centre"), [[GREEN, GREEN]] * 2)
    squashed = resize(stripes(), 2, "squash")
    assert squashed[0, 0, 0] > 0  # some of the red column
    assert squashed[0, 1, 2] > 0  # some of the blue column


@pytest.mark.parametrize("how", ["squash", "centre"])
@pytest.mark.parametrize("size", [(1, 1), (300, 7), (7, 300)])
def test_flat_images_stay_flat(size, how):
    np.testing.assert_array_equal(resize(Image.new("RGB", size, (1, 2, 3)), 5, how), np.full((5, 5, 3), (1, 2, 3)))


def test_centre_is_a_plain_crop_at_equal_size():
    image = corpus.photo(height=48, width=64)
    np.testing.assert_array_equal(resize(image, 48, "centre"), np.asarray(image)[:, 8:56])


def test_difference_hash_of_known_images():
    rising = np.repeat(np.uint8([[0, 20, 40, 60, 80, 100, 120, 140, 160]]), 8, axis=0)
    assert dhash(Image.fromarray(rising)) == 2**64 - 1
    assert dhash(Image.fromarray(rising[:, ::-1])) == 0
    rising[1:] = 0  # eight rises, in the first row only: the highest byte
    assert dhash(Image.fromarray(rising)) == 0xFF << 56
    rising[0, 1:] = 20  # only the first of the eight
    assert dhash(Image.fromarray(rising)) == 1 << 63


def test_only_near_duplicates_have_similar_hashes(tmp_path):
    image = corpus.photo(96, 128).resize((640, 480), Image.Resampling.BICUBIC)
    again = decode(write(tmp_path / "again.jpg", corpus.encode(image.resize((320, 240)), format="JPEG", quality=80)))
    assert (dhash(image) ^ dhash(again)).bit_count() <= 4
    assert (dhash(image) ^ dhash(image.rotate(180))).bit_count() > 16
