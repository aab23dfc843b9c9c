from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from da_bench.core.config import UserError
from da_bench.data import typefaces
from da_bench.data.typefaces import FACES, RANGES, _embolden, _fill, _pose, glyph, render


def test_new_random_parameter_does_not_change_the_others(monkeypatch):
    before = render(np.arange(10), "test")
    monkeypatch.setattr(typefaces, "RANGES", {"new": (0.0, 1.0), **RANGES})
    np.testing.assert_array_equal(render(np.arange(10), "test"), before)


def square(low, high):
    return np.array([[low, low, high, high]], float), np.array([[low, high, high, low]], float)


def test_fill_counts_the_pixels_whose_centres_are_inside():
    # On the page (y down) the corners run (4, 12), (4, 4), (12, 4), (12, 12): clockwise, with ink on the right.
    x, y = square(4, 12)
    following = np.array([1, 2, 3, 0])
    expected = np.zeros((32, 32), bool)
    expected[4:12, 4:12] = True
    np.testing.assert_array_equal(_fill(x, 16 - y, following), expected[None])
    assert _fill(x + 0.6, 16 - y, following).sum() == 64
    assert _fill(x - 8, 16 - y, following).sum() == 4 * 8  # half of it is off the page
    assert _fill(x[:, ::-1], 16 - y[:, ::-1], following).sum() == 0  # anticlockwise: a hole in nothing


def test_emboldened_square_grows_on_every_side():
    x, y = square(4, 12)
    following = np.array([1, 2, 3, 0])
    wide, high = _embolden(x, y, following, np.array([[1.5]]))
    np.testing.assert_allclose(wide, square(2.5, 13.5)[0])
    np.testing.assert_allclose(high, square(2.5, 13.5)[1])


def test_full_height_upright_digit_fills_the_height_as_optdigits_does():
    style = {"rotation": 0, "shear": 0, "height": 32, "stretch": 1, "across": 0, "down": 0, "weight": 1}
    ink = _fill(*_pose(glyph("DejaVuSans", 0), {key: np.array([float(value)]) for key, value in style.items()}))[0]
    assert ink[0].any()
    assert ink[31].any()
    assert not ink[16, 16]  # the hole in the zero
    np.testing.assert_array_equal(ink, ink[:, ::-1])


@pytest.mark.parametrize("face", FACES)
def test_outlines_match_freetype(face):
    import matplotlib

    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")), 300)
    upright = {"rotation": 0, "shear": 0, "height": 32, "stretch": 1, "across": 0, "down": 0, "weight": 0}
    for digit in range(10):
        page = Image.new("L", (600, 600))
        ImageDraw.Draw(page).text((150, 100), str(digit), font=font, fill=255)
        cropped = page.crop(page.getbbox())
        style = {key: np.array([float(value)]) for key, value in upright.items()}
        rendered = _fill(*_pose(glyph(face, digit), style))[0]
        box = (cropped.width / 2 - cropped.height / 2, 0, cropped.width / 2 + cropped.height / 2, cropped.height)
        reference = np.asarray(cropped.transform((32, 32), Image.Transform.EXTENT, box)) > 127
        assert np.abs(rendered.sum() - reference.sum()) < 32
        assert (rendered & reference).sum() / (rendered | reference).sum() > 0.8, (face, digit)


def test_faces_are_all_different():
    shapes = {glyph(face, digit).corners.tobytes() for face in FACES for digit in range(10)}
    assert len(shapes) == 10 * len(FACES) == 200


def test_missing_typeface_is_named():
    with pytest.raises(UserError, match=r"NoSuchFace.ttf' is missing; install matplotlib"):
        glyph("NoSuchFace", 0)
