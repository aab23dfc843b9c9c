"""Which method gains how much on Office-Caltech10's photographs, on one pretrained network's features and twelve pairs?

Command: `da-bench run experiments/office_caltech10.py --data-root DIR`, where DIR holds office31/ and
office_caltech10/caltech10/. The variable WEIGHTS names imported ImageNet weights (`da-bench weights list`); the default
is the MobileNetV2 of `da-bench weights sources`.
Budget: one trial for each method with the defaults of its paper, no tuning; 5 seeds. All deep methods use the same head
(a layer of 256 units), steps, batch size and learning rate. Features are extracted once. References: a linear head on
the features (feature extraction), source only, target only, and target only scored on held-out rows, which is the
inductive task of the pair. The classical methods use the features without a head and run once.
Protocol: transductive, as in the published tables: all target images adapt, without labels, and all are scored. The
published tables use DeCAF6 and AlexNet, other networks: compare gains, not accuracies.
Cost: 2280 runs, about two and a half hours of one CPU core with `--validators all`.
Expected: a linear classifier of the source reaches 93 % on average, so little is left to gain; NRC, SHOT and MCC are
four points above source only.
"""

import os

from da_bench.baselines import all_methods_on_features

import da_bench as da

SEEDS = 5
WEIGHTS = os.environ.get("WEIGHTS", "mobilenet_v2-keras-5e29f8ecf3bc")
TRAINING = da.Training(steps=600, evaluations=6, batch_size=32)
DOMAINS = ("caltech10", "amazon", "webcam", "dslr")
TASKS = [f"office_caltech10/{a}-to-{b}@transductive" for a in DOMAINS for b in DOMAINS if a != b]
EXPERIMENTS = [experiment for task in TASKS for experiment in all_methods_on_features(task, WEIGHTS, TRAINING, SEEDS)]
