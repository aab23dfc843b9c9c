"""Inputs match those of Pillow and torchvision; each image has its own augmentation."""

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


def test_stored_side_follows_the_usual_ratio():
    assert [View(pixels=pixels).stored_side for pixels in (224, 64, 28)] == [256, 73, 32]


def test_view_is_a_static_hashable_value():
    view = View(pixels=64)
    assert jax.tree.leaves(view) == []
    assert hash(view) == hash(View(pixels=64))
    assert View(**as_dict(view)) == view


def test_evaluation_input_is_the_normalised_central_square(rng):
    stored = images(rng, side=256)
    inputs = evaluation_input(View(), stored)
    assert inputs.shape == (5, 224, 224, 3)
    assert inputs.dtype == jnp.float32
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # torchvision's for ImageNet
    np.testing.assert_allclose(inputs, (stored[:, 16:240, 16:240] / 255 - mean) / std, atol=2e-6)


def test_evaluation_input_of_a_single_pixel():
    """(200 / 255 - 0.5) / 0.25 = 1.13725490..."""
    view = View(pixels=1, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert evaluation_input(view, np.full((1, 1, 1, 3), 200, np.uint8))[0, 0, 0, 0] == pytest.approx(
        1.1372549, rel=1e-6
    )


def test_without_a_view_only_uint8_is_scaled(rng):
    stored = images(rng)
    for inputs in (evaluation_input(None, stored), training_input(None, KEY, np.arange(5), stored)):
        np.testing.assert_array_equal(inputs, stored.astype(np.float32) / 255)
    values = rng.normal(size=(5, 3)).astype(np.float32)
    for inputs in (evaluation_input(None, values), training_input(None, KEY, np.arange(5), values)):
        np.testing.assert_array_equal(inputs, values)


def test_no_augmentation_equals_evaluation_input(rng):
    view, stored = View(pixels=21, augment="none"), images(rng)
    np.testing.assert_array_equal(training_input(view, KEY, np.arange(5), stored), evaluation_input(view, stored))


def test_half_of_the_images_are_flipped_horizontally(rng):
    view, stored = View(pixels=20, augment="flip", **GREY), np.repeat(images(rng, n=1), 1000, axis=0)
    inputs = np.asarray(training_input(view, KEY, np.arange(1000), stored))
    central = np.asarray(evaluation_input(view, stored[:1]))[0]
    straight, mirrored = ((inputs == image).all(axis=(1, 2, 3)) for image in (central, central[:, ::-1]))
    assert (straight ^ mirrored).all()
    assert abs(mirrored.mean() - 0.5) < 4 * math.sqrt(0.25 / 1000)


def test_full_size_crop_is_the_identity(rng):
    """Area 1 and ratio 1 allow only the full crop, and bilinear sampling at equal size is the identity."""
    view, stored = View(pixels=24, augment="crop", area=(1.0, 1.0), ratio=(1.0, 1.0), **GREY), images(rng)
    np.testing.assert_allclose(training_input(view, KEY, np.arange(5), stored), stored, atol=1e-4)


@pytest.mark.parametrize(("side", "pixels"), [(32, 28), (40, 40), (60, 20)])
def test_resized_crops_match_pillow(rng, side, pixels):
    """Pillow rounds to whole grey levels after each of its two passes, hence the tolerance."""
    stored, box_array = images(rng, n=40, side=side), boxes(View(), 40, side)
    flips = np.arange(40) % 2 == 1
    crops = resized_crops(pixels, box_array, flips, stored)
    for resized, image, (top, left, height, width), flip in zip(crops, stored, box_array, flips, strict=True):
        crop = Image.fromarray(image).crop((left, top, left + width, top + height))
        expected = np.asarray(crop.resize((pixels, pixels), Image.Resampling.BILINEAR), float)
        np.testing.assert_allclose(resized, expected[:, ::-1] if flip else expected, atol=1.01)


def test_taps_when_two_pixels_become_four():
    """The outer samples are beyond the first and the last pixel centre and repeat these pixels."""
    rows, weights = taps(jnp.asarray(3), jnp.asarray(2), 4, 4)
    dense = np.zeros((4, 6))
    for folder, weight in zip(rows, weights, strict=True):
        dense[np.arange(4), folder] += weight
    np.testing.assert_allclose(dense[:, 3:5], [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])


def test_crop_boxes_follow_the_distribution_of_torchvision():
    """Areas and ratios are in range up to rounding, every box fits, and the moments match a reference sampler."""
    box_array = boxes(View(), 10_000, 256)
    top, left, height, width = box_array.T
    assert (box_array >= 0).all()
    assert (top + height).max() <= 256
    assert (left + width).max() <= 256
    shares, ratios = height * width / 256**2, width / height
    assert shares.min() > 0.079
    assert ratios.min() > 0.73
    assert ratios.max() < 1.36
    for values, reference in zip((shares, np.log(ratios), top / 256), _torchvision(10_000, 256), strict=True):
        error = math.sqrt(values.var() / 10_000 + reference.var() / 10_000)
        assert abs(values.mean() - reference.mean()) < 4 * error
        assert values.std() == pytest.approx(reference.std(), rel=0.05)


def _torchvision(n, side):
    """Follow torchvision's RandomResizedCrop.get_params in numpy; return area shares, log ratios and tops."""
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(n):
        for _ in range(10):
            area = side * side * rng.uniform(0.08, 1.0)
            ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= side and 0 < height <= side:
                break
        else:
            width = height = side
        samples.append((width * height / side**2, math.log(width / height), rng.integers(side - height + 1) / side))
    return np.array(samples).T


def test_crop_that_never_fits_is_the_full_image():
    view = View(area=(1.0, 1.0), ratio=(1 / 4, 4.0))
    full_image = (boxes(view, 200, 30) == [0, 0, 30, 30]).all(axis=1)
    assert full_image.all()  # at full area, every ratio other than 1 exceeds the image


@pytest.mark.parametrize("augment", ["flip", "crop", "crop_flip"])
def test_augmentation_does_not_depend_on_the_batch(rng, augment):
    """The result is the same alone, in a batch, in another order, and compiled."""
    view, stored = View(pixels=20, augment=augment), images(rng, n=12)
    rows = np.array([7, 3, 11, 0, 5, 9, 100, 2, 1, 4, 6, 8])
    together = np.asarray(training_input(view, KEY, rows, stored))
    reversed_batch = training_input(view, KEY, rows[::-1], stored[::-1])
    np.testing.assert_allclose(reversed_batch[::-1], together, atol=1e-5)
    compiled = jax.jit(training_input)(view, KEY, rows, stored)
    np.testing.assert_allclose(compiled, together, atol=1e-5)
    for i in range(12):
        alone = training_input(view, KEY, rows[i : i + 1], stored[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)
    assert not np.allclose(training_input(view, jax.random.key(1), rows, stored), together)
    same = np.repeat(stored[:1], 12, axis=0)
    assert len({image.tobytes() for image in np.asarray(training_input(view, KEY, rows, same))}) > 1


@pytest.mark.parametrize("augment", ["none", "flip", "crop", "crop_flip"])
def test_inputs_are_float32_under_x64(rng, augment, x64):
    assert training_input(View(pixels=20, augment=augment), KEY, np.arange(5), images(rng)).dtype == jnp.float32


def test_keys_are_not_reused(rng):
    with jax.debug_key_reuse(True):
        jax.jit(training_input)(View(pixels=20), KEY, np.arange(5), images(rng))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.zeros((2, 24, 24, 3), np.float32), "float32"),
        (np.zeros((2, 24, 24, 1), np.uint8), r"\[2, 24, 24, 1\]"),
        (np.zeros((2, 24, 20, 3), np.uint8), "square"),
        (np.zeros((2, 5), np.uint8), "leave View out"),
        (np.zeros((2, 16, 16, 3), np.uint8), r"View\.pixels = 20 is more than the side of the images, 16"),
    ],
)
@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_invalid_images_are_refused(stored, message, augment):
    view = View(pixels=20, augment=augment)
    with pytest.raises(UserError, match=message):
        evaluation_input(view, stored)
    with pytest.raises(UserError, match=message):
        training_input(view, KEY, np.arange(2), stored)


@pytest.mark.parametrize(
    "fields",
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
def test_invalid_view_fields_are_named(fields):
    with pytest.raises(UserError, match=rf"View\.{next(iter(fields))}"):
        View(**fields)


def test_views_with_different_fields_are_unequal():
    assert dataclasses.replace(View(), augment="none") != View()
