"""Which method gains what on Office-31's photographs, on the features of one pretrained network, all six pairs?

Command: `da-bench run experiments/office31.py --data-root DIR`, where DIR holds office31/, with the variable WEIGHTS
set to imported ImageNet weights (`da-bench weights list`); by default those of the MobileNetV2 that `da-bench weights
sources` names.
Budget: one trial a method, the defaults of its paper, no tuning of anything; 5 seeds; the same head (a layer of 256
units), steps, batches and learning rate for all. Features are extracted once. References: a linear head on the features
(feature extraction), source only, target only, and target only scored on rows that it has not seen, which is the pair's
inductive task. The classical methods see the features as they are, once.
Protocol: transductive, as the published tables have it: all of the target's images, without labels, adapt, and all
are scored.
Cost: 1140 runs, 70 minutes of one CPU core; one and a half hours with `--validators all`.
Expect: means over pairs of 78 % of source only, 86 of SHOT, 85 of NRC, 84 of MCC, 76 of DANN.
"""

import os

from da_bench.baselines import every_method

import da_bench as da

SEEDS = 5
WEIGHTS = os.environ.get("WEIGHTS", "mobilenet_v2-keras-5e29f8ecf3bc")
TRAINING = da.Training(steps=600, evaluations=6, batch_size=32)
DOMAINS = ("amazon", "dslr", "webcam")
PAIRS = [f"office31/{a}-to-{b}@transductive" for a in DOMAINS for b in DOMAINS if a != b]
EXPERIMENTS = [one for task in PAIRS for one in every_method(task, WEIGHTS, TRAINING, SEEDS)]
