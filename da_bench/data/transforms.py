"""The view: how stored images become a network's inputs, inside the compiled step.

Random resized crops and flips are those of torchvision's RandomResizedCrop and RandomHorizontalFlip, with which the
published numbers were made, each image's draw a pure function of (key, row): it never depends on its neighbours.
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
TRIES = 10  # of torchvision, before it takes the whole image


@config_dataclass
class View:
    """How a stored image becomes the network's input.

    pixels: side of the input; resize: how files of any shape became stored squares, "squash" (straight to the square,
    as the code of most papers does) or "centre" (the central square); augment: of training inputs only, random crops,
    horizontal flips, both or none; mean, std: of the three channels, in the order that the network sees them in,
    subtracted from and divided into values in [0, 1], by default ImageNet's; area: least and greatest share of the
    stored square that a crop covers; ratio: least and greatest width / height of a crop; channels: their order, "bgr"
    for networks that were trained by Caffe; stored: side of the stored squares, None: the custom of 256 for 224 seen.
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
            raise UserError(f"View.std = {self.std}: every channel's must be greater than 0")
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise UserError(f"View.area = {self.area}: must be two shares of the image, 0 < least <= greatest <= 1")
        if not 0 < self.ratio[0] <= 1 <= self.ratio[1]:
            raise UserError(f"View.ratio = {self.ratio}: must be 0 < least <= 1 <= greatest, as the whole is a crop")
        if self.stored is not None and self.stored < self.pixels:
            raise UserError(f"View.stored = {self.stored} is less than View.pixels = {self.pixels}, a part of it")

    @property
    def stored_side(self) -> int:
        """Side of the stored squares."""
        return self.stored or round(self.pixels * 8 / 7)


def evaluation_input(view: View | None, inputs: Array) -> Array:
    """What the network sees of stored inputs [n, ...] when it is evaluated.

    Of images, uint8 [n, h, w, 3], the normalised central square: float32 [n, pixels, pixels, 3]. Without a view,
    uint8 values are divided by 255 to float32, and anything else is left as it is.

    Raises:
        UserError: the inputs are no colour images, or smaller than the view.
    """
    if view is None:
        return inputs.astype(jnp.float32) / 255 if inputs.dtype == jnp.uint8 else jnp.asarray(inputs)
    _check(view, inputs)
    top, left = (round((side - view.pixels) / 2) for side in inputs.shape[1:3])
    central = inputs[:, top : top + view.pixels, left : left + view.pixels]
    return _normalize(view, central.astype(jnp.float32))


def training_input(view: View | None, key: Array, rows: Array, inputs: Array) -> Array:
    """What the network sees of stored inputs [n, ...] when it trains: as `evaluation_input`, augmented.

    rows [n] number the inputs within their domain: equal (key, row) give equal crops and flips, whatever the batch.
    """
    if view is None or view.augment == "none":
        return evaluation_input(view, inputs)
    keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)
    flips = jax.vmap(_is_flipped)(keys) if "flip" in view.augment else jnp.zeros(len(rows), bool)
    if "crop" in view.augment:
        return _random_crops(view, keys, flips, inputs)
    return flip_images(flips, evaluation_input(view, inputs))


def _random_crops(view: View, keys: Array, flips: Array, images: Array) -> Array:
    _check(view, images)
    boxes = jax.vmap(lambda key: crop_box(view, key, images.shape[1]))(keys)
    return _normalize(view, resized_crops(view.pixels, boxes, flips, images))


def _is_flipped(key: Array) -> Array:
    return jax.random.bernoulli(named_key(key, "flip"))


def flip_images(flips: Array, images: Array) -> Array:
    """Mirror some images [n, h, w, c] left to right: those where `flips` [n] is true."""
    # by their columns' places: where(flips, images[:, :, ::-1], images) takes several times as long
    places = jnp.arange(images.shape[2])[None, :]
    columns = jnp.where(flips[:, None], places[:, ::-1], places)
    return jax.vmap(lambda image, column: image[:, column])(images, columns)


def _check(view: View, inputs: Array) -> None:
    if inputs.dtype != jnp.uint8 or inputs.ndim != 4 or inputs.shape[3] != 3 or inputs.shape[1] != inputs.shape[2]:
        raise UserError(
            f"a View is for square colour images, uint8 [n, side, side, 3]; these inputs are {inputs.dtype} "
            f"{list(inputs.shape)}: leave View out"
        )
    if inputs.shape[1] < view.pixels:
        raise UserError(f"View.pixels = {view.pixels} is more than the side of the images, {inputs.shape[1]}")


