"""Do methods gain on digits under a fixed protocol that never looks at target labels, as one suite found them to?

Command: `da-bench reproduce digits_ada --data-root DIR`, where DIR holds mnist/, usps/, and mnist_m/ or bsds500/ and
mnist_m/offsets.npz. SVHN=1 adds SVHN to MNIST and back, for which it has to hold svhn/, too.
Protocol: pytorch-ada's of its documentation: one network, one rate, 20 epochs of the source and 100 with the method, of
150 rows of each domain; the last epoch, no choice by target labels; 5 runs.
Not made here: the printed numbers are all there is to expect, those of `published.ADA_DIGITS`.
"""

import math
import os

from da_bench.baselines import published

import da_bench as da

SEEDS = 5
EPOCHS = 120
BATCH = 150
ROWS = {"mnist": 60_000, "svhn": 73_257}  # of the source, which make the epochs
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


def runs(task: str, seeds: int = SEEDS, epochs: int = EPOCHS) -> list[da.Experiment]:
    """Every method on one pair; an epoch is one of the source."""
    steps = epochs * math.ceil(ROWS[task.partition("-to-")[0]] / BATCH)
    training = da.Training(
        steps=steps,
        evaluations=epochs,
        batch_size=BATCH,
        optimizer="nesterov",
        learning_rate=0.001,
        weight_decay=0.0005,
    )
    made = [da.Experiment(task=task, method=one, model=da.models.AdaDigits(), training=training) for one in METHODS]
    return da.over_seeds(made, seeds)


EXPERIMENTS = [one for task in TASKS for one in runs(task)]
PAPER = da.reproduction.Paper(
    title="pytorch-ada, digits",
    citation=published.ADA_DIGITS.citation,
    protocol="20 epochs of the source, then 100 of the method, 150 rows of each domain, Nesterov, rate 0.001",
    selection=published.ADA_DIGITS.selection,
    rule="last",
    averaged=published.ADA_DIGITS.averaged,
    cells=da.reproduction.printed(published.ADA_DIGITS, tasks=TASKS),
    differences=(
        "methods act from the start, their weights by the ramp over all epochs, where the suite begins them after 20",
        "the learning rate falls from the start, not from epoch 20 on",
        "lambda is on DANN's encoder alone, and its loss the mean of the domains', where the suite weighs their whole "
        "sum; other forms that its documentation does not say are those of their papers; the domain classifier has no "
        "batch normalisation",
        "of USPS rows are drawn at random for the test, as many as in the suite's file, which are others",
        "an epoch is one of all of the source's rows, of which a tenth validates and does not train; the suite's is of "
        "nine tenths, so that it takes a tenth fewer steps",
    ),
    cost="70 runs, a thousand million images forth and back: an accelerator (not measured)",
)
