"""Images become inputs as Pillow and torchvision would have it, each image's augmentation its own."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from da_bench.core.config import UserError, as_dict
from da_bench.data.transforms import View, crop_box, evaluation_input, resized_crops, taps, training_input

GREY = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}  # the network's input is the grey level itself
KEY = jax.random.key(0)


def images(rng, n=5, side=24):
    return rng.integers(0, 256, (n, side, side, 3)).astype(np.uint8)


def boxes(view, n, side):
    return np.asarray(jax.jit(jax.vmap(lambda key: crop_box(view, key, side)))(jax.random.split(KEY, n)))


def test_the_stored_square_is_the_customs():
    assert [View(pixels=pixels).stored_side for pixels in (224, 64, 28)] == [256, 73, 32]


def test_a_view_is_one_static_value():
    view = View(pixels=64)
    assert jax.tree.leaves(view) == []
    assert hash(view) == hash(View(pixels=64))
    assert View(**as_dict(view)) == view


def test_evaluation_sees_the_normalised_central_square(rng):
    stored = images(rng, side=256)
    seen = evaluation_input(View(), stored)
    assert seen.shape == (5, 224, 224, 3)
    assert seen.dtype == jnp.float32
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # torchvision's for ImageNet
    np.testing.assert_allclose(seen, (stored[:, 16:240, 16:240] / 255 - mean) / std, atol=2e-6)


def test_one_pixel_by_hand():
    """(200 / 255 - 0.5) / 0.25 = 1.13725490..."""
    view = View(pixels=1, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert evaluation_input(view, np.full((1, 1, 1, 3), 200, np.uint8))[0, 0, 0, 0] == pytest.approx(
        1.1372549, rel=1e-6
    )


def test_without_a_view_grey_levels_are_scaled_and_numbers_left_alone(rng):
    stored = images(rng)
    for seen in (evaluation_input(None, stored), training_input(None, KEY, np.arange(5), stored)):
        np.testing.assert_array_equal(seen, stored.astype(np.float32) / 255)
    values = rng.normal(size=(5, 3)).astype(np.float32)
    for seen in (evaluation_input(None, values), training_input(None, KEY, np.arange(5), values)):
        np.testing.assert_array_equal(seen, values)


def test_no_augmentation_is_what_evaluation_sees(rng):
    view, stored = View(pixels=21, augment="none"), images(rng)
    np.testing.assert_array_equal(training_input(view, KEY, np.arange(5), stored), evaluation_input(view, stored))


def test_flips_are_left_to_right_and_half_of_them(rng):
    view, stored = View(pixels=20, augment="flip", **GREY), np.repeat(images(rng, n=1), 1000, axis=0)
    seen = np.asarray(training_input(view, KEY, np.arange(1000), stored))
    central = np.asarray(evaluation_input(view, stored[:1]))[0]
    straight, mirrored = ((seen == one).all(axis=(1, 2, 3)) for one in (central, central[:, ::-1]))
    assert (straight ^ mirrored).all()
    assert abs(mirrored.mean() - 0.5) < 4 * math.sqrt(0.25 / 1000)


def test_the_whole_image_as_crop_is_the_image(rng):
    """Area 1 and ratio 1 leave one crop, and at its own size bilinear sampling is the identity."""
    view, stored = View(pixels=24, augment="crop", area=(1.0, 1.0), ratio=(1.0, 1.0), **GREY), images(rng)
    np.testing.assert_allclose(training_input(view, KEY, np.arange(5), stored), stored, atol=1e-4)


@pytest.mark.parametrize(("side", "pixels"), [(32, 28), (40, 40), (60, 20)])
def test_crops_equal_pillows(rng, side, pixels):
    """Crop, then Image.resize, whose sums are rounded to whole grey levels after each of its two passes."""
    stored, where = images(rng, n=40, side=side), boxes(View(), 40, side)
    flips = np.arange(40) % 2 == 1
    ours = resized_crops(pixels, where, flips, stored)
    for one, image, (top, left, height, width), flip in zip(ours, stored, where, flips, strict=True):
        crop = Image.fromarray(image).crop((left, top, left + width, top + height))
        theirs = np.asarray(crop.resize((pixels, pixels), Image.Resampling.BILINEAR), float)
        np.testing.assert_allclose(one, theirs[:, ::-1] if flip else theirs, atol=1.01)


def test_two_taps_by_hand():
    """Two pixels stretched to four: the outer samples lie beyond the first and the last centre, and repeat them."""
    places, weights = taps(jnp.asarray(3), jnp.asarray(2), 4, 4)
    dense = np.zeros((4, 6))
    for folder, weight in zip(places, weights, strict=True):
        dense[np.arange(4), folder] += weight
    np.testing.assert_allclose(dense[:, 3:5], [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])


def test_boxes_are_drawn_as_torchvision_draws_them():
    """Shares and ratios within their ranges, up to whole pixels; every box fits; moments of another sampler."""
    where = boxes(View(), 10_000, 256)
    top, left, height, width = where.T
    assert (where >= 0).all()
    assert (top + height).max() <= 256
    assert (left + width).max() <= 256
    shares, ratios = height * width / 256**2, width / height
    assert shares.min() > 0.079
    assert ratios.min() > 0.73
    assert ratios.max() < 1.36
    for ours, theirs in zip((shares, np.log(ratios), top / 256), _torchvision(10_000, 256), strict=True):
        error = math.sqrt(ours.var() / 10_000 + theirs.var() / 10_000)
        assert abs(ours.mean() - theirs.mean()) < 4 * error
        assert ours.std() == pytest.approx(theirs.std(), rel=0.05)


def _torchvision(n, side):
    """RandomResizedCrop.get_params, line by line, in numpy: shares of the image, log ratios, tops."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(n):
        for _ in range(10):
            area = side * side * rng.uniform(0.08, 1.0)
            ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= side and 0 < height <= side:
                break
        else:
            width = height = side
        found.append((width * height / side**2, math.log(width / height), rng.integers(side - height + 1) / side))
    return np.array(found).T


