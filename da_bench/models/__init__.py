"""Networks, one a file.

Importing this package imports every file in it, so a new network needs one new file and no other change.
"""

from da_bench.core.config import export_all
from da_bench.models.base import (
    MODELS,
    Network,
    Precision,
    batch_norm_inputs,
    batch_norm_mask,
    build,
    describe,
    forward,
    hashable,
    head_mask,
    initialise,
    last_stage,
    output_shapes,
    register,
    stage_numbers,
)
from da_bench.models.heads import Discriminator, Head

__all__ = [
    "MODELS",
    "Discriminator",
    "Head",
    "Network",
    "Precision",
    "batch_norm_inputs",
    "batch_norm_mask",
    "build",
    "describe",
    "forward",
    "hashable",
    "head_mask",
    "initialise",
    "last_stage",
    "output_shapes",
    "register",
    "stage_numbers",
]

export_all(__name__, MODELS)
