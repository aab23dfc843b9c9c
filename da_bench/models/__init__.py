"""Networks, one a file. Importing this room imports every file of the folder, so adding one touches one file."""

from da_bench.core.config import export_all
from da_bench.models.base import (
    MODELS,
    Network,
    Precision,
    build,
    describe,
    forward,
    hashable,
    head,
    initialise,
    normalisation,
    register,
    shapes,
    stages,
    top_stage,
)
from da_bench.models.discriminator import Discriminator
from da_bench.models.heads import Head

__all__ = [
    "MODELS",
    "Discriminator",
    "Head",
    "Network",
    "Precision",
    "build",
    "describe",
    "forward",
    "hashable",
    "head",
    "initialise",
    "normalisation",
    "register",
    "shapes",
    "stages",
    "top_stage",
]

export_all(__name__, MODELS)
