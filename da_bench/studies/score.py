"""Scoring: from a finished run to its record. Target labels are read here, after training."""

import math
import resource
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.special

from da_bench.core.config import round_to_digits
from da_bench.core.types import Array, Task
from da_bench.data.splits import SPLIT
from da_bench.evaluation import metrics, validators
from da_bench.evaluation.probes import TESTS, RunOutput
from da_bench.evaluation.transferability import TransferInputs, measure, proxy_a_distance
from da_bench.studies.archive import DIGITS
from da_bench.studies.experiment import Experiment
from da_bench.studies.fit import FinishedRun
from da_bench.studies.prepare import PreparedGroup
from da_bench.studies.provenance import environment
from da_bench.studies.records import Record


class ScoredRun(NamedTuple):
    """What `Records.publish` writes.

    Attributes:
        record: of the run.
        predictions: predicted classes [e, n] of both test sets, uint16, from which the accuracies were computed; empty
            for a run without a result.
    """

    record: Record
    predictions: Mapping[str, np.ndarray]


def score_run(run: FinishedRun, group: PreparedGroup) -> ScoredRun:
    """Compute the record of a run from its predictions.

    Args:
        run: of the group.
        group: with the labels of the test sets.
    """
    output, task = run.output, group.task
    source = metrics.accuracies(output.logits["source_test"], task.source.test.labels)
    target = metrics.accuracies(output.logits["target_test"], task.target.test.labels)
    scores = validators.score_checkpoints(
        validators.ValidatorInputs(
            validation_logits=output.logits["validation"],
            validation_labels=group.labelled.validation.labels,
            target_logits=output.logits["target_validation"],
            mixed_logits=output.logits["target_mixed"],
            features=output.kept_features,
            reverse_predictions=output.reverse_classes,
        )
    )
    finite = all(metrics.finite_evaluations(logits).all() for logits in output.logits.values())
    result = {
        "status": "ok" if finite else "diverged",
        "rules": _results_by_rule(output.steps, source, target, scores),
        "proxy_a_distance": _proxy_a_distance(output.features),
        "transferability": _transferability(output, task.target.test.labels) if output.kept_features else None,
        "seconds": run.timing._asdict(),
        "peak_bytes": peak_bytes(),
        "state": output.state,
    }
    curves = {
        "step": output.steps,
        "source_accuracy": source.micro.tolist(),
        "target_accuracy": target.micro.tolist(),
        "source_macro": source.macro.tolist(),
        "target_macro": target.macro.tolist(),
        "validators": {name: _json_numbers(values) for name, values in scores.items()},
        "metrics": {name: _json_numbers(values) for name, values in output.metrics.items()},
    }
    classes = {name: output.logits[name].argmax(axis=2).astype(np.uint16) for name in TESTS}
    return ScoredRun(_record(run.experiment, task, result, curves), classes)


def skipped_run(experiment: Experiment, task: Task, reason: str) -> ScoredRun:
    """Return the record of a run that its method cannot compute on this task."""
    return ScoredRun(_record(experiment, task, {"status": "skipped", "reason": reason, "rules": {}}, {}), {})


def failed_run(experiment: Experiment, task: Task, cause: str, reason: str) -> ScoredRun:
    """Return the record of a run that started and left no result.

    Args:
        experiment: that was run.
        task: its data.
        cause: one word, see `executors.subprocess.Failure`.
        reason: a sentence for the table.
    """
    result = {"status": "failed", "cause": cause, "reason": reason, "rules": {}}
    return ScoredRun(_record(experiment, task, result, {}), {})


def rule_score(record: Record, rule: str) -> float:
    """Return the score that a selection rule gives to a run.

    That is its validator's score at the checkpoint that it chooses, rounded to the digits that archives keep, so that
    the same setting is chosen from an archive. NaN where there is none.
    """
    if rule == validators.ORACLE:
        accuracy = record.result["rules"].get(rule, {}).get("target_accuracy")
        return math.nan if accuracy is None else round_to_digits(accuracy, DIGITS)
    scores = record.curves.get("validators", {}).get(rule, [])
    return round_to_digits(max((score for score in scores if score is not None), default=math.nan), DIGITS)


def peak_bytes() -> dict[str, int | None]:
    """Return the peak memory of this process so far, and of its first device where it has its own and reports it.

    For a run in its own process (`Options.isolate`) this is what the run needs. For runs computed together in one
    process it includes all of them and the runs before.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"host": host, "device": (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")}


def _record(experiment: Experiment, task: Task, result: dict[str, Any], curves: dict[str, Any]) -> Record:
    method = experiment.method
    facts = {
        "adapts": method.metadata.adapts,
        "expected_failed_checks": dict(method.metadata.expected_failures),
        "protocol": task.protocol,
        "split": SPLIT,
        "classes": list(task.classes),
    }
    provenance = environment(task.fingerprint, experiment.seed)
    return Record(experiment.id, experiment.config(), {**facts, **result}, curves, provenance)


def _results_by_rule(
    steps: list[int], source: metrics.Accuracies, target: metrics.Accuracies, scores: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Accuracies at the evaluation that each selection rule chooses."""
    return {
        rule: {
            "evaluation": i,
            "step": steps[i],
            "source_accuracy": float(source.micro[i]),
            "source_macro": float(source.macro[i]),
            "target_accuracy": float(target.micro[i]),
            "target_macro": float(target.macro[i]),
            "target_per_class": _json_numbers(target.per_class[i]),
        }
        for rule, i in validators.select_checkpoints(scores, target.micro).items()
    }


def _proxy_a_distance(features: dict[str, np.ndarray]) -> float | None:
    """Distance between the features of both test sets after the last step; None without finite features."""
    if not features:
        return None
    distance = proxy_a_distance(features["source_test"], features["target_test"])
    return distance if math.isfinite(distance) else None


def _transferability(output: RunOutput, labels: Array) -> dict[str, float | None]:
    """Measures of both test sets after the last step."""
    source, target = (output.features[name] for name in TESTS)
    probabilities = scipy.special.softmax(np.asarray(output.logits["target_test"][-1], np.float64), axis=-1)
    values = measure(TransferInputs(source, target, probabilities, np.asarray(labels)))
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _json_numbers(values: Any) -> list[float | None]:
    """Floats for JSON, which has neither NaN nor infinity: None."""
    return [float(value) if math.isfinite(value) else None for value in np.asarray(values)]
