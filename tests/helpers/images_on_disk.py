"""Folders of small images for tests: a domain a folder, a class a folder in it."""

import numpy as np
from PIL import Image


def image(seed, side=24):
    """Noise in large blocks, so that JPEG and resizing keep it apart from any other."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST)


def folder(place, domains=("photos", "sketches"), classes=("ant", "bee", "cow"), per_class=6, side=24):
    """place/<domain>/<class>/<i>.png."""
    for d, domain in enumerate(domains):
        for c, name in enumerate(classes):
            (place / domain / name).mkdir(parents=True)
            for i in range(per_class):
                image([d, c, i], side).save(place / domain / name / f"{i}.png")
    return place
