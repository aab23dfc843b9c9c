"""What remains of the gains if the settings, too, are chosen without target labels?

Command: `da-bench run experiments/searched.py --data-root DIR --validators all`, then `da-bench table --of search`. DIR
holds office31/; the variable WEIGHTS names imported ImageNet weights, with the default of experiments/office31.py.
Budget: ten settings of every method including source only: that of the paper, and nine drawn from the search space that
the method declares, at the same nine learning rates for all; 3 seeds. All settings and seeds of a method are one
compiled program.
Protocol: that of experiments/office31.py, on one pair with a small target domain and one with a large.
Cost: 1920 runs, about two and a half hours on one core.
Expected: without selection (the paper's setting, last step) within two points of the oracle; IM five points below it.
"""

import os

from da_bench.baselines import deep_methods

import da_bench as da

SEEDS = 3
TRIALS = 10
WEIGHTS = os.environ.get("WEIGHTS", "mobilenet_v2-keras-5e29f8ecf3bc")
TRAINING = da.Training(steps=600, evaluations=6, batch_size=32)
TASKS = ("office31/amazon-to-webcam@transductive", "office31/dslr-to-amazon@transductive")


def experiments(task: str) -> list[da.Experiment]:
    """Every setting of every method on one task."""
    methods = deep_methods()
    runs = [da.Experiment(task=task, method=method, features=WEIGHTS, training=TRAINING) for method in methods]
    return da.over_seeds(da.search.over_trials(runs, trials=TRIALS), SEEDS)


EXPERIMENTS = [experiment for task in TASKS for experiment in experiments(task)]
