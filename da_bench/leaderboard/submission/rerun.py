"""Making a submitted run again, and holding its method to the conformance suite."""

import tempfile
from pathlib import Path

import numpy as np

from da_bench.leaderboard.submission.findings import Finding
from da_bench.leaderboard.submission.pack import runs as runs_of
from da_bench.leaderboard.submission.package import Run
from da_bench.leaderboard.submission.suspicion import setting
from da_bench.studies.experiment import from_config
from da_bench.studies.options import Options
from da_bench.studies.records import Records
from da_bench.studies.study import study

NEAR = 0.5  # of the difference to the nearest other seed: what rounding, grown over a training, may explain
ALONE = 0.02  # stands for that difference where no other seed was submitted


def rerun(run: Run, submitted: list[Run], data_root: Path | None) -> Finding | None:
    """Make a run again from its config; None where its predictions are what they were, bit for bit.

    All seeds of its setting are made, for runs that are one program round as they were made together. Other bits are
    noted where they are nearer to the run than NEAR of the way to another seed's; else flagged; and refused where
    another seed is as near, on the same kind and number of devices with the same packages.

    Raises:
        UserError: the config cannot be run here: an unknown method, missing data.
    """
    seeds = [one for one in submitted if setting(one.record) == setting(run.record)]
    with tempfile.TemporaryDirectory() as folder:
        options = Options(results=Path(folder), data_root=data_root, progress="none")
        study([from_config(one.record.config) for one in seeds], options)
        if not Records(Path(folder)).has(run.record.id):
            return Finding("refused", "rerun", run.record.id, "its config, read and written again, is another run's")
        again = [one for one in runs_of(Path(folder)) if one.record.id == run.record.id]
    if not again:
        return Finding("refused", "rerun", run.record.id, "made again, it leaves no result")
    return _compared(run, again[0], [one for one in seeds if one.record.id != run.record.id])


def _compared(run: Run, again: Run, rivals: list[Run]) -> Finding | None:
    if again.digest == run.digest:
        return None
    gap, other = _gap(run, again), min((_gap(one, again) for one in rivals), default=ALONE)
    what = f"made again, {gap:.2%} of its predictions differ, and {other:.2%} from the nearest other seed's"
    if gap < NEAR * other:
        return Finding("noted", "rerun", run.record.id, what)
    false = gap >= other and place(run) == place(again)
    return Finding("refused" if false else "flagged", "rerun", run.record.id, what)


def place(run: Run) -> dict[str, object]:
    """On what a run was made, as far as it decides rounding."""
    where = run.record.environment
    return {name: where[name] for name in ("device", "device_count", "packages", "platform", "python")}


def _gap(one: Run, other: Run) -> float:
    """The share of rows in which they differ over all evaluations: after the last, two seeds may be the same."""
    ours, theirs = one.predictions["target_test"], other.predictions["target_test"]
    return float(np.mean(ours != theirs)) if ours.shape == theirs.shape else 1.0
