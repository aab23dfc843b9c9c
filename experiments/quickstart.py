"""Do classic methods gain anything over training on the source only?

Command: `make bench`, or `da-bench run experiments/quickstart.py`.
Data: built in, no download. Digits rendered from typefaces and real handwritten ones, in both directions;
inter-twinning moons rotated by 35 degrees, with DANN for six weights.
Protocol: inductive: the target's training split adapts, its test split is scored; the last step, no tuning.
Cost: 310 runs, two minutes on two CPU cores.
Expected: on the moons, DANN increases from 63 % to 84 % with its weight; on digits no method gains more than the noise
of the seeds, while target only reaches 97 %.
"""

from da_bench.baselines import target_only

import da_bench as da
from da_bench.classical import LogisticRegression, ShallowCoral

SEEDS = 5
DIGITS = da.Training(steps=800)
# The toy problem of Ganin et al., JMLR 2016, Section 5.1.1, solved by gradient descent on all 300 + 300 points
MOONS = da.Training(steps=5000, evaluations=5, batch_size=None, learning_rate=0.3, decay_rate=0.0, momentum=0.0)
WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 6.0)


def digits(task: str) -> list[da.Experiment]:
    """Every method on one task, with the hyper-parameters of the papers."""
    deep = [
        da.methods.SourceOnly(),
        da.methods.Dann(widths=(100,)),  # the domain classifier of the paper's MNIST network
        da.methods.Coral(),
        da.methods.Mmd(),
    ]
    runs = [da.Experiment(task=task, method=method, training=DIGITS) for method in deep]
    classical = [da.Experiment(task=task, method=method) for method in (LogisticRegression(), ShallowCoral())]
    return [*da.over_seeds([*runs, target_only(runs[0])], SEEDS), *classical]  # classical methods are deterministic


def moons() -> list[da.Experiment]:
    """DANN's toy problem: one hidden layer of 15 sigmoid units, a logistic domain classifier, a constant weight."""
    dann = [da.methods.Dann(weight=weight, schedule="constant", widths=()) for weight in WEIGHTS]
    methods = [da.methods.SourceOnly(), *dann]
    runs = [da.Experiment(task="moons/35", method=method, training=MOONS) for method in methods]
    return da.over_seeds([*runs, target_only(runs[0])], 32)


EXPERIMENTS = [*digits("digits/synthetic-to-real"), *digits("digits/real-to-synthetic"), *moons()]
