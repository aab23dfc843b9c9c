"""Does a ResNet-50 fine-tuned from photographs by TLlib's protocol give TLlib's Office-31 accuracies?

Command: `WEIGHTS=NAME da-bench reproduce office31_resnet50 --at-once 1 --data-root DIR`, where DIR holds office31/ and
NAME is what `da-bench weights import resnet50-0676ba61.pth` printed; `da-bench weights sources --arch resnet50` says
where to get that file. The network of NAME is trained, so weights of a ResNet-101 train a ResNet-101.
PRECISION=bfloat16 takes less memory and time on devices that compute in it; these are other runs with ids of their own.
Add `--shard 1/8` and so on for an array of jobs.
Protocol: that of Transfer-Learning-Library (TLlib) for each method (`baselines/tllib.py`): batches of 32 rows of each
domain, Nesterov momentum 0.9, the trunk at a tenth of the learning rate, images resized to 256 x 256 pixels, random
resized crops of 224 and flips. All target images adapt, without labels, and are scored. TLlib chooses the best epoch by
target labels, here the oracle; the label-free column of the card needs none. CORAL, DSAN and SHOT, for which
TLlib has no numbers, train like its DAN or DANN, for other tables of published numbers. Target only, on the inductive
pair, shows what the target's own labels would give.
Cost: 288 runs, 86 hours at 1000 images a second (not measured).
Expected: not run yet; the card shows the printed numbers.
"""

import os

from da_bench.baselines import held_out_target_only, published, tllib

import da_bench as da

SEEDS = 3
WEIGHTS = os.environ.get(
    "WEIGHTS", "resnet50-torchvision"
)  # no imported weights have this name, so a run without WEIGHTS asks for them
PRECISION = os.environ.get("PRECISION", "float32")
# The view of torchvision's weights, except that images are squashed and not cropped. Explicit, so no file is read here
VIEW = da.View()
OTHER_METHODS = {"coral": tllib.DISCREPANCY, "dsan": tllib.DISCREPANCY, "shot": tllib.ADVERSARIAL}
SETTINGS = {**tllib.TRAINING_SETTINGS, **OTHER_METHODS}
METHOD_FIELDS = {"cdan": {"entropy_conditioning": "normalised"}}


def experiment(name: str, task: str, epoch_steps: int | None = None, view: da.View = VIEW) -> da.Experiment:
    """One method on one task; `epoch_steps` replaces the steps of an epoch in TLlib."""
    settings = SETTINGS[name]
    network = da.models.build(WEIGHTS.partition("-")[0], weights=WEIGHTS, bottleneck=settings.bottleneck)
    return da.Experiment(
        task=task,
        method=tllib.method(name, **METHOD_FIELDS.get(name, {})),
        model=network,
        training=tllib.training(settings, epoch_steps, precision=PRECISION),
        view=view,
    )


def experiments(task: str, names: tuple[str, ...] = tuple(SETTINGS), **overrides: object) -> list[da.Experiment]:
    """The methods and the upper bound on one transductive task; `overrides` are arguments of `experiment`."""
    runs = [experiment(name, task, **overrides) for name in names]
    return da.over_seeds([*runs, held_out_target_only(experiment("source_only", task, **overrides))], SEEDS)


PAPER = da.reproduction.Paper(
    title="Transfer-Learning-Library, Office-31, ResNet-50",
    citation=published.TLLIB.citation,
    protocol="ResNet-50 pretrained on ImageNet, fine-tuned from photographs; all source images train, all target "
    "images adapt and are scored; settings of each method in baselines/tllib.py",
    selection=published.TLLIB.selection,
    rule="oracle",
    averaged=published.TLLIB.averaged,
    cells=da.reproduction.printed(published.TLLIB),
    differences=(
        "a tenth of the source validates and does not train",
        "CDAN uses entropy conditioning (CDAN+E), which the suite's script omits",
        "the second classifiers of MCD and MDD are da_bench's, without dropout; all domain classifiers are da_bench's, "
        "without batch normalisation; MCD has no entropy term",
        "MCD and AFN use Nesterov momentum and a tenth of the learning rate on the trunk like the others, unlike in "
        "the suite; MCD's number is that of its first classifier, not of the better one by target labels",
        "DAN, JAN, AFN and MCD have the same bottleneck as the others, with batch normalisation and without dropout",
        "ADDA inverts labels with weight 1; the suite reverses gradients with an increasing weight",
        "ADDA's second phase continues with the optimizer state of the first; BSP has no first epochs on the source "
        "only",
        "FixMatch uses cutout instead of RandAugment, crops down to 8 % instead of 50 % of the area, and batches of 32 "
        "target rows instead of 96",
        "the shorter sides of images on disk are at most 256 pixels, if the data were prepared this way",
    ),
    cost="288 runs, 310 million images forward and backward: 86 hours at 1000 images a second (not measured)",
)
TASKS = [f"{task}@transductive" for task in published.OFFICE31]
EXPERIMENTS = [run for task in TASKS for run in experiments(task)]
