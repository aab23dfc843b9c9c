"""How many labelled target images are worth as much as adaptation without any?

Command: `da-bench run experiments/few_shot.py --data-root DIR`, where DIR holds office31/. The variable WEIGHTS names
imported ImageNet weights; the default is a MobileNetV2.
Design: learning curves on stored features. A head is trained on n labelled target images of each class, with and
without the source, between source only (none) and target only (all). The images are the first n of each class in the
target's training split, the same for every seed. No tuning.
Protocol: inductive: the labelled images are from the target's training split, its test split is scored; the last step.
Cost: 100 runs, two minutes of one CPU core.
Expected: from Amazon to Webcam, source only reaches 67 %; three labels of each class 76 % and ten 90 % with the source,
ten 95 % without it; target only 98 %.
"""

import dataclasses
import os

from da_bench.baselines import target_only

import da_bench as da

SEEDS = 5
WEIGHTS = os.environ.get("WEIGHTS", "mobilenet_v2-keras-5e29f8ecf3bc")
TASKS = ("office31/amazon-to-webcam", "office31/webcam-to-amazon")
SHOTS = (1, 3, 5, 10)
TRAINING = da.Training(steps=600, evaluations=6, batch_size=31)  # one label of each of 31 classes fills a batch


def experiments(task: str) -> list[da.Experiment]:
    """Source only, n labels of each class with and without the source, and target only."""
    source_only = da.Experiment(task=task, method=da.methods.SourceOnly(), features=WEIGHTS, training=TRAINING)
    few_shot = [
        dataclasses.replace(source_only, labels_from=labels, shots=shots)
        for labels in ("both", "target")
        for shots in SHOTS
    ]
    return da.over_seeds([source_only, *few_shot, target_only(source_only)], SEEDS)


EXPERIMENTS = [experiment for task in TASKS for experiment in experiments(task)]
