"""Which method gains what on Office-31's photographs, on the features of one pretrained network, all six pairs?

Command: `da-bench run experiments/office31.py --data-root DIR`, where DIR holds office31/, with the variable WEIGHTS
set to imported ImageNet weights (`da-bench weights list`); by default those of the MobileNetV2 that `da-bench weights
sources` names.
Budget: one trial a method, the defaults of its paper, no tuning of anything; 5 seeds; the same head (a layer of 256
units), steps, batches and learning rate for all. Features are extracted once. References: a linear head on the features
(feature extraction), source only, target only. The classical methods see the features as they are, once.
Protocol: transductive, as the published tables have it: all of the target's pictures, without labels, adapt, and all
are scored.
"""

import os

import da_bench as da
from baselines import feature_extraction, target_only
from da_bench.methods import METHODS, Method, Shallow, load_plugins

SEEDS = 5
WEIGHTS = os.environ.get("WEIGHTS", "mobilenet_v2-keras-5e29f8ecf3bc")
TRAINING = da.Training(steps=600, evaluations=6, batch_size=32)
DOMAINS = ("amazon", "dslr", "webcam")
PAIRS = [f"office31/{a}-to-{b}@transductive" for a in DOMAINS for b in DOMAINS if a != b]

load_plugins()
DEEP = [cls() for cls in METHODS.values() if issubclass(cls, Method) and not cls.needs_batch_norm]
SHALLOW = [cls() for cls in METHODS.values() if issubclass(cls, Shallow)]


def pair(task: str) -> list[da.Experiment]:
    """Every method and reference on one pair."""
    runs = [da.Experiment(task=task, method=method, features=WEIGHTS, training=TRAINING) for method in DEEP]
    linear = feature_extraction(task, WEIGHTS, training=TRAINING)
    source_only = da.Experiment(task=task, method=da.methods.SourceOnly(), features=WEIGHTS, training=TRAINING)
    once = [da.Experiment(task=task, method=method, features=WEIGHTS) for method in SHALLOW]
    return [*da.over_seeds([*runs, linear, target_only(source_only)], SEEDS), *once]


EXPERIMENTS = [one for task in PAIRS for one in pair(task)]
