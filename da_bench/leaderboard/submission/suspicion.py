"""Predictions that no honest run is likely to leave. All of it flags; a person decides.

Compared are predictions [n] of the target's test set after the last step, always of one task.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from da_bench.core.types import Array
from da_bench.leaderboard.submission.findings import Finding
from da_bench.leaderboard.submission.package import Run
from da_bench.reporting.stats.intervals import t_interval
from da_bench.studies.experiment import canonical
from da_bench.studies.records import Record

COPY = 0.5  # of the difference between two seeds: what differs less may be one run twice
NOISE = 2.0  # standard deviations above which changes lie where seeds differ too
FEW = 20  # errors, below which nothing can be said of where they lie
NORMAL = 3.0  # standard deviations above which errors lie where others err


def setting(record: Record) -> str:
    """What runs that differ in nothing but their seed have in common."""
    return canonical({**record.config, "seed": None})


def by_setting(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs of each setting and task."""
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        found[setting(run.record)].append(run)
    return dict(found)


def suspicions(runs: Sequence[Run], others: Sequence[Run], labels: dict[str, Array], rule: str) -> list[Finding]:
    """What is improbable of a submission's runs beside the `others` known; labels: of the target's test sets."""
    rest = [one for one in others if one.record.id not in {run.record.id for run in runs}]
    found = [*equal_seeds(runs, labels), *copies(runs, rest), *too_good(runs, rest, rule)]
    return [*found, *perfect(runs, rest, rule), *unrelated_errors(runs, rest, labels)]


def equal_seeds(runs: Iterable[Run], labels: dict[str, Array]) -> Iterator[Finding]:
    """Runs of one submission that predict the same at every evaluation.

    Not those that are right everywhere, which seeds may well agree on, or that predict one class, as collapsed ones do.
    """
    seen: dict[tuple[str, str], Run] = {}
    for run in runs:
        task = run.record.config["task"]
        first = seen.setdefault((task, run.digest), run)
        right = task in labels and bool((run.last == labels[task]).all())
        if first is not run and not right and np.ptp(run.last) > 0:
            yield Finding("flagged", "copied", run.record.id, f"all its predictions are those of run {first.record.id}")


def copies(runs: Iterable[Run], others: Sequence[Run]) -> Iterator[Finding]:
    """Runs whose predictions are those of another method's run, or so nearly that it is no other run.

    Nearly: they differ in less than COPY of what two seeds of either differ in. Runs of one seed begin with the same
    parameters and see the same batches, so two honest methods may be that near; but then they differ in rows where
    seeds differ too, and a copy with noise differs anywhere: it is flagged below NOISE standard deviations.
    """
    theirs, ours = by_setting(others), by_setting(runs)
    spread = {name: _spread(group) for name, group in (theirs | ours).items()}
    for run in (one for group in ours.values() for one in group):
        rivals = [one for one in others if _rivals(run, one)]
        unsure = _unsure(rivals)
        for other in rivals:
            floor = COPY * min(spread[setting(run.record)], spread[setting(other.record)])
            if said := _copied(run, other, floor, unsure):
                yield Finding("flagged", "copied", run.record.id, f"{said} of its predictions are {other.record.id}'s")
                break


def _copied(run: Run, other: Run, floor: float, unsure: np.ndarray) -> str | None:
    """How much of `run` is `other`; None where it is a run of its own."""
    if run.digest == other.digest:
        return "all"
    ours, theirs = run.predictions["target_test"], other.predictions["target_test"]
    changed = ours != theirs if ours.shape == theirs.shape else (run.last != other.last)[None]
    if changed.mean() >= floor or not changed.any():
        return None
    same_seed = run.record.config["seed"] == other.record.config["seed"]
    return None if same_seed and _excess(unsure, changed) >= NOISE else f"{1 - changed.mean():.1%}"


