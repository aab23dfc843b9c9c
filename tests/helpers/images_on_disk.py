"""Folders of small images: one folder for each domain, and in it one for each class."""

import numpy as np
from PIL import Image


def image(seed, side=24):
    """Return an image of noise in large blocks, which stay distinguishable after JPEG and resizing."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST)


def write_domains(data_folder, domains=("photos", "sketches"), classes=("ant", "bee", "cow"), per_class=6, side=24):
    """data_folder/<domain>/<class>/<i>.png."""
    for d, domain in enumerate(domains):
        for c, name in enumerate(classes):
            (data_folder / domain / name).mkdir(parents=True)
            for i in range(per_class):
                image([d, c, i], side).save(data_folder / domain / name / f"{i}.png")
    return data_folder
