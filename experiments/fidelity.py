"""How much do the variants of a method that papers and known suites use change its results?

Command: `da-bench run experiments/fidelity.py`, then `python -m benchmarks.fidelity` for the table
results/tables/fidelity.md. Set OPENBLAS_NUM_THREADS=1 if the cores are shared: OpenBLAS threads that wait for each
other made singular value decompositions 250 times slower.
Design: every Literal or bool field of every deep method, except those that adapt batch normalisation, is set to each of
its values, one at a time, and compared with the method's default (that of its paper). The combinations in SUITES are
compared as well. A new value of such a field is included automatically.
Protocol: inductive, equal budgets, the last step, no tuning. The network has 64 hidden units and domain classifiers
100, so that the study takes minutes.
Cost: 925 runs of 185 programs, about twenty minutes of a core, most of it for compilation.
Expected: of 139 comparisons with the defaults, 35 are outside the noise of the seeds, 10 of them because of another
schedule.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from da_bench.baselines import deep_methods, tllib

import da_bench as da
from da_bench import models
from da_bench.methods import METHODS, Method

SEEDS = 5
TRAINING = {
    "digits/synthetic-to-real": da.Training(steps=500, evaluations=2, learning_rate=0.02),
    "moons/35": da.Training(steps=500, evaluations=2, learning_rate=0.3),
}
NETWORK = models.Mlp(
    hidden=(64,), activation="relu"
)  # for both tasks: a convolutional network compiles five times slower
WIDTHS = (100,)  # of domain classifiers and MDD's second classifier
IMAGE_ONLY_VALUES = ("cutout",)
TLLIB_GAMMA = 0.001  # TLlib's learning rate at step i is divided by (1 + gamma i)^0.75

# Combinations that suites use, as far as fields can express them; networks and batch normalisation are not compared
SUITES: dict[str, dict[str, dict[str, Any]]] = {
    "dann": {
        "TLlib": tllib.METHOD_FIELDS["dann"],
        "DeepDA": {"schedule": "slow_ramp", "domain_loss": "mean"},
    },
    "cdan": {"TLlib, CDAN+E": {**tllib.METHOD_FIELDS["cdan"], "entropy_conditioning": "normalised"}},
    "bsp": {"TLlib": tllib.METHOD_FIELDS["bsp"]},
    "coral": {"TLlib, DomainBed, WILDS": {"weight": 4.0, "layer": "features", "means": True}},
    "mmd": {
        "TLlib": tllib.METHOD_FIELDS["mmd"],
        "TLlib, non-linear": {**tllib.METHOD_FIELDS["mmd"], "estimator": "unbiased"},
        "DeepDA, AdaTime": {
            "weight": 5.0,
            "layers": ("features",),
            "estimator": "biased",
            "bandwidth": "mean",
            "factors": tllib.FIVE_BANDWIDTHS,
        },
        "pytorch-adapt": {"layers": ("features",)},
    },
    "jan": {"paper's kernels and estimator": {"kernels": "median", "estimator": "linear"}},
    "dsan": {"DeepDA": {"schedule": "slow_ramp", "counted": "both"}},
    "afn": {"TLlib, SAFN+ENT": tllib.METHOD_FIELDS["afn"]},
    "mcc": {"pytorch-adapt": {"temperature": 1.0}},
    "mcd": {"TLlib on Office": tllib.METHOD_FIELDS["mcd"]},
    "deep_jdot": {"authors' code": {"alpha": 0.01, "label": 1.0, "source": 0.0, "plan_label": "squared"}},
    "jumbot": {"paper on Office-Home": {"eta1": 0.01, "eta2": 0.5, "tau": 0.5, "epsilon": 0.01}},
}
STEP_DECAY_METHODS = ("source_only", "dann")  # also run with a learning rate that decays by steps, as in TLlib


class Variant(NamedTuple):
    """One variant of a method.

    Attributes:
        method: registered name of the method.
        name: name of the variant; "" for the default.
        fields: fields of the method that differ from its defaults.
        decay_by_steps: whether the learning rate decays by steps, as in TLlib, instead of progress.
    """

    method: str
    name: str
    fields: dict[str, Any]
    decay_by_steps: bool = False

    @property
    def value(self) -> Method:
        """The method with these fields."""
        widths = {"widths": WIDTHS} if hasattr(METHODS[self.method], "widths") else {}
        return METHODS[self.method](**widths, **self.fields)

    def training(self, task: str) -> da.Training:
        """Training settings on a task."""
        training = TRAINING[task]
        decay_rate = TLLIB_GAMMA * training.steps if self.decay_by_steps else training.decay_rate
        return dataclasses.replace(training, decay_rate=decay_rate)

    def experiments(self, task: str) -> list[da.Experiment]:
        """One experiment for each seed; none if the variant needs images and the task has none."""
        if task == "moons/35" and set(IMAGE_ONLY_VALUES) & set(map(str, self.fields.values())):
            return []
        experiment = da.Experiment(task=task, method=self.value, model=NETWORK, training=self.training(task))
        return da.over_seeds([experiment], SEEDS)


def field_alternatives(cls: type) -> Iterator[dict[str, Any]]:
    """Every value other than the default of every Literal or bool field of a method, as {field: value}."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        values = get_args(hints[field.name]) if get_origin(hints[field.name]) is Literal else ()
        values = (False, True) if hints[field.name] is bool else values
        yield from ({field.name: value} for value in values if value != field.default)


def variants_of(name: str) -> list[Variant]:
    """The default of a method and all its variants; empty for a method without variants."""
    alternatives = [
        Variant(name, f"{field} = {value}", fields)
        for fields in field_alternatives(METHODS[name])
        for field, value in fields.items()
    ]
    suites = [Variant(name, label, fields) for label, fields in SUITES.get(name, {}).items()]
    decays = (
        [Variant(name, "TLlib's learning rate, by steps", {}, decay_by_steps=True)]
        if name in STEP_DECAY_METHODS
        else []
    )
    variants = [*alternatives, *suites, *decays]
    return [Variant(name, "", {}), *variants] if variants else []


VARIANTS = [variant for method in deep_methods() for variant in variants_of(method.name)]
EXPERIMENTS = [experiment for task in TRAINING for variant in VARIANTS for experiment in variant.experiments(task)]
