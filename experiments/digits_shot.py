"""Does SHOT, which never sees source and target together, reach on MNIST and USPS what it was published with?

Command: `da-bench reproduce digits_shot --data-root DIR`, where DIR holds mnist/ and usps/. SVHN=1 adds SVHN to MNIST,
for which it has to hold svhn/, too. OTHERS=1 adds SHOT-IM and other methods with the same network, steps and rates.
Protocol: the authors' code: batches of 64, Nesterov momentum 0.9, weight decay 0.001, the learning rate from 0.01 by
DANN's schedule; 30 epochs of the source, then 30 of the target; the target's training split adapts, its test split is
scored, at the last step. The authors' USPS has 7438 training and 1860 test rows; "usps_pooled" has as many, drawn anew
from all rows. USPS as it was published, whose test rows are harder, is made beside it.
Expect: SHOT as printed from USPS, 2 points below from MNIST, and 4 on USPS as it was published; the bounds within a
point; source only as printed from MNIST, and 19 points below from USPS, which the authors shift and turn.
"""

import math
import os

from da_bench.baselines import classics, published, target_only

import da_bench as da

SEEDS = 5
EPOCHS = 30
ROWS = {"mnist": 60_000, "usps": 7_291, "usps_pooled": 7_438, "svhn": 73_257}  # training rows, which make the epochs
BATCH = 64
PAIRS = ["usps-to-mnist", "mnist-to-usps_pooled", "mnist-to-usps"]
TASKS = [*PAIRS, *(["svhn-to-mnist"] if os.environ.get("SVHN") else [])]
OTHERS = bool(os.environ.get("OTHERS"))
PRINTED = ["source_only", "shot", *(["shot_im"] if OTHERS else []), "target_only"]


def training(steps: int) -> da.Training:
    """The code's stochastic gradient descent, looked at ten times."""
    whole = 10 * math.ceil(steps / 10)
    return da.Training(steps=whole, evaluations=10, batch_size=BATCH, optimizer="nesterov", weight_decay=0.001)


def pair(task: str, seeds: int = SEEDS, epochs: int = EPOCHS, others: bool = False) -> list[da.Experiment]:
    """The source alone, SHOT, and the target alone, each for its epochs."""
    source, target = (epochs * math.ceil(ROWS[domain] / BATCH) for domain in task.split("-to-"))
    network = da.models.Dtn(width=256, dropout=0.0) if "svhn" in task else da.models.ShotLenet()
    phases = {"pretrain": source / (source + target), "restart": True}
    shot, without_labels = da.methods.Shot(**phases, beta=0.1, renew=10), da.methods.Shot(**phases, variant="im")
    alone = {"task": task, "model": network, "method": da.methods.SourceOnly()}
    both = [shot, *([without_labels, da.methods.Dann(), *classics()] if others else [])]
    made = [
        da.Experiment(**alone, training=training(source)),
        *(da.Experiment(task=task, model=network, method=one, training=training(source + target)) for one in both),
        target_only(da.Experiment(**alone, training=training(target))),
    ]
    return da.over_seeds(made, seeds)


EXPERIMENTS = [one for task in TASKS for one in pair(task, others=OTHERS)]
PAPER = da.reproduction.Paper(
    title="SHOT, ICML 2020, Table 2: digits",
    citation=published.SHOT_DIGITS.citation,
    protocol="the authors' code: 30 epochs of the source, then 30 of the target without it; 3 runs",
    selection=published.SHOT_DIGITS.selection,
    rule="last",
    averaged=published.SHOT_DIGITS.averaged,
    cells=da.reproduction.printed(published.SHOT_DIGITS, published.SHOT_SVHN, tasks=TASKS, methods=PRINTED),
    differences=(
        "pixels from 0 to 1, not from -1 to 1",
        "pseudo-labels are by centroids found every tenth step, from the features and predictions that rows had in "
        "training, with dropout and the batch's statistics, not once an epoch in evaluation",
        "source only learns without label smoothing, and takes the last step, not that of the best source accuracy",
        "USPS as a source is not shifted and turned at random, and is the 7291 rows that were published for training",
        "USPS as a target is split as theirs in numbers, of which the rows are drawn anew",
        "a tenth of each training split validates and does not train",
        "USPS is grown to 28 pixels by Pillow's filter from LIBSVM's files",
    ),
    cost="45 runs, 950 thousand steps of 64 rows: 6.7 hours of a CPU core, minutes on an accelerator (not measured)",
)
