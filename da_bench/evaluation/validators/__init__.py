"""Model selection without target labels: validators, the last step, and the oracle.

Many published numbers choose the checkpoint by target accuracy. Here every selection rule has a name, and tables show
the last step, the declared rule and the oracle side by side.

To add a validator, write a function under `@register` in any file of this folder (importing the package imports all of
them)::

    @register("target entropy")
    def target_entropy(inputs: ValidatorInputs) -> np.ndarray:
        return -entropy(target_probabilities(inputs)).mean(axis=1)

The function takes the `ValidatorInputs` of a run and returns a score for each of its checkpoints [e]; higher is better.
Its name is the name of the rule in records and on the command line, and the argument of `register` is its title in
tables. A validator that needs features or other optional inputs names these fields: `@register("SND", "features")`.
Scores of checkpoints with logits that are not finite are set to NaN. Tests require an independent reference
calculation for every validator, see `tests/evaluation/validators/test_validators.py`.
"""

import importlib
import pkgutil

from da_bench.evaluation.validators.base import (
    MAX_ROWS,
    VALIDATORS,
    CheckpointFeatures,
    Validator,
    ValidatorInputs,
    checkpoint_accuracy,
    register,
)
from da_bench.evaluation.validators.selection import (
    LAST,
    ORACLE,
    last_argmax,
    score_checkpoints,
    select_checkpoints,
)

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

RULES: dict[str, str] = {  # selection rule -> title in tables
    LAST: "last step",
    **{name: validator.title for name, validator in VALIDATORS.items()},
    ORACLE: "oracle",
}

__all__ = [
    "LAST",
    "MAX_ROWS",
    "ORACLE",
    "RULES",
    "VALIDATORS",
    "CheckpointFeatures",
    "Validator",
    "ValidatorInputs",
    "checkpoint_accuracy",
    "last_argmax",
    "register",
    "score_checkpoints",
    "select_checkpoints",
]
