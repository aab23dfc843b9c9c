"""What is left of the gains when the settings, too, are chosen without target labels?

Command: `da-bench run experiments/searched.py --data-root DIR --validators all`, then `da-bench table --of search`; DIR
holds office31/, the variable WEIGHTS names imported ImageNet weights, by default as in experiments/office31.py.
Budget: ten settings of every method, source only included: the paper's, and nine drawn from what the method declares,
at the same nine learning rates for all; 3 seeds. All settings and seeds of a method are one compiled program.
Protocol: that of experiments/office31.py, on a pair into a small domain and one into a large.
Cost: 1920 runs, about two and a half hours on one core.
Expect: nothing chosen (the paper's setting, last step) within two points of the oracle; IM five below it.
"""

import os

from da_bench.baselines import deep_methods

import da_bench as da

SEEDS = 3
TRIALS = 10
WEIGHTS = os.environ.get("WEIGHTS", "mobilenet_v2-keras-5e29f8ecf3bc")
TRAINING = da.Training(steps=600, evaluations=6, batch_size=32)
PAIRS = ("office31/amazon-to-webcam@transductive", "office31/dslr-to-amazon@transductive")


def searched(task: str) -> list[da.Experiment]:
    """Every setting of every method on one pair."""
    runs = [da.Experiment(task=task, method=one, features=WEIGHTS, training=TRAINING) for one in deep_methods()]
    return da.over_seeds(da.search.over_trials(runs, trials=TRIALS), SEEDS)


EXPERIMENTS = [one for task in PAIRS for one in searched(task)]
