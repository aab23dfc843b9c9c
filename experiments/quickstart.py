"""Do the classic methods gain anything over training on the source alone?

Command: `make bench`, or `da-bench run experiments/quickstart.py`.
Data: embedded, no download. Digits rendered from typefaces against real handwritten ones, both ways; inter-twinning
moons turned by 35 degrees, with DANN over six weights.
Protocol: inductive: the target's training split adapts, its test split is scored; the last step, nothing tuned.
Cost: 310 runs, two minutes on two CPU cores.
Expect: on the moons DANN climbs with its weight from 63 % to 84; on digits no method gains more than the noise of
seeds, where a bound from target labels has 97.
"""

from da_bench.baselines import target_only

import da_bench as da
from da_bench.classical import LogisticRegression, ShallowCoral

SEEDS = 5
DIGITS = da.Training(steps=800)
# Ganin et al., JMLR 2016, Section 5.1.1: a toy that gradient descent on all 300 + 300 points solves
MOONS = da.Training(steps=5000, evaluations=5, batch_size=None, learning_rate=0.3, decay_rate=0.0, momentum=0.0)
WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 6.0)


def digits(task: str) -> list[da.Experiment]:
    """Every method on one pair; hyper-parameters are the papers', none was tuned."""
    deep = [
        da.methods.SourceOnly(),
        da.methods.Dann(widths=(100,)),  # the domain classifier of the paper's MNIST network
        da.methods.Coral(),
        da.methods.Mmd(),
    ]
    runs = [da.Experiment(task=task, method=method, training=DIGITS) for method in deep]
    shallow = [da.Experiment(task=task, method=method) for method in (LogisticRegression(), ShallowCoral())]
    return [*da.over_seeds([*runs, target_only(runs[0])], SEEDS), *shallow]  # shallow: nothing in them is random


def moons() -> list[da.Experiment]:
    """DANN's toy: one hidden layer of 15 sigmoid units, a logistic domain classifier, a constant weight."""
    toy = [da.methods.Dann(weight=weight, schedule="constant", widths=()) for weight in WEIGHTS]
    runs = [da.Experiment(task="moons/35", method=method, training=MOONS) for method in [da.methods.SourceOnly(), *toy]]
    return da.over_seeds([*runs, target_only(runs[0])], 32)


EXPERIMENTS = [*digits("digits/synthetic-to-real"), *digits("digits/real-to-synthetic"), *moons()]
