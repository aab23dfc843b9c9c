"""What does DANN gain where all of a pretrained network learns from photographs, on nothing but a CPU?

Command: `WEIGHTS=NAME da-bench run experiments/from_pixels.py --isolate --data-root DIR`, where DIR holds office31/ and
NAME is what `da-bench weights import FILE` printed, of a MobileNetV2 of torchvision or Keras; or of the small `.tflite`
file with `--statistics-from DIR/office31/amazon`, without which its batch normalisation has none to learn with.
`da-bench weights sources --arch mobilenet_v2` says where to get them. `da-bench table --of cost` then shows images a
second and the most memory, which --isolate makes each run's own.
Protocol: inductive; one seed; nothing tuned: the papers' stochastic gradient descent, the trunk at a tenth of the rate,
random resized crops of 224 pixels and flips. The few steps are for a CPU; STEPS=4000 BATCH=32 SEEDS=5 is for a GPU.
Cost: 2 runs, an hour and three quarters of one CPU core, 8 GiB.
Expect: 52 % of source only and 35 of DANN after so few steps.
"""

import os

from da_bench.baselines import fine_tuned

import da_bench as da

TASK = "office31/amazon-to-webcam"
WEIGHTS = os.environ.get("WEIGHTS", "mobilenet_v2")  # no file has so short a name: a run asks for WEIGHTS
STEPS, BATCH, SEEDS = (
    int(os.environ.get(name, usual)) for name, usual in (("STEPS", 300), ("BATCH", 16), ("SEEDS", 1))
)
TRAINING = da.Training(steps=STEPS, evaluations=3, batch_size=BATCH)
METHODS = (da.methods.SourceOnly(), da.methods.Dann())
EXPERIMENTS = da.over_seeds([fine_tuned(method, TASK, WEIGHTS, training=TRAINING) for method in METHODS], SEEDS)
