"""Do methods gain on digits under a fixed protocol without target labels, as the pytorch-ada suite reports?

Command: `da-bench reproduce digits_ada --data-root DIR`, where DIR holds mnist/, usps/, and either mnist_m/ or bsds500/
with mnist_m/offsets.npz. SVHN=1 adds SVHN to MNIST and MNIST to SVHN; DIR must then hold svhn/ as well.
Protocol: that of pytorch-ada's documentation: one network and learning rate, 20 epochs on the source and 100 with the
method, 150 rows of each domain in a batch; the last epoch, no selection by target labels; 5 runs.
Cost: 70 runs; needs a GPU (not measured).
Expected: not run yet; the printed numbers are `published.ADA_DIGITS`.
"""

import math
import os

from da_bench.baselines import published

import da_bench as da

SEEDS = 5
EPOCHS = 120
BATCH = 150
SOURCE_ROWS = {"mnist": 60_000, "svhn": 73_257}  # they determine the length of an epoch
WITH_SVHN = ["svhn-to-mnist", "mnist-to-svhn"] if os.environ.get("SVHN") else []
TASKS = ["mnist-to-mnist_m", "mnist-to-usps_pooled", *WITH_SVHN]
METHODS = [
    da.methods.SourceOnly(),
    da.methods.Dann(widths=(100,), domain_loss="mean"),
    da.methods.Cdan(widths=(100,), joint="outer"),
    da.methods.Cdan(widths=(100,), joint="outer", entropy_conditioning="plain"),
    da.methods.Mmd(layers=("features",)),
    da.methods.Jan(),
    da.methods.Wdgrl(),
]


def experiments(task: str, seeds: int = SEEDS, epochs: int = EPOCHS) -> list[da.Experiment]:
    """Every method on one task; an epoch is a pass over the source."""
    steps = epochs * math.ceil(SOURCE_ROWS[task.partition("-to-")[0]] / BATCH)
    training = da.Training(
        steps=steps,
        evaluations=epochs,
        batch_size=BATCH,
        optimizer="nesterov",
        learning_rate=0.001,
        weight_decay=0.0005,
    )
    runs = [da.Experiment(task=task, method=m, model=da.models.AdaDigits(), training=training) for m in METHODS]
    return da.over_seeds(runs, seeds)


EXPERIMENTS = [experiment for task in TASKS for experiment in experiments(task)]
PAPER = da.reproduction.Paper(
    title="pytorch-ada, digits",
    citation=published.ADA_DIGITS.citation,
    protocol="20 epochs on the source, then 100 with the method; batches of 150 rows of each domain; Nesterov "
    "momentum, learning rate 0.001",
    selection=published.ADA_DIGITS.selection,
    rule="last",
    averaged=published.ADA_DIGITS.averaged,
    cells=da.reproduction.printed(published.ADA_DIGITS, tasks=TASKS),
    differences=(
        "methods act from the first epoch, with weights that ramp up over all epochs; the suite starts them after 20",
        "the learning rate decays from the first epoch, not from epoch 20",
        "DANN's lambda scales the encoder's gradient only, and its loss is the mean over the domains; the suite scales "
        "the sum of their losses. Details that its documentation omits follow the papers; the domain classifier has no "
        "batch normalisation",
        "the test rows of USPS are drawn at random, as many as in the suite's file, but not the same",
        "an epoch counts all rows of the source, a tenth of which validates and does not train; the suite's epoch "
        "counts nine tenths, so it takes a tenth fewer steps",
    ),
    cost="70 runs, a thousand million images forward and backward; needs a GPU (not measured)",
)
