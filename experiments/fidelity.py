"""How far do the forms move that papers and known suites give to the same method?

Command: `da-bench run experiments/fidelity.py`, then `python -m benchmarks.fidelity` for the table,
results/tables/fidelity.md. 925 runs of 185 programs take about twenty minutes of a core, most of them to
compile. OPENBLAS_NUM_THREADS=1 where the cores are shared: its threads, which wait for each other, made singular value
decompositions 250 times as slow there.

Every Literal or bool field of every deep method, but of those that adapt batch normalisation, is set to each of its
values, one at a time against the method's default (the paper's), and so are the combinations that SUITES names. A new
value of such a field enters by itself.
Expect: of 139 comparisons with the defaults 35 outside the noise of seeds, 10 of them by another schedule.
Protocol: inductive, equal budgets, the last step, nothing tuned. A network of 64 hidden units and domain classifiers of
100, so that all of it fits into minutes.
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
NETWORK = models.Mlp(hidden=(64,), activation="relu")  # for both: one with convolutions compiles five times as long
WIDTHS = (100,)  # of domain classifiers and of MDD's second classifier
IMAGES_ONLY = ("cutout",)
RATE_BY_STEPS = 0.001  # TLlib's gamma

# What suites change together, of what the fields can say; their networks and batch normalisation are apart
SUITES: dict[str, dict[str, dict[str, Any]]] = {
    "dann": {
        "TLlib": tllib.FORMS["dann"],
        "DeepDA": {"schedule": "slow_ramp", "domain_loss": "mean"},
    },
    "cdan": {"TLlib, CDAN+E": {**tllib.FORMS["cdan"], "entropy_conditioning": "normalised"}},
    "bsp": {"TLlib": tllib.FORMS["bsp"]},
    "coral": {"TLlib, DomainBed, WILDS": {"weight": 4.0, "layer": "features", "means": True}},
    "mmd": {
        "TLlib": tllib.FORMS["mmd"],
        "TLlib, non-linear": {**tllib.FORMS["mmd"], "estimator": "unbiased"},
        "DeepDA, AdaTime": {
            "weight": 5.0,
            "layers": ("features",),
            "estimator": "biased",
            "bandwidth": "mean",
            "factors": tllib.FIVE,
        },
        "pytorch-adapt": {"layers": ("features",)},
    },
    "jan": {"paper's kernels and estimator": {"kernels": "median", "estimator": "linear"}},
    "dsan": {"DeepDA": {"schedule": "slow_ramp", "counted": "both"}},
    "afn": {"TLlib, SAFN+ENT": tllib.FORMS["afn"]},
    "mcc": {"pytorch-adapt": {"temperature": 1.0}},
    "mcd": {"TLlib on Office": tllib.FORMS["mcd"]},
    "deep_jdot": {"authors' code": {"alpha": 0.01, "label": 1.0, "source": 0.0, "plan_label": "squared"}},
    "jumbot": {"paper on Office-Home": {"eta1": 0.01, "eta2": 0.5, "tau": 0.5, "epsilon": 0.01}},
}
RATES = ("source_only", "dann")  # methods shown also with a learning rate that decays by steps


class Variant(NamedTuple):
    """One form of a method, "" its default. by_steps: whether the learning rate decays by steps, as TLlib does it."""

    method: str
    name: str
    fields: dict[str, Any]
    by_steps: bool = False

    @property
    def value(self) -> Method:
        """The method itself."""
        wide = {"widths": WIDTHS} if hasattr(METHODS[self.method], "widths") else {}
        return METHODS[self.method](**wide, **self.fields)

    def training(self, task: str) -> da.Training:
        """How it trains there."""
        given = TRAINING[task]
        rate = RATE_BY_STEPS * given.steps if self.by_steps else given.decay_rate
        return dataclasses.replace(given, decay_rate=rate)

    def runs(self, task: str) -> list[da.Experiment]:
        """One a seed; none where the variant is of images only and the task has none."""
        if task == "moons/35" and set(IMAGES_ONLY) & set(map(str, self.fields.values())):
            return []
        return da.over_seeds(
            [da.Experiment(task=task, method=self.value, model=NETWORK, training=self.training(task))], SEEDS
        )


def choices(cls: type) -> Iterator[dict[str, Any]]:
    """Every other value of every Literal or bool field of a method, each as {field: value}."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        values = get_args(hints[field.name]) if get_origin(hints[field.name]) is Literal else ()
        values = (False, True) if hints[field.name] is bool else values
        yield from ({field.name: value} for value in values if value != field.default)


def of_method(name: str) -> list[Variant]:
    """The default and everything that is read against it; nothing for a method that has no other form."""
    others = [
        Variant(name, f"{field} = {value}", {field: value})
        for one in choices(METHODS[name])
        for field, value in one.items()
    ]
    suites = [Variant(name, label, fields) for label, fields in SUITES.get(name, {}).items()]
    rates = [Variant(name, "TLlib's learning rate, by steps", {}, by_steps=True)] if name in RATES else []
    found = [*others, *suites, *rates]
    return [Variant(name, "", {}), *found] if found else []


VARIANTS = [one for method in deep_methods() for one in of_method(method.name)]
EXPERIMENTS = [run for task in TRAINING for one in VARIANTS for run in one.runs(task)]
