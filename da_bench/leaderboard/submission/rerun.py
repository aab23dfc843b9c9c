"""Repeats a submitted run from its config."""

import tempfile
from pathlib import Path

import numpy as np

from da_bench.leaderboard.submission.findings import Finding
from da_bench.leaderboard.submission.reader import PredictedRun
from da_bench.leaderboard.submission.suspicion import setting_key
from da_bench.leaderboard.submission.writer import finished_runs
from da_bench.studies.experiment_files import from_config
from da_bench.studies.options import Options
from da_bench.studies.records import Records
from da_bench.studies.study import study

ROUNDING_SHARE = 0.5  # of the difference to the nearest other seed: what rounding may grow to during training
TYPICAL_DIFFERENCE = 0.02  # in the place of that difference if no other seed was submitted


def rerun(run: PredictedRun, submitted: list[PredictedRun], data_root: Path | None) -> Finding | None:
    """Repeat a run and compare the predictions with the submitted ones.

    All seeds of its setting are run, because the rounding of a run depends on the runs that are compiled with it.
    Predictions that differ are "noted" if they are much nearer to the submitted run than to any other seed; else
    "flagged"; and "refused" if another seed is as near although the machine, devices and packages are the same.

    Args:
        run: the run to repeat.
        submitted: all runs of the submission.
        data_root: folder of data sets; None for the variable DA_BENCH_DATA.

    Returns:
        A finding; None if the predictions are equal bit for bit.

    Raises:
        UserError: the config cannot be run here: an unknown method, or missing data.
    """
    seeds = [other for other in submitted if setting_key(other.record) == setting_key(run.record)]
    run_id = run.record.id
    with tempfile.TemporaryDirectory() as folder:
        options = Options(results=Path(folder), data_root=data_root, progress="none")
        study([from_config(other.record.config) for other in seeds], options)
        if not Records(Path(folder)).has(run_id):
            return Finding("refused", "rerun", run_id, "the resolved config has another id")
        repeated = [other for other in finished_runs(Path(folder)) if other.record.id == run_id]
    if not repeated:
        return Finding("refused", "rerun", run_id, "repeated, the run leaves no result")
    return _compare(run, repeated[0], [other for other in seeds if other.record.id != run_id])


def _compare(run: PredictedRun, repeated: PredictedRun, other_seeds: list[PredictedRun]) -> Finding | None:
    if repeated.digest == run.digest:
        return None
    own = _difference(run, repeated)
    nearest = min((_difference(other, repeated) for other in other_seeds), default=TYPICAL_DIFFERENCE)
    what = f"a rerun differs in {own:.2%} of the predictions; the nearest other seed in {nearest:.2%}"
    if own < ROUNDING_SHARE * nearest:
        return Finding("noted", "rerun", run.record.id, what)
    is_false = own >= nearest and machine(run) == machine(repeated)
    return Finding("refused" if is_false else "flagged", "rerun", run.record.id, what)


def machine(run: PredictedRun) -> dict[str, object]:
    """The part of a run's environment that its rounding depends on."""
    environment = run.record.environment
    return {name: environment[name] for name in ("device", "device_count", "packages", "platform", "python")}


def _difference(run: PredictedRun, other: PredictedRun) -> float:
    """Share of differing target predictions over all evaluations: at the last one two seeds may be equal."""
    predictions, others = run.predictions["target_test"], other.predictions["target_test"]
    return float(np.mean(predictions != others)) if predictions.shape == others.shape else 1.0
