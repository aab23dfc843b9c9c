"""The protocol of Ganin et al. (JMLR 2016, Section 5.1) on Amazon reviews, as in the paper and the authors' code."""

from typing import Any

import numpy as np

import da_bench as da
from da_bench.methods import METHODS, Method
from da_bench.methods.source_only import SourceOnly
from da_bench.models.mlp import Mlp

TRAINING_ROWS = 1800  # of a domain's 2000; the others validate
C_GRID = np.logspace(-5, 0, 10).tolist()  # of the SVM
# Margins grow with C, and with them the score of information maximisation, so it cannot choose C
LABEL_FREE_RULES = {"svm": "reverse_validation"}


def shallow_dann(weight: float) -> Method:
    """DANN with a logistic domain classifier whose updates are scaled by the weight as well.

    Args:
        weight: the paper's lambda, non-negative.

    Returns:
        The method.
    """
    dann: Any = METHODS["dann"]  # by name: type checkers do not see the fields that registering creates
    return dann(weight=weight, schedule="constant", widths=(), scaled="both", start="zero")


def sgd_training(passes: int, evaluations: int, learning_rate: float = 0.001) -> "da.Training":
    """The paper's stochastic gradient descent with one row of each domain for each step.

    Args:
        passes: passes over the training rows of the source.
        evaluations: number of evaluations (checkpoints), evenly spaced.
        learning_rate: constant learning rate for each step.

    Returns:
        The training settings.
    """
    return da.Training(
        steps=passes * TRAINING_ROWS,
        evaluations=evaluations,
        batch_size=1,
        learning_rate=learning_rate,
        decay_rate=0.0,
        momentum=0.0,
    )


def network_experiments(task: str, training: "da.Training", seeds: int, **fields: Any) -> list["da.Experiment"]:
    """The network without adaptation and DANN, with the default settings of the authors' code (width 50, lambda 0.1).

    Args:
        task: name of the task.
        training: training settings, see `sgd_training`.
        seeds: number of seeds.
        **fields: further fields of the experiments.

    Returns:
        The experiments.
    """
    fields = {"task": task, "model": Mlp(hidden=(50,)), "training": training, **fields}
    return da.over_seeds(
        [da.Experiment(method=method, **fields) for method in (SourceOnly(), shallow_dann(0.1))], seeds
    )


def svm_experiments(task: str, **fields: Any) -> list["da.Experiment"]:
    """The SVM with the paper's ten values of C; it is deterministic.

    Args:
        task: name of the task.
        **fields: further fields of the experiments.

    Returns:
        The experiments.
    """
    methods = [da.classical.Svm(c=c, scaling="none", loss="hinge") for c in C_GRID]
    return [da.Experiment(task=task, method=method, **fields) for method in methods]
