"""Reruns: the only check that detects a forgery which is consistent in itself."""

import dataclasses
import json

import numpy as np
import pytest

import da_bench as da
from da_bench.data.tasks import load
from da_bench.leaderboard.submission.check import check_submission, rerun_sample
from da_bench.leaderboard.submission.rerun import machine, rerun
from da_bench.leaderboard.submission.writer import finished_runs, pack
from tests.helpers.synthetic_runs import (
    ABOUT,
    MANIFEST,
    contents_of,
    experiment,
    files_with_predictions,
    hardness,
    paths_of,
    write_submission,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A submission of two runs with real training."""
    folder = tmp_path_factory.mktemp("trained")
    da.study([experiment("source_only", seed) for seed in range(2)], da.Options(results=folder, progress="none"))
    pack(folder, folder / "it", ABOUT, [], None)
    return folder


@pytest.mark.processes
def test_the_same_seed_gives_the_same_bits(trained):
    runs = finished_runs(trained)
    assert rerun(runs[0], runs, None) is None


def test_swapped_seeds_are_refused_however_consistent(trained, tmp_path):
    """Predictions, results and curves of two seeds are swapped; only a rerun can tell."""
    contents = contents_of(trained / "it")
    for part in ("predictions.npz", "result.json", "curves.json"):
        first, second = paths_of(contents, part)
        contents[first], contents[second] = contents[second], contents[first]
    report = check_submission(write_submission(contents, tmp_path / "it"), [])
    assert report.verdict == "accepted"
    assert rerun_sample(report, 1, None).verdict == "refused"


def test_labels_with_errors_where_others_err_are_refused(trained, tmp_path):
    """The best forgery from labels: plausible errors, below the upper bound, consistent in itself."""
    task = load("moons/35")
    run = min(finished_runs(trained), key=lambda run: run.record.config["seed"])
    labels = {"source_test": task.source.test.labels, "target_test": task.target.test.labels}
    hard = {name: hardness(len(values)) > 0.9 for name, values in labels.items()}
    forged = {name: np.tile(np.where(hard[name], 1 - values, values), (3, 1)) for name, values in labels.items()}
    contents = contents_of(trained / "it")
    files = files_with_predictions(forged, run, tmp_path / "store")
    report = check_submission(
        write_submission({**contents, **files, MANIFEST: contents[MANIFEST]}, tmp_path / "it"), []
    )
    assert report.verdict == "accepted"
    assert rerun_sample(report, 2, None).verdict == "refused"


def test_on_another_device_the_seed_must_still_be_the_nearest(trained):
    """Runs of other devices may differ in rounding, but less than another seed does."""
    run, other = finished_runs(trained)

    def on_accelerator(run, predictions):
        record = run.record
        environment = {**record.environment, "device": "an accelerator"}
        record = dataclasses.replace(record, environment=environment)
        return run._replace(record=record, predictions=predictions)

    nudged = {name: value.copy() for name, value in run.predictions.items()}
    nudged["target_test"][-1, :3] ^= 1  # of 3000
    assert machine(on_accelerator(run, nudged)) != machine(run)
    assert rerun(on_accelerator(run, nudged), [run, other], None).level == "noted"
    assert rerun(on_accelerator(run, other.predictions), [run, other], None).level == "flagged"


def test_a_run_that_cannot_be_repeated_here_is_noted(trained, tmp_path):
    contents = contents_of(trained / "it")
    report = check_submission(write_submission(contents, tmp_path / "it"), [])
    config = json.loads(json.dumps(report.runs[0].record.config)) | {"method": {"name": "mine"}}
    odd = report.runs[0]._replace(
        record=type(report.runs[0].record)(**{**vars(report.runs[0].record), "config": config})
    )
    report = rerun_sample(report._replace(runs=[odd]), 1, None)
    assert report.verdict == "accepted"
    assert report.findings[-1].level == "noted"
