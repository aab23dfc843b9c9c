"""Which method gains anything on digits, with the defaults of its paper and a budget that is the same for all?

Command: `da-bench run experiments/all_on_digits.py --data-root DIR`, where DIR holds mnist/ and usps/.
Budget: one trial a method, no tuning of anything; 5 seeds; the same small network (with batch normalisation, which
AdaBN and TENT adapt) and learning rate for all, the same steps and batches on a pair. The classical methods see the
pixels as they are, once, and only on the small pair: their matrices grow with the square of the rows.
Protocol: inductive: the target's training split adapts, its test split is scored.
Cost: 540 runs, two and a half hours of one CPU core.
Expect: on synthetic to real source only 67 %, MCC 81, DANN below source only, the bound 98.
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
SHALLOW = [cls() for cls in METHODS.values() if issubclass(cls, ClassicalMethod)]


def pair(task: str, training: da.Training) -> list[da.Experiment]:
    """Every deep method at its defaults, and the upper bound."""
    runs = [da.Experiment(task=task, method=method, model=NETWORK, training=training) for method in DEEP]
    source_only = da.Experiment(task=task, method=da.methods.SourceOnly(), model=NETWORK, training=training)
    return da.over_seeds([*runs, target_only(source_only)], SEEDS)


EXPERIMENTS = [
    *pair("digits/synthetic-to-real", SMALL),
    *(da.Experiment(task="digits/synthetic-to-real", method=method) for method in SHALLOW),
    *pair("usps-to-mnist", LARGE),
    *pair("mnist-to-usps", LARGE),
]
