"""Do the classic methods gain anything between MNIST and USPS, under a protocol that never looks at target labels?

Command: `da-bench run experiments/mnist_usps.py --data-root DIR`, where DIR holds mnist/ and usps/.
Protocol: LeNet, both training splits (target without labels), target test split; nothing was tuned.
"""

import da_bench as da
from baselines import target_only

SEEDS = 5
TRAINING = da.Training(steps=1000, evaluations=5)


def pair(task: str) -> list[da.Experiment]:
    """Every deep method with the hyper-parameters of its paper, and the upper bound."""
    methods = [da.methods.SourceOnly(), da.methods.Dann(widths=(100,)), da.methods.Coral(), da.methods.Mmd()]
    runs = [da.Experiment(task=task, method=method, training=TRAINING) for method in methods]
    return da.over_seeds([*runs, target_only(runs[0])], SEEDS)


EXPERIMENTS = [*pair("mnist-to-usps"), *pair("usps-to-mnist")]
