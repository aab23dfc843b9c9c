"""Which method gains what on Office-Caltech10's photographs, on one pretrained network's features, all twelve pairs?

Command: `da-bench run experiments/office_caltech10.py --data-root DIR`, where DIR holds office31/ and
office_caltech10/caltech10/, with the variable WEIGHTS set to imported ImageNet weights (`da-bench weights list`); by
default those of the MobileNetV2 that `da-bench weights sources` names.
Budget: one trial a method, the defaults of its paper, no tuning of anything; 5 seeds; the same head (a layer of 256
units), steps, batches and learning rate for all. Features are extracted once. References: a linear head on the features
(feature extraction), source only, target only, and target only scored on rows that it has not seen, which is the pair's
inductive task. The classical methods see the features as they are, once.
Protocol: transductive, as the published tables have it: all of the target's images, without labels, adapt, and all
are scored. Those tables are of DeCAF6 and AlexNet, other networks: their gains are to be read beside these, not their
accuracies.
Cost: 2280 runs, about two and a half hours of one CPU core with `--validators all`.
Expect: a linear classifier of the source alone at 93 % on average, so that little is left to gain; NRC, SHOT and MCC
four points above source only.
"""

import os

from da_bench.baselines import every_method

import da_bench as da

SEEDS = 5
WEIGHTS = os.environ.get("WEIGHTS", "mobilenet_v2-keras-5e29f8ecf3bc")
TRAINING = da.Training(steps=600, evaluations=6, batch_size=32)
DOMAINS = ("caltech10", "amazon", "webcam", "dslr")
PAIRS = [f"office_caltech10/{a}-to-{b}@transductive" for a in DOMAINS for b in DOMAINS if a != b]
EXPERIMENTS = [one for task in PAIRS for one in every_method(task, WEIGHTS, TRAINING, SEEDS)]
