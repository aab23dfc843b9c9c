"""Synthetic records in the form that a study writes."""

import copy

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.studies.records import Record

ENVIRONMENT = {
    "commit": "abc1234",
    "dirty": False,
    "command": "da-bench run experiments/quickstart.py",
    "device": "cpu",
    "device_count": 1,
    "data": "0123456789abcdef" * 4,
    "packages": {"jax": "0.10.2"},
}


def config(task, method, seed, labels_from="source", training=None, **fields):
    return {
        "schema": 1,
        "task": task,
        "method": {"name": method, **fields},
        "model": {"name": "small_cnn", "width": 32},
        "training": {"steps": 1000, "batch_size": 64, "learning_rate": 0.01, **(training or {})},
        "labels_from": labels_from,
        "seed": seed,
    }


def scores(target, source=0.95, classes=4):
    per_class = [min(1.0, max(0.0, target + 0.05 * (i - 1))) for i in range(classes)]
    return {
        "evaluation": 9,
        "step": 1000,
        "source_accuracy": source,
        "source_macro": source,
        "target_accuracy": target,
        "target_macro": float(np.mean(per_class)),
        "target_per_class": per_class,
    }


def curves(target, source=0.95):
    steps = list(range(100, 1001, 100))
    rise = [1 - np.exp(-step / 250) for step in steps]
    to_target, to_source = [target * share for share in rise], [source * share for share in rise]
    return {
        "step": steps,
        "source_accuracy": to_source,
        "target_accuracy": to_target,
        "source_macro": to_source,
        "target_macro": to_target,
        "validators": {"im": to_target, "source_validation": to_source},
        "metrics": {"loss": [1 - accuracy for accuracy in to_source]},
    }


WITHOUT_RESULT = ("skipped", "failed")


def record(task="digits/synthetic-to-real", method="dann", seed=0, target=0.7, *, status="ok", **more):
    """One run; `more`: source, reason, cause, distance, environment, rules (rule -> accuracy), config fields."""
    source, distance = more.pop("source", 0.95), more.pop("distance", 1.2)
    rules = dict.fromkeys(RULES, target) | more.pop("rules", {})
    result = {
        "status": status,
        "adapts": method != "source_only",
        "protocol": "inductive",
        "reason": more.pop("reason", None),
        "cause": more.pop("cause", None),
        "rules": {} if status in WITHOUT_RESULT else {rule: scores(value, source) for rule, value in rules.items()},
        "proxy_a_distance": distance,
        "seconds": {"compile": 3.0, "run": 10.0, "together": 5},
    }
    environment = copy.deepcopy(ENVIRONMENT) | more.pop("environment", {})
    settings = config(task, method, seed, **more)
    name = f"{task}-{method}-{more}-{seed}"
    return Record(name, settings, result, {} if status in WITHOUT_RESULT else curves(target, source), environment)


def runs(targets, **more):
    """One run a seed: `targets` [n] are their target accuracies."""
    return [record(seed=seed, target=float(target), **more) for seed, target in enumerate(targets)]


METHODS = {"source_only": 0.62, "dann": 0.71, "cdan": 0.72, "coral": 0.66, "mmd": 0.655, "mcc": 0.735}


def suite(tasks=("digits/synthetic-to-real", "mnist/to-usps"), seeds=5):
    """Six methods and the upper bound on each task, one of them skipped and one diverged."""
    rng = np.random.default_rng(0)
    records = []
    for shift, task in enumerate(tasks):
        for method, mean in METHODS.items():
            offset = 0.0 if method == "source_only" else 0.02 * shift
            targets = np.clip(mean - offset + rng.normal(0, 0.015, seeds), 0, 1)
            fields = {} if method == "source_only" else {"weight": 1.0}
            distance = 1.8 if method == "source_only" else 1.1
            for seed, target in enumerate(targets):
                best = {"im": target + 0.004, "source_validation": target - 0.006, "oracle": target + 0.011}
                records.append(record(task, method, seed, float(target), rules=best, distance=distance, **fields))
        records += runs(0.93 + rng.normal(0, 0.005, seeds), task=task, method="source_only", labels_from="target")
        records.append(record(task, "shot", 0, status="skipped", reason="needs batch normalisation", weight=0.3))
    records[7] = record(tasks[0], "dann", 2, 0.1, status="diverged", weight=1.0)
    return records


def sweep(seeds=32, task="moons/0-to-35", weights=(0.0, 0.1, 0.3, 1.0, 3.0, 6.0)):
    """DANN at six weights on moons, with source only and the upper bound."""
    rng = np.random.default_rng(1)
    means = [0.8, 0.81, 0.85, 0.93, 0.95, 0.88]
    records = runs(np.clip(rng.normal(0.8, 0.03, seeds), 0, 1), task=task, method="source_only")
    for weight, mean in zip(weights, means, strict=True):
        records += runs(np.clip(rng.normal(mean, 0.03, seeds), 0, 1), task=task, method="dann", weight=weight)
    return records + runs(rng.normal(0.99, 0.003, seeds), task=task, method="source_only", labels_from="target")
