"""How many labelled target photographs are worth as much as adaptation without any?

Command: `da-bench run experiments/few_shot.py --data-root DIR`, where DIR holds office31/, with the variable WEIGHTS
set to imported ImageNet weights, by default the MobileNetV2's.
Learning curves on stored features: a head trained on n labelled target images of each class, alone and beside the
source; between source only (none) and target only (all). The images are the first n of each class of the target's
training split, the same for every seed. Nothing was tuned.
Protocol: inductive: the labelled images are of the target's training split, its test split is scored; the last step.
Cost: 100 runs, two minutes of one CPU core.
Expect: Amazon to Webcam 67 % without a label of the target, 76 with three a class and 90 with ten beside the source's,
98 with all; ten alone have 95.
"""

import os

from da_bench.baselines import target_only

import da_bench as da

SEEDS = 5
WEIGHTS = os.environ.get("WEIGHTS", "mobilenet_v2-keras-5e29f8ecf3bc")
TASKS = ("office31/amazon-to-webcam", "office31/webcam-to-amazon")
SHOTS = (1, 3, 5, 10)
TRAINING = da.Training(steps=600, evaluations=6, batch_size=31)  # one of each class is enough for a batch


def learning_curve(task: str) -> list[da.Experiment]:
    """Source only, so many labels alone and beside the source's, and all."""

    def run(**labels: object) -> da.Experiment:
        return da.Experiment(task=task, method=da.methods.SourceOnly(), features=WEIGHTS, training=TRAINING, **labels)

    few = [run(labels_from=labels, shots=shots) for labels in ("both", "target") for shots in SHOTS]
    return da.over_seeds([run(), *few, target_only(run())], SEEDS)


EXPERIMENTS = [one for task in TASKS for one in learning_curve(task)]
