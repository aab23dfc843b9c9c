"""Judging a run, from its stored predictions to its record: target labels are opened here, after training."""

import math
import resource
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.special

from da_bench.core.config import UserError
from da_bench.core.types import Array, Domain, Splits, Task
from da_bench.data.lazy_arrays import Joined, Mixed, Rows, first
from da_bench.data.splits import SPLIT
from da_bench.evaluation import metrics as evaluate
from da_bench.evaluation import validators as select
from da_bench.evaluation.transferability import TransferInputs, measure, proxy_a_distance
from da_bench.evaluation.validators.neighbourhoods import MIXVAL_WEIGHT
from da_bench.studies.experiment import Experiment
from da_bench.studies.records import Record, environment

TESTS = ("source_test", "target_test")
WATCHED = ("train", "validation", "target_validation")  # as `select.CheckpointFeatures` has them


class Predictions(NamedTuple):
    """What one run is judged by: steps [e], logits by probe [e, n, c], metrics [e] by name, features by probe [n, d].

    A shallow method has one evaluation, at step 0, and no features. watched: features [e, w, d] of the WATCHED probes
    at every evaluation, None where they were not kept. state: sha256 of the last state of the training, None of a
    shallow method: two runs with equal ones are the same to the last bit. reversed: `reverse_predictions` of
    `select.ValidatorInputs`.
    """

    steps: list[int]
    logits: dict[str, np.ndarray]
    metrics: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    watched: select.CheckpointFeatures | None = None
    state: str | None = None
    reversed: np.ndarray | None = None


class Probe(NamedTuple):
    """inputs [n, ...] to predict, not read yet; of_target: whether they come from the target."""

    inputs: Any
    of_target: bool


class Seconds(NamedTuple):
    """Wall time of `together` runs that were one program: compiling it, and running it."""

    compile: float
    run: float
    together: int


def labelled(experiment: Experiment, task: Task) -> Splits:
    """What the run is given labels of: training labels, and those that a label-free rule may look at."""
    if experiment.labels_from == "source":
        return task.source
    if experiment.shots is None:
        return task.target
    few = first_of_each_class(task.target.train, experiment.shots)
    if experiment.labels_from == "target":
        return task.target._replace(train=few, validation=few)  # no label of the target but these
    return task.source._replace(train=joined(task.source.train, few))


def first_of_each_class(domain: Domain, shots: int) -> Domain:
    """The first so many rows of each class: the same ones for every seed and method, and among those of more shots.

    Raises:
        UserError: a class has fewer.
    """
    labels = np.asarray(domain.labels)
    found = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if (fewest := min(map(len, found))) < shots:
        raise UserError(f"Experiment.shots = {shots}: the target's training split has only {fewest} rows of some class")
    rows = np.sort(np.concatenate([one[:shots] for one in found]))
    return Domain(_rows(domain, rows), labels[rows])


def joined(one: Domain, other: Domain) -> Domain:
    """Both, one after the other; nothing is read."""
    both: Any = Joined((one.inputs, other.inputs))
    inputs: Any = Rows(both, np.arange(len(both)))
    return Domain(inputs, np.concatenate([one.labels, other.labels]))


def _rows(domain: Domain, rows: np.ndarray) -> Any:
    inputs = domain.inputs
    return Rows(inputs.array, inputs.index[rows]) if isinstance(inputs, Rows) else Rows(inputs, rows)


def probes(experiment: Experiment, task: Task) -> dict[str, Probe]:
    """What a run predicts at every evaluation: held-out labelled rows, held-out target rows, both test sets; and for
    validators the first rows of the labelled training split, and mixtures of the first held-out target rows.
    """
    ours, bound, held_out = labelled(experiment, task), experiment.labels_from == "target", task.target.validation
    return {
        "validation": Probe(ours.validation.inputs, bound),
        "target_validation": Probe(held_out.inputs, True),
        "source_test": Probe(task.source.test.inputs, False),
        "target_test": Probe(task.target.test.inputs, True),
        "train": Probe(first(ours.train.inputs, select.MAX_ROWS), bound),
        "target_mixed": Probe(Mixed(first(held_out.inputs, select.MAX_ROWS), MIXVAL_WEIGHT), True),
    }


def watched(held_out: dict[str, Probe]) -> list[np.ndarray]:
    """Places, among all probes one after another, of the first rows of each of WATCHED."""
    starts = dict(zip(held_out, np.cumsum([0, *(len(probe.inputs) for probe in held_out.values())]), strict=False))
    return [starts[name] + np.arange(min(len(held_out[name].inputs), select.MAX_ROWS)) for name in WATCHED]


