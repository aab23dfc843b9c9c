"""Which methods gain on digits, with the defaults of their papers and equal budgets?

Command: `da-bench run experiments/all_on_digits.py --data-root DIR`, where DIR holds mnist/ and usps/.
Budget: one trial for each method, no tuning; 5 seeds. All deep methods use the same small network (with batch
normalisation, which AdaBN and TENT adapt) and learning rate, and the same steps and batch size on a domain pair. The
classical methods use the raw pixels and run once, only on the small pair: their matrices grow with the square of the
number of rows.
Protocol: inductive: the target's training split adapts, its test split is scored.
Cost: 540 runs, two and a half hours of one CPU core.
Expected: from synthetic to real digits, source only reaches 67 %, MCC 81 %, target only 98 %; DANN is below source
only.
"""

from da_bench.baselines import target_only

import da_bench as da
from da_bench.methods import METHODS, ClassicalMethod, Method, load_plugins

SEEDS = 5
NETWORK = da.models.build("small_cnn_bn")
SMALL = da.Training(steps=800, evaluations=8)
LARGE = da.Training(steps=600, evaluations=2, batch_size=32)

load_plugins()
DEEP = [cls() for cls in METHODS.values() if issubclass(cls, Method)]
CLASSICAL = [cls() for cls in METHODS.values() if issubclass(cls, ClassicalMethod)]


def experiments(task: str, training: da.Training) -> list[da.Experiment]:
    """Every deep method with its defaults, and the upper bound."""
    methods = [*DEEP, da.methods.SourceOnly()]
    *deep, source_only = (da.Experiment(task=task, method=m, model=NETWORK, training=training) for m in methods)
    return da.over_seeds([*deep, target_only(source_only)], SEEDS)


EXPERIMENTS = [
    *experiments("digits/synthetic-to-real", SMALL),
    *(da.Experiment(task="digits/synthetic-to-real", method=method) for method in CLASSICAL),
    *experiments("usps-to-mnist", LARGE),
    *experiments("mnist-to-usps", LARGE),
]
