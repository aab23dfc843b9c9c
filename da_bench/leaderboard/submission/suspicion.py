"""Finds predictions that an honest run is unlikely to leave. They are flagged; a person decides.

Predictions [n] are those of the target's test split after the last step. Only runs of the same task are compared.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from da_bench.core.types import Array
from da_bench.leaderboard.submission.findings import Finding
from da_bench.leaderboard.submission.reader import PredictedRun
from da_bench.reporting.stats.intervals import t_interval
from da_bench.studies.experiment import canonical_json
from da_bench.studies.records import Record

COPY_SHARE = 0.5  # of the difference between two seeds: runs that differ less may be one run twice
COPY_DEVIATIONS = 2.0  # standard deviations above which changes lie where seeds differ too
FEWEST_ERRORS = 20  # with fewer errors, their positions say nothing
ERROR_DEVIATIONS = 3.0  # standard deviations above which errors lie where other runs err


def setting_key(record: Record) -> str:
    """Equal for runs that differ only in their seed."""
    return canonical_json({**record.config, "seed": None})


def by_setting(runs: Iterable[PredictedRun]) -> dict[str, list[PredictedRun]]:
    """Setting key -> its runs, one for each seed."""
    groups: dict[str, list[PredictedRun]] = defaultdict(list)
    for run in runs:
        groups[setting_key(run.record)].append(run)
    return dict(groups)


def suspicions(
    runs: Sequence[PredictedRun], others: Sequence[PredictedRun], labels: Mapping[str, Array], rule: str
) -> list[Finding]:
    """All suspicious findings about the runs of a submission.

    Args:
        runs: runs of the submission.
        others: known runs to compare with.
        labels: task -> labels [n] of the target's test split, where the data are available.
        rule: the selection rule that the submission declares.
    """
    ids = {run.record.id for run in runs}
    others = [run for run in others if run.record.id not in ids]
    return [
        *equal_seeds(runs, labels),
        *copies(runs, others),
        *too_good(runs, others, rule),
        *perfect(runs, others, rule),
        *unrelated_errors(runs, others, labels),
    ]


def equal_seeds(runs: Iterable[PredictedRun], labels: Mapping[str, Array]) -> Iterator[Finding]:
    """Runs of one submission with the same predictions at every evaluation.

    Runs without an error are left out, as honest seeds may agree there, and so are runs that collapsed to one class.
    """
    first_runs: dict[tuple[str, str], PredictedRun] = {}
    for run in runs:
        task = run.record.config["task"]
        first = first_runs.setdefault((task, run.digest), run)
        is_correct = task in labels and bool((run.last == labels[task]).all())
        if first is not run and not is_correct and np.ptp(run.last) > 0:
            yield Finding("flagged", "copied", run.record.id, f"it has the predictions of run {first.record.id}")


def copies(runs: Iterable[PredictedRun], others: Sequence[PredictedRun]) -> Iterator[Finding]:
    """Runs whose predictions are those of another method's run, or almost.

    "Almost" means that they differ in less than COPY_SHARE of what two seeds of either differ in. Runs of one seed
    begin with the same parameters and see the same batches, so two honest methods may be that similar. They then
    differ in rows where seeds differ too, while a copy with noise differs anywhere: it is flagged below
    COPY_DEVIATIONS standard deviations.
    """
    submitted = by_setting(runs)
    differences = {key: _seed_difference(group) for key, group in (by_setting(others) | submitted).items()}
    for run in (run for group in submitted.values() for run in group):
        rivals = [other for other in others if _are_rivals(run, other)]
        uncertainty = disagreement(rivals)
        for other in rivals:
            largest = COPY_SHARE * min(differences[setting_key(run.record)], differences[setting_key(other.record)])
            if share := _copied_share(run, other, largest, uncertainty):
                what = f"{share} of its predictions are those of run {other.record.id}"
                yield Finding("flagged", "copied", run.record.id, what)
                break


def _copied_share(run: PredictedRun, other: PredictedRun, largest: float, uncertainty: np.ndarray) -> str | None:
    """The share of predictions that `run` has copied from `other`, as text; None if it is independent."""
    if run.digest == other.digest:
        return "all"
    predictions, other_predictions = run.predictions["target_test"], other.predictions["target_test"]
    if predictions.shape == other_predictions.shape:
        changed = predictions != other_predictions
    else:
        changed = (run.last != other.last)[None]
    if changed.mean() >= largest or not changed.any():
        return None
    same_seed = run.record.config["seed"] == other.record.config["seed"]
    is_own = same_seed and excess(uncertainty, changed) >= COPY_DEVIATIONS
    return None if is_own else f"{1 - changed.mean():.1%}"


def disagreement(runs: Sequence[PredictedRun]) -> np.ndarray:
    """The share [n] of runs that do not predict the most frequent class; empty without runs."""
    if not runs:
        return np.empty(0)
    votes = np.stack([run.last for run in runs])
    counts = np.stack([(votes == value).sum(axis=0) for value in np.unique(votes)])
    return 1 - counts.max(axis=0) / len(votes)


def _are_rivals(run: PredictedRun, other: PredictedRun) -> bool:
    """Whether the runs share a task but not a method; one method with two values of a field may well agree."""
    config, other_config = run.record.config, other.record.config
    same_task = config["task"] == other_config["task"] and run.last.shape == other.last.shape
    return same_task and config["method"]["name"] != other_config["method"]["name"]


def _seed_difference(group: Sequence[PredictedRun]) -> float:
    """The smallest share of rows in which two seeds of a setting differ; 0 for one seed."""
    pairs = [(a, b) for i, a in enumerate(group) for b in group[:i] if a.last.shape == b.last.shape]
    return min((float(np.mean(a.last != b.last)) for a, b in pairs), default=0.0)


def too_good(runs: Iterable[PredictedRun], others: Iterable[PredictedRun], rule: str) -> Iterator[Finding]:
    """Settings whose mean is above the 95 % interval of training on target labels."""
    others = list(others)
    for group in by_setting(runs).values():
        task = group[0].record.config["task"]
        bounds = [_accuracy(run, rule) for run in others if _is_upper_bound(run) and run.record.config["task"] == task]
        if not bounds:
            yield Finding("noted", "too good", task, "no upper bound is known to compare with")
            continue
        mean, bound = float(np.mean([_accuracy(run, rule) for run in group])), t_interval(bounds)
        if mean > bound.mean + np.nan_to_num(bound.half_width):
            what = f"{mean:.3f} on '{task}' is above the interval of training on target labels, {bound.mean:.3f}"
            yield Finding("flagged", "too good", group[0].record.id, what)


def perfect(runs: Iterable[PredictedRun], others: Iterable[PredictedRun], rule: str) -> Iterator[Finding]:
    """Runs without an error on tasks where training on target labels makes some."""
    solved = {run.record.config["task"] for run in others if _is_upper_bound(run) and _accuracy(run, rule) == 1}
    for run in runs:
        task = run.record.config["task"]
        if _accuracy(run, rule) == 1 and task not in solved:
            yield Finding("flagged", "from labels", run.record.id, f"it makes no error on '{task}'")


def unrelated_errors(
    runs: Iterable[PredictedRun], others: Sequence[PredictedRun], labels: Mapping[str, Array]
) -> Iterator[Finding]:
    """Runs better than source only whose errors do not lie where other methods err, as with perturbed labels."""
    for run in runs:
        task = run.record.config["task"]
        rivals = [other for other in others if _are_rivals(run, other) and not _is_upper_bound(other)]
        source_only = [other for other in rivals if not other.record.result["adapts"]]
        if task not in labels or not source_only:
            continue
        truth = np.asarray(labels[task])
        wrong = run.last != truth
        is_better = wrong.mean() < np.mean([(other.last != truth).mean() for other in source_only])
        difficulty = np.mean([other.last != truth for other in rivals], axis=0)
        if is_better and wrong.sum() >= FEWEST_ERRORS and (z := excess(difficulty, wrong)) < ERROR_DEVIATIONS:
            what = f"its {wrong.sum()} errors on '{task}' do not lie where other methods err (z = {z:.1f})"
            yield Finding("flagged", "from labels", run.record.id, what)


def excess(difficulty: np.ndarray, selected: np.ndarray) -> float:
    """Standard deviations by which selected rows are more difficult than as many rows drawn at random.

    The mean of m draws without replacement out of N has the variance of the difficulty over m, times 1 - m / N.

    Args:
        difficulty: [n], any scale.
        selected: [..., n], bool; any leading axes are evaluations.
    """
    every, m = np.broadcast_to(difficulty, selected.shape), int(selected.sum())
    variance = difficulty.var(ddof=1) / m * (1 - m / selected.size)
    return float((every[selected].mean() - difficulty.mean()) / np.sqrt(variance)) if variance > 0 else np.inf


def _is_upper_bound(run: PredictedRun) -> bool:
    """Whether a run was trained on target labels."""
    return bool(run.record.config["labels_from"] == "target")


def _accuracy(run: PredictedRun, rule: str) -> float:
    """Target accuracy by a rule; after the last step if the record does not have this rule."""
    rules = run.record.result["rules"]
    return float(rules.get(rule, rules["last"])["target_accuracy"])