def _normalize(view: View, grey: Array) -> Array:
    """Of grey levels, 0 to 255. Difference, then product: no compiler rounds that in two ways."""
    grey = grey[..., ::-1] if view.channels == "bgr" else grey
    mean, std = (np.asarray(one, np.float64).reshape(1, 1, 1, 3) for one in (view.mean, view.std))
    return (grey - jnp.asarray(255 * mean, jnp.float32)) * jnp.asarray(1 / (255 * std), jnp.float32)


def crop_box(view: View, key: Array, side: int) -> Array:
    """A random crop of a square image: (top, left, height, width), int32 pixels.

    As torchvision: area uniform, log of the ratio uniform, rounded to whole pixels; the first of ten tries that fits,
    else the whole image; every place equally likely.
    """
    area_key, ratio_key, top_key, left_key = (named_key(key, name) for name in ("area", "ratio", "top", "left"))
    least, greatest = view.area
    area = side**2 * jax.random.uniform(area_key, (TRIES,), jnp.float32, least, greatest)
    low, high = jnp.log(jnp.asarray(view.ratio, jnp.float32))
    root = jnp.exp(jax.random.uniform(ratio_key, (TRIES,), jnp.float32, low, high) / 2)
    heights, widths = (jnp.round(jnp.sqrt(area) * one).astype(jnp.int32) for one in (1 / root, root))
    fits = (heights > 0) & (heights <= side) & (widths > 0) & (widths <= side)
    first = jnp.argmax(fits)
    height, width = (jnp.where(fits.any(), one[first], side) for one in (heights, widths))
    top = jax.random.randint(top_key, (), 0, side - height + 1)
    left = jax.random.randint(left_key, (), 0, side - width + 1)
    return jnp.stack([top, left, height, width])


def resized_crops(pixels: int, boxes: Array, flips: Array, images: Array) -> Array:
    """Crops of square images [n, side, side, c], resized: float32 [n, pixels, pixels, c].

    boxes [n, 4] as `crop_box`; flips [n]: whether a crop is mirrored, left to right.
    Bilinear, as Pillow and torchvision do it: crop, then resize, antialiased where the crop is larger than `pixels` (by
    8 / 7 at most from a stored square), the filter cut off at the crop's edges.
    """

    def one(box: Array, flip: Array, image: Array) -> Array:
        rows, weights = taps(box[0], box[2], image.shape[0], pixels)
        tall = sum(image[i].astype(jnp.float32) * w[:, None, None] for i, w in zip(rows, weights, strict=True))
        places, weights = taps(box[1], box[3], image.shape[1], pixels)
        across = (jax.nn.one_hot(places, image.shape[1], dtype=jnp.float32) * weights[:, :, None]).sum(axis=0)
        # a matrix product here, as a second gather would be computed again by all that reads it, three times slower
        # in all; in full precision, as what accelerators take for float32 by default would cost a grey level
        return jnp.einsum("qw,pwc->pqc", jnp.where(flip, across[::-1], across), tall, precision="highest")

    return jax.vmap(one)(boxes, flips, images)


def taps(start: Array, length: Array, side: int, pixels: int) -> tuple[Array, Array]:
    """What each of `pixels` samples of the `length` pixels from `start` on is made of.

    Places in the image and their weights, both [t, pixels]; t: the most that a crop of an image of `side` needs (2,
    or 3 where it may be antialiased); weights sum to 1 over t. Distances are counted in whole units of
    1 / (2 pixels), so that rounding is the same wherever this is computed.
    """
    count = math.ceil(2 * max(1, side / pixels))
    reach = 2 * jnp.maximum(length, pixels)
    centres = length * (2 * jnp.arange(pixels) + 1)
    first = (centres - reach - pixels) // (2 * pixels) + 1  # pixel whose centre the filter reaches
    places = first[None, :] + jnp.arange(count)[:, None]
    weights = jnp.maximum(reach - jnp.abs((2 * places + 1) * pixels - centres[None, :]), 0)
    weights = jnp.where((places >= 0) & (places < length), weights, 0).astype(jnp.float32)
    return start + jnp.clip(places, 0, length - 1), weights / weights.sum(axis=0)[None, :]