def test_a_crop_that_never_fits_is_the_whole_image():
    view = View(area=(1.0, 1.0), ratio=(1 / 4, 4.0))
    whole = (boxes(view, 200, 30) == [0, 0, 30, 30]).all(axis=1)
    assert whole.all()  # ratios other than 1 of the full area stick out


@pytest.mark.parametrize("augment", ["flip", "crop", "crop_flip"])
def test_an_images_augmentation_is_its_own(rng, augment):
    """Alone, in a batch, in another order, compiled or not."""
    view, stored = View(pixels=20, augment=augment), images(rng, n=12)
    rows = np.array([7, 3, 11, 0, 5, 9, 100, 2, 1, 4, 6, 8])
    together = np.asarray(training_input(view, KEY, rows, stored))
    turned = training_input(view, KEY, rows[::-1], stored[::-1])
    np.testing.assert_allclose(turned[::-1], together, atol=1e-5)
    compiled = jax.jit(training_input)(view, KEY, rows, stored)
    np.testing.assert_allclose(compiled, together, atol=1e-5)
    for i in range(12):
        alone = training_input(view, KEY, rows[i : i + 1], stored[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)
    assert not np.allclose(training_input(view, jax.random.key(1), rows, stored), together)
    same = np.repeat(stored[:1], 12, axis=0)
    assert len({one.tobytes() for one in np.asarray(training_input(view, KEY, rows, same))}) > 1


@pytest.mark.parametrize("augment", ["none", "flip", "crop", "crop_flip"])
def test_inputs_are_single_precision_whatever_the_run_is(rng, augment, x64):
    assert training_input(View(pixels=20, augment=augment), KEY, np.arange(5), images(rng)).dtype == jnp.float32


def test_no_key_is_used_twice(rng):
    with jax.debug_key_reuse(True):
        jax.jit(training_input)(View(pixels=20), KEY, np.arange(5), images(rng))


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (np.zeros((2, 24, 24, 3), np.float32), "float32"),
        (np.zeros((2, 24, 24, 1), np.uint8), r"\[2, 24, 24, 1\]"),
        (np.zeros((2, 24, 20, 3), np.uint8), "square"),
        (np.zeros((2, 5), np.uint8), "leave View out"),
        (np.zeros((2, 16, 16, 3), np.uint8), r"View\.pixels = 20 is more than the side of the images, 16"),
    ],
)
@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_inputs_that_are_no_such_images_are_refused(stored, says, augment):
    view = View(pixels=20, augment=augment)
    with pytest.raises(UserError, match=says):
        evaluation_input(view, stored)
    with pytest.raises(UserError, match=says):
        training_input(view, KEY, np.arange(2), stored)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixels": 0},
        {"augment": "rotate"},
        {"std": (0.2, 0.0, 0.2)},
        {"mean": (0.5, 0.5)},
        {"area": (0.5, 0.1)},
        {"area": (0.0, 1.0)},
        {"area": (0.5, 1.5)},
        {"ratio": (1.5, 2.0)},
    ],
)
def test_wrong_settings_are_refused_by_name(wrong):
    with pytest.raises(UserError, match=rf"View\.{next(iter(wrong))}"):
        View(**wrong)


def test_another_view_is_another_value():
    assert dataclasses.replace(View(), augment="none") != View()
