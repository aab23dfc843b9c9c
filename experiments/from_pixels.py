"""What does DANN gain if a whole pretrained network is fine-tuned from photographs, on a CPU only?

Command: `WEIGHTS=NAME da-bench run experiments/from_pixels.py --isolate --data-root DIR`, where DIR holds office31/.
NAME is what `da-bench weights import FILE` printed for a MobileNetV2 of torchvision or Keras. It can also be the small
`.tflite` file, imported with `--statistics-from DIR/office31/amazon`: without this option its batch normalisation has
no statistics to train with. `da-bench weights sources --arch mobilenet_v2` lists where to get these files.
`da-bench table --of cost` then shows images a second and peak memory; --isolate measures the memory of each run.
Protocol: inductive; one seed; no tuning: the papers' stochastic gradient descent, the trunk at a tenth of the learning
rate, random resized crops of 224 pixels and flips. The number of steps suits a CPU; on a GPU, use STEPS=4000 BATCH=32
SEEDS=5.
Cost: 2 runs, an hour and three quarters of one CPU core, 8 GiB.
Expected: 52 % for source only and 35 % for DANN after so few steps.
"""

import os

from da_bench.baselines import fine_tuned

import da_bench as da

TASK = "office31/amazon-to-webcam"
WEIGHTS = os.environ.get(
    "WEIGHTS", "mobilenet_v2"
)  # no imported weights have this name, so a run without WEIGHTS asks for them
STEPS, BATCH, SEEDS = (
    int(os.environ.get(name, default)) for name, default in (("STEPS", 300), ("BATCH", 16), ("SEEDS", 1))
)
TRAINING = da.Training(steps=STEPS, evaluations=3, batch_size=BATCH)
METHODS = (da.methods.SourceOnly(), da.methods.Dann())
EXPERIMENTS = da.over_seeds([fine_tuned(method, TASK, WEIGHTS, training=TRAINING) for method in METHODS], SEEDS)
