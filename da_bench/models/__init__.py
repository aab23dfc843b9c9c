"""Networks, one a file. Importing this room imports every file of the folder, so adding one touches one file."""

from da_bench.models.base import (
    MODELS,
    Network,
    Precision,
    build,
    describe,
    forward,
    head,
    initialise,
    normalisation,
    register,
    shapes,
)
from da_bench.models.discriminator import Discriminator
from da_bench.models.second import SecondHead
from da_bench.settings import export_all

__all__ = [
    "MODELS",
    "Discriminator",
    "Network",
    "Precision",
    "SecondHead",
    "build",
    "describe",
    "forward",
    "head",
    "initialise",
    "normalisation",
    "register",
    "shapes",
]

export_all(__name__, MODELS)
