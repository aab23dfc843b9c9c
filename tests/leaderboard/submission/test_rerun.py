"""A run made again: the only thing that tells a forgery which is consistent in itself."""

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
    """A submission of two runs that were really made."""
    folder = tmp_path_factory.mktemp("trained")
    da.study([experiment("source_only", seed) for seed in range(2)], da.Options(results=folder, progress="none"))
    pack(folder, folder / "it", ABOUT, [], None)
    return folder


def test_the_same_seed_gives_the_same_bits(trained):
    ours = finished_runs(trained)
    assert rerun(ours[0], ours, None) is None


def test_swapped_seeds_are_refused_however_consistent(trained, tmp_path):
    """Predictions, results and curves of two seeds in each other's place: nothing but the run itself tells."""
    contents = contents_of(trained / "it")
    for part in ("predictions.npz", "result.json", "curves.json"):
        one, other = paths_of(contents, part)
        contents[one], contents[other] = contents[other], contents[one]
    report = check_submission(write_submission(contents, tmp_path / "it"), [])
    assert report.verdict == "accepted"
    assert rerun_sample(report, 1, None).verdict == "refused"


def test_labels_with_errors_where_others_err_are_refused(trained, tmp_path):
    """The best forgery from labels: plausible errors, below the bound, consistent in itself."""
    task = load("moons/35")
    run = min(finished_runs(trained), key=lambda one: one.record.config["seed"])
    labels = {"source_test": task.source.test.labels, "target_test": task.target.test.labels}
    hard = {name: hardness(len(one)) > 0.9 for name, one in labels.items()}
    forged = {name: np.tile(np.where(hard[name], 1 - one, one), (3, 1)) for name, one in labels.items()}
    contents = contents_of(trained / "it")
    made = files_with_predictions(forged, run, tmp_path / "store")
    report = check_submission(write_submission({**contents, **made, MANIFEST: contents[MANIFEST]}, tmp_path / "it"), [])
    assert report.verdict == "accepted"
    assert rerun_sample(report, 2, None).verdict == "refused"


def test_on_another_device_the_seed_must_still_be_the_nearest(trained):
    """What was made on other devices may differ in rounding; it must be nearer to itself than another seed is."""
    one, other = finished_runs(trained)
    elsewhere = {"device": "an accelerator"}

    def moved(run, classes):
        record = run.record
        kept = {**record.environment, **elsewhere}
        return run._replace(record=type(record)(**{**vars(record), "environment": kept}), predictions=classes)

    nudged = {name: value.copy() for name, value in one.predictions.items()}
    nudged["target_test"][-1, :3] ^= 1  # of 3000
    assert machine(moved(one, nudged)) != machine(one)
    assert rerun(moved(one, nudged), [one, other], None).level == "noted"
    assert rerun(moved(one, other.predictions), [one, other], None).level == "flagged"


def test_a_run_that_cannot_be_made_here_is_noted(trained, tmp_path):
    contents = contents_of(trained / "it")
    report = check_submission(write_submission(contents, tmp_path / "it"), [])
    config = json.loads(json.dumps(report.runs[0].record.config)) | {"method": {"name": "mine"}}
    odd = report.runs[0]._replace(
        record=type(report.runs[0].record)(**{**vars(report.runs[0].record), "config": config})
    )
    found = rerun_sample(report._replace(runs=[odd]), 1, None)
    assert found.verdict == "accepted"
    assert "cannot be repeated here" in found.findings[-1].what
