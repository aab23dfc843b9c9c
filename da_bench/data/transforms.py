"""How stored images become network inputs, inside the compiled step.

Random resized crops and flips are those of torchvision's RandomResizedCrop and RandomHorizontalFlip, with which the
published numbers were obtained. The augmentation of an image depends only on (key, row), never on the other images of
the batch.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import Count, UserError, config_dataclass, field
from da_bench.core.types import Array, named_key

Triple = tuple[float, float, float]
Range = tuple[float, float]
TRIES = 10  # of a random crop, as torchvision, before the whole image is taken


@config_dataclass
class View:
    """View: how stored images become network inputs.

    Image files are decoded once and resized to squares of `stored_side` pixels, see `da_bench.data.image_cache`. In
    training, a network sees a random crop or the central square of `pixels` pixels, perhaps mirrored. In evaluation, it
    sees the central square. Both are normalised: (value / 255 - mean) / std.

    Args:
        pixels: side of the network's input, at least 1. 224 is the custom for ImageNet networks.
        resize: how files of any shape become stored squares: "squash" (the whole image, stretched to a square, as in
            the code of most papers) or "centre" (the central square).
        augment: augmentation of training inputs: random crops, horizontal flips, both or none.
        mean: mean of each channel of values in [0, 1], in the order of `channels`. Default: ImageNet's.
        std: standard deviation of each channel, greater than 0. Default: ImageNet's.
        area: least and greatest share of the stored square that a random crop covers, in (0, 1]; as torchvision.
        ratio: least and greatest width / height of a random crop; least <= 1 <= greatest; as torchvision.
        channels: order of the channels that the network sees; "bgr" for networks trained with Caffe.
        stored: side of the stored squares, at least `pixels`; None for 8/7 of `pixels`, the custom of 256 for 224.

    Raises:
        UserError: a field is out of its range.
    """

    pixels: Count = 224
    resize: Literal["squash", "centre"] = "squash"
    augment: Literal["none", "flip", "crop", "crop_flip"] = "crop_flip"
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)
    area: Range = (0.08, 1.0)
    ratio: Range = (3 / 4, 4 / 3)
    channels: Literal["rgb", "bgr"] = field(default="rgb", since="0.1")
    stored: Count | None = field(default=None, since="0.1")

    def __post_init__(self) -> None:
        if min(self.std) <= 0:
            raise UserError(f"View.std = {self.std}: every value must be greater than 0")
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise UserError(f"View.area = {self.area}: must be two shares of the image, 0 < least <= greatest <= 1")
        if not 0 < self.ratio[0] <= 1 <= self.ratio[1]:
            raise UserError(f"View.ratio = {self.ratio}: must be 0 < least <= 1 <= greatest")
        if self.stored is not None and self.stored < self.pixels:
            raise UserError(f"View.stored = {self.stored}: must be at least View.pixels = {self.pixels}")

    @property
    def stored_side(self) -> int:
        """Side of the stored squares, in pixels."""
        return self.stored or round(self.pixels * 8 / 7)


def evaluation_input(view: View | None, inputs: Array) -> Array:
    """Compute network inputs for evaluation.

    Args:
        view: how images become inputs. None: uint8 values are divided by 255, other inputs are left as they are.
        inputs: stored inputs [n, ...]; with a view, uint8 images [n, side, side, 3].

    Returns:
        The normalised central squares, float32 [n, pixels, pixels, 3]; without a view, [n, ...].

    Raises:
        UserError: with a view, the inputs are not colour images, or smaller than `view.pixels`.
    """
    if view is None:
        return inputs.astype(jnp.float32) / 255 if inputs.dtype == jnp.uint8 else jnp.asarray(inputs)
    _check_images(view, inputs)
    top, left = (round((side - view.pixels) / 2) for side in inputs.shape[1:3])
    central = inputs[:, top : top + view.pixels, left : left + view.pixels]
    return _normalize(view, central.astype(jnp.float32))


def training_input(view: View | None, key: Array, rows: Array, inputs: Array) -> Array:
    """Compute network inputs for training: those of `evaluation_input`, augmented.

    Args:
        view: how images become inputs; None as in `evaluation_input`.
        key: random key of the step.
        rows: [n] number of each input within its domain. Equal (key, row) give equal crops and flips in any batch.
        inputs: stored inputs [n, ...], as in `evaluation_input`.

    Returns:
        As `evaluation_input`.

    Raises:
        UserError: as `evaluation_input`.
    """
    if view is None or view.augment == "none":
        return evaluation_input(view, inputs)
    keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)
    flips = jax.vmap(_is_flipped)(keys) if "flip" in view.augment else jnp.zeros(len(rows), bool)
    if "crop" not in view.augment:
        return flip_images(flips, evaluation_input(view, inputs))
    _check_images(view, inputs)
    boxes = jax.vmap(lambda key: crop_box(view, key, inputs.shape[1]))(keys)
    return _normalize(view, resized_crops(view.pixels, boxes, flips, inputs))


def _is_flipped(key: Array) -> Array:
    return jax.random.bernoulli(named_key(key, "flip"))


def flip_images(flips: Array, images: Array) -> Array:
    """Mirror images left to right.

    Args:
        flips: [n] bool, whether each image is mirrored.
        images: [n, h, w, c].

    Returns:
        [n, h, w, c].
    """
    # gathering columns is several times faster than where(flips, images[:, :, ::-1], images)
    order = jnp.arange(images.shape[2])[None, :]
    columns = jnp.where(flips[:, None], order[:, ::-1], order)
    return jax.vmap(lambda image, column: image[:, column])(images, columns)


def _check_images(view: View, inputs: Array) -> None:
    if inputs.dtype != jnp.uint8 or inputs.ndim != 4 or inputs.shape[3] != 3 or inputs.shape[1] != inputs.shape[2]:
        raise UserError(
            f"a View is for square colour images, uint8 [n, side, side, 3]; these inputs are {inputs.dtype} "
            f"{list(inputs.shape)}: leave View out"
        )
    if inputs.shape[1] < view.pixels:
        raise UserError(f"View.pixels = {view.pixels} is more than the side of the images, {inputs.shape[1]}")


def _normalize(view: View, values: Array) -> Array:
    """Normalise values 0 to 255. First the difference, then the product: no compiler can round that in two ways."""
    values = values[..., ::-1] if view.channels == "bgr" else values
    mean, std = (np.asarray(moment, np.float64).reshape(1, 1, 1, 3) for moment in (view.mean, view.std))
    return (values - jnp.asarray(255 * mean, jnp.float32)) * jnp.asarray(1 / (255 * std), jnp.float32)


def crop_box(view: View, key: Array, side: int) -> Array:
    """Draw a random crop of a square image.

    As torchvision: the area is uniform, the logarithm of the ratio is uniform, and both sides are rounded to whole
    pixels. The first of ten draws that fits is taken, else the whole image. Every position is equally likely.

    Args:
        view: its `area` and `ratio` are used.
        key: random key of the image.
        side: side of the image, in pixels.

    Returns:
        [4] int32: top, left, height, width, in pixels.
    """
    area_key, ratio_key, top_key, left_key = (named_key(key, name) for name in ("area", "ratio", "top", "left"))
    least, greatest = view.area
    area = side**2 * jax.random.uniform(area_key, (TRIES,), jnp.float32, least, greatest)
    low, high = jnp.log(jnp.asarray(view.ratio, jnp.float32))
    root = jnp.exp(jax.random.uniform(ratio_key, (TRIES,), jnp.float32, low, high) / 2)  # of width / height
    heights, widths = (jnp.round(jnp.sqrt(area) * factor).astype(jnp.int32) for factor in (1 / root, root))
    fits = (heights > 0) & (heights <= side) & (widths > 0) & (widths <= side)
    first = jnp.argmax(fits)
    height, width = (jnp.where(fits.any(), lengths[first], side) for lengths in (heights, widths))
    top = jax.random.randint(top_key, (), 0, side - height + 1)
    left = jax.random.randint(left_key, (), 0, side - width + 1)
    return jnp.stack([top, left, height, width])


def resized_crops(pixels: int, boxes: Array, flips: Array, images: Array) -> Array:
    """Crop square images and resize the crops.

    Bilinear, as Pillow and torchvision do it: crop first, then resize, antialiased where the crop is larger than
    `pixels` (by at most 8/7 for a stored square). The filter is cut off at the edges of the crop.

    Args:
        pixels: side of the resized crops.
        boxes: [n, 4] int32, see `crop_box`.
        flips: [n] bool, whether each crop is mirrored left to right.
        images: [n, side, side, c].

    Returns:
        float32 [n, pixels, pixels, c].
    """

    def resized_crop(box: Array, flip: Array, image: Array) -> Array:
        rows, weights = taps(box[0], box[2], image.shape[0], pixels)
        tall = sum(image[i].astype(jnp.float32) * w[:, None, None] for i, w in zip(rows, weights, strict=True))
        columns, weights = taps(box[1], box[3], image.shape[1], pixels)
        across = (jax.nn.one_hot(columns, image.shape[1], dtype=jnp.float32) * weights[:, :, None]).sum(axis=0)
        # A matrix product, because XLA would compute a second gather again for every reader, which is three times
        # slower in all. In full precision, because an accelerator's default for float32 would cost a grey level.
        return jnp.einsum("qw,pwc->pqc", jnp.where(flip, across[::-1], across), tall, precision="highest")

    return jax.vmap(resized_crop)(boxes, flips, images)


def taps(start: Array, length: Array, side: int, pixels: int) -> tuple[Array, Array]:
    """Compute which pixels, with which weights, make each of `pixels` samples of an interval of an image.

    Distances are counted in whole units of 1 / (2 pixels), so that rounding is the same on every machine.

    Args:
        start: first pixel of the interval.
        length: number of its pixels.
        side: side of the image, in pixels.
        pixels: number of samples.

    Returns:
        Pixels of the image and their weights, both [t, pixels]. t is the most that a crop needs: 2, or 3 where it may
        be antialiased. Weights sum to 1 over t.
    """
    count = math.ceil(2 * max(1, side / pixels))
    reach = 2 * jnp.maximum(length, pixels)
    centres = length * (2 * jnp.arange(pixels) + 1)
    first = (centres - reach - pixels) // (2 * pixels) + 1  # the first pixel whose centre the filter reaches
    positions = first[None, :] + jnp.arange(count)[:, None]
    weights = jnp.maximum(reach - jnp.abs((2 * positions + 1) * pixels - centres[None, :]), 0)
    weights = jnp.where((positions >= 0) & (positions < length), weights, 0).astype(jnp.float32)
    return start + jnp.clip(positions, 0, length - 1), weights / weights.sum(axis=0)[None, :]
