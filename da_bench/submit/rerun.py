"""Making a submitted run again, and holding its method to the conformance suite."""

import tempfile
from pathlib import Path

import numpy as np

from da_bench.execute import study
from da_bench.experiment import from_config
from da_bench.job import Options
from da_bench.records import Records
from da_bench.submit.findings import Finding
from da_bench.submit.pack import runs as runs_of
from da_bench.submit.package import Run
from da_bench.submit.suspicion import setting


def rerun(run: Run, seeds: list[Run], data_root: Path | None) -> Finding | None:
    """Make a run again from its config; None where its predictions are what they were, bit for bit.

    seeds: the submitted runs of the same setting. On the same kind and number of devices with the same packages, other
    predictions are refused. On others rounding differs: then what was made again must be nearer to this run than to
    every other seed, or it is flagged.

    Raises:
        UserError: the config cannot be run here: an unknown method, missing data.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = Options(results=Path(folder), data_root=data_root, progress="none")
        study([from_config(run.record.config)], options)
        if not Records(Path(folder)).has(run.record.id):
            return Finding("refused", "rerun", run.record.id, "its config, read and written again, is another run's")
        again = runs_of(Path(folder))
    if not again:
        return Finding("refused", "rerun", run.record.id, "made again, it leaves no result")
    return _compared(run, again[0], seeds)


def _compared(run: Run, again: Run, seeds: list[Run]) -> Finding | None:
    if again.digest == run.digest:
        return None
    agreement = _agreement(run, again)
    what = f"made again, {agreement:.1%} of its predictions are the same"
    if place(run) == place(again):
        return Finding(
            "refused", "rerun", run.record.id, f"{what}, on the same device with the same packages: want all"
        )
    rivals = [one for one in seeds if one.record.id != run.record.id and setting(one.record) == setting(run.record)]
    nearest = max((_agreement(one, again) for one in rivals), default=0.0)
    if agreement > nearest:
        return Finding("noted", "rerun", run.record.id, f"{what}, on another device or with other packages")
    return Finding("flagged", "rerun", run.record.id, f"{what}; another seed agrees in {nearest:.1%}")


def place(run: Run) -> dict[str, object]:
    """On what a run was made, as far as it decides rounding."""
    where = run.record.environment
    return {name: where[name] for name in ("device", "device_count", "packages", "platform", "python")}


def _agreement(one: Run, other: Run) -> float:
    """Over all evaluations: after the last, two seeds may have come to the same."""
    ours, theirs = one.predictions["target_test"], other.predictions["target_test"]
    return float(np.mean(ours == theirs)) if ours.shape == theirs.shape else 0.0