def judge(
    experiment: Experiment, task: Task, predictions: Predictions, seconds: Seconds
) -> tuple[Record, dict[str, np.ndarray]]:
    """The record of a run, and the predicted classes of both test sets [e, n] that it was computed from."""
    logits, tests = predictions.logits, dict(zip(TESTS, (task.source.test, task.target.test), strict=True))
    source, target = (evaluate.accuracies(logits[name], test.labels) for name, test in tests.items())
    scores = select.score_checkpoints(_evidence(predictions, labelled(experiment, task).validation.labels))
    healthy = all(evaluate.finite_evaluations(one).all() for one in logits.values())
    result = {
        "status": "ok" if healthy else "diverged",
        "rules": _rules(predictions.steps, source, target, scores),
        "proxy_a_distance": _distance(predictions.features),
        "transferability": _measures(predictions, task.target.test.labels) if predictions.watched else None,
        "seconds": seconds._asdict(),
        "peak_bytes": peak_bytes(),
        "state": predictions.state,
    }
    classes = {name: logits[name].argmax(axis=2).astype(np.uint16) for name in TESTS}
    return _record(experiment, task, result, _curves(predictions, source, target, scores)), classes


def _evidence(predictions: Predictions, labels: Array) -> select.ValidatorInputs:
    logits = predictions.logits
    of_target, mixed = logits["target_validation"], logits["target_mixed"]
    return select.ValidatorInputs(
        logits["validation"], labels, of_target, mixed, predictions.watched, predictions.reversed
    )


def skipped(experiment: Experiment, task: Task, reason: str) -> tuple[Record, dict[str, np.ndarray]]:
    """The record of a run that its method cannot make, and no predictions."""
    return _record(experiment, task, {"status": "skipped", "reason": reason, "rules": {}}, {}), {}


def failed(experiment: Experiment, task: Task, cause: str, reason: str) -> tuple[Record, dict[str, np.ndarray]]:
    """The record of a run that was begun and left no result; cause: one word for it, reason: a sentence."""
    return _record(experiment, task, {"status": "failed", "cause": cause, "reason": reason, "rules": {}}, {}), {}


def _record(experiment: Experiment, task: Task, result: dict[str, Any], curves: dict[str, Any]) -> Record:
    where = environment(task.fingerprint, experiment.seed)
    given = {"protocol": task.protocol, "split": SPLIT, "classes": list(task.classes)}
    method = experiment.method
    own = {"adapts": method.metadata.adapts, "expected_failed_checks": dict(method.metadata.expected_failures)}
    result = {**own, **given, **result}
    return Record(experiment.id, experiment.config(), result, curves, where)


def _curves(
    predictions: Predictions, source: evaluate.Accuracies, target: evaluate.Accuracies, scores: dict[str, np.ndarray]
) -> dict[str, Any]:
    return {
        "step": predictions.steps,
        "source_accuracy": source.micro.tolist(),
        "target_accuracy": target.micro.tolist(),
        "source_macro": source.macro.tolist(),
        "target_macro": target.macro.tolist(),
        "validators": {name: _numbers(values) for name, values in scores.items()},
        "metrics": {name: _numbers(values) for name, values in predictions.metrics.items()},
    }


def _rules(
    steps: list[int], source: evaluate.Accuracies, target: evaluate.Accuracies, scores: dict[str, np.ndarray]
) -> dict[str, Any]:
    chosen = select.select_checkpoints(scores, target.micro)
    return {
        rule: {
            "evaluation": i,
            "step": steps[i],
            "source_accuracy": float(source.micro[i]),
            "source_macro": float(source.macro[i]),
            "target_accuracy": float(target.micro[i]),
            "target_macro": float(target.macro[i]),
            "target_per_class": _numbers(target.per_class[i]),
        }
        for rule, i in chosen.items()
    }


def _distance(features: dict[str, np.ndarray]) -> float | None:
    """Between the features of both test sets after the last step; None where there are none or they are not finite."""
    if not features:
        return None
    distance = proxy_a_distance(features["source_test"], features["target_test"])
    return distance if math.isfinite(distance) else None


def peak_bytes() -> dict[str, int | None]:
    """The most memory that this process has held so far, and its first device where that is apart and known.

    Of a run that was made in a process of its own (`isolate`) it is what the run needs; of several made together in
    one, what they and all before them did.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"host": held, "device": (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")}


def _measures(predictions: Predictions, labels: Array) -> dict[str, float | None]:
    """Of both test sets after the last step."""
    source, target = (predictions.features[name] for name in TESTS)
    p = scipy.special.softmax(np.asarray(predictions.logits["target_test"][-1], np.float64), axis=-1)
    found = measure(TransferInputs(source, target, p, np.asarray(labels)))
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _numbers(values: Any) -> list[float | None]:
    """JSON has no NaN and no infinity: None."""
    return [float(value) if math.isfinite(value) else None for value in np.asarray(values)]