def _unsure(runs: Sequence[Run]) -> np.ndarray:
    """[n] the share of runs that predict another class than most do; nothing [0] of no runs."""
    if not runs:
        return np.empty(0)
    votes = np.stack([one.last for one in runs])
    counts = np.stack([(votes == value).sum(axis=0) for value in np.unique(votes)])
    return 1 - counts.max(axis=0) / len(votes)


def _rivals(run: Run, other: Run) -> bool:
    """Whether they are of one task and of two methods. One method at two values of a field may well agree."""
    one, two = run.record.config, other.record.config
    same_rows = run.last.shape == other.last.shape
    return one["task"] == two["task"] and one["method"]["name"] != two["method"]["name"] and same_rows


def _spread(group: Sequence[Run]) -> float:
    """The least share of rows in which two seeds of a setting differ; 0 where there is one."""
    pairs = [(a, b) for i, a in enumerate(group) for b in group[:i] if a.last.shape == b.last.shape]
    return min((float(np.mean(a.last != b.last)) for a, b in pairs), default=0.0)


def too_good(runs: Iterable[Run], others: Iterable[Run], rule: str) -> Iterator[Finding]:
    """Settings whose mean lies above the 95 % interval of training on target labels."""
    for group in by_setting(runs).values():
        task = group[0].record.config["task"]
        bound = [score(one, rule) for one in others if _is_bound(one) and one.record.config["task"] == task]
        if not bound:
            yield Finding("noted", "too good", task, "no upper bound is known there to hold it against")
            continue
        mean, interval = float(np.mean([score(one, rule) for one in group])), t_interval(bound)
        if mean > interval.mean + np.nan_to_num(interval.half_width):
            what = f"{mean:.3f} on '{task}' is above training on target labels, {interval.mean:.3f}, and its interval"
            yield Finding("flagged", "too good", group[0].record.id, what)


def perfect(runs: Iterable[Run], others: Iterable[Run], rule: str) -> Iterator[Finding]:
    """Runs that are right in every row, where training on target labels is not."""
    reached = {one.record.config["task"] for one in others if _is_bound(one) and score(one, rule) == 1}
    for run in runs:
        task = run.record.config["task"]
        if score(run, rule) == 1 and task not in reached:
            yield Finding("flagged", "from labels", run.record.id, f"it makes no error on '{task}'")


def unrelated_errors(runs: Iterable[Run], others: Sequence[Run], labels: dict[str, Array]) -> Iterator[Finding]:
    """Runs above source only whose errors do not lie where other methods' runs err, as those of blurred labels do."""
    for run in runs:
        task = run.record.config["task"]
        rivals = [one for one in others if _rivals(run, one) and not _is_bound(one)]
        plain = [one for one in rivals if not one.record.result["adapts"]]
        if task not in labels or not plain:
            continue
        wrong, truth = run.last != labels[task], np.asarray(labels[task])
        gains = wrong.mean() < np.mean([(one.last != truth).mean() for one in plain])
        hardness = np.mean([one.last != truth for one in rivals], axis=0)
        if gains and wrong.sum() >= FEW and (z := _excess(hardness, wrong)) < NORMAL:
            what = f"its {wrong.sum()} errors on '{task}' do not lie where others err (z = {z:.1f})"
            yield Finding("flagged", "from labels", run.record.id, what)


def _excess(hardness: np.ndarray, chosen: np.ndarray) -> float:
    """Standard deviations by which the mean hardness [n] of chosen rows [..., n] is above that of as many random ones.

    Of m draws without return out of N the mean has the variance of the hardness over m, times 1 - m / N.
    """
    every, m = np.broadcast_to(hardness, chosen.shape), int(chosen.sum())
    variance = hardness.var(ddof=1) / m * (1 - m / chosen.size)
    return float((every[chosen].mean() - hardness.mean()) / np.sqrt(variance)) if variance > 0 else np.inf


def _is_bound(run: Run) -> bool:
    return bool(run.record.config["labels_from"] == "target")


def score(run: Run, rule: str) -> float:
    """Target accuracy by a rule; by the last step where the record does not have it."""
    rules = run.record.result["rules"]
    return float(rules.get(rule, rules["last"])["target_accuracy"])
