"""What the labelled source alone says."""

import numpy as np

from da_bench.select.base import Evidence, register


@register("source validation")
def source_validation(evidence: Evidence) -> np.ndarray:
    """Accuracy on the held-out labelled source, in [0, 1]."""
    return (np.asarray(evidence.validation_logits).argmax(axis=2) == evidence.validation_labels).mean(axis=1)
