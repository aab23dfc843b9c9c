"""What the labelled source alone says."""

import numpy as np

from da_bench.evaluation.validators.base import Evidence, register, source_accuracy


@register("source validation")
def source_validation(evidence: Evidence) -> np.ndarray:
    """Accuracy on the held-out labelled source, in [0, 1]."""
    return source_accuracy(evidence)
