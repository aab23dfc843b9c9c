"""How far apart the domains' features are."""

import numpy as np

from da_bench.evaluation import transferability
from da_bench.evaluation.validators.base import Evidence, each, register


@register("MMD", "features")
def mmd(evidence: Evidence) -> np.ndarray:
    """Minus the squared maximum mean discrepancy of source training features and target features.

    References: as `transferability.mmd`; as a validator: Musgrave, Belongie and Lim, arXiv:2208.07360.
    """
    pair = evidence.seen.train, evidence.seen.target
    return each(lambda source, target: -transferability.mmd(source, target), *pair)
