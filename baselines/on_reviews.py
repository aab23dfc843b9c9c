"""What the experiments on Amazon reviews share: Ganin et al., JMLR 2016, Section 5.1, and the authors' code."""

from typing import Any

import numpy as np

import da_bench as da
from da_bench.methods import METHODS, Method
from da_bench.methods.source_only import SourceOnly
from da_bench.models.mlp import Mlp

ROWS = 1800  # of a domain's 2000, the rest validates
CS = np.logspace(-5, 0, 10).tolist()
LABEL_FREE_RULES = {"svm": "reverse_validation"}  # margins grow with C, and with them what IM says


def shallow_dann(weight: float) -> Method:
    """DANN with a logistic domain classifier, whose update the weight scales, too."""
    return _made("dann", weight=weight, schedule="constant", widths=(), scaled="both", start="zero")


def row_by_row(passes: int, evaluations: int, learning_rate: float = 0.001) -> "da.Training":
    """The paper's stochastic gradient descent, a row of either domain a step."""
    return da.Training(
        steps=passes * ROWS,
        evaluations=evaluations,
        batch_size=1,
        learning_rate=learning_rate,
        decay_rate=0.0,
        momentum=0.0,
    )


def networks(task: str, training: "da.Training", seeds: int, **settings: Any) -> list["da.Experiment"]:
    """The network without adaptation and DANN, at the one setting that the authors' code has as its default.

    settings: of the experiments.
    """
    same = {"task": task, "model": Mlp(hidden=(50,)), "training": training, **settings}
    methods = [SourceOnly(), shallow_dann(0.1)]
    return da.over_seeds([da.Experiment(method=one, **same) for one in methods], seeds)


def machines(task: str, **settings: Any) -> list["da.Experiment"]:
    """The SVM at the paper's ten values of C, in which nothing is random. settings: of the experiments."""
    return [da.Experiment(task=task, method=_made("svm", c=c, scaling="none", loss="hinge"), **settings) for c in CS]


def _made(name: str, **fields: Any) -> Any:
    return METHODS[name](**fields)  # by name, as type checkers do not see the fields that registering makes
