"""Forgeries with correct hashes: what is false is refused, what is improbable is flagged."""

import functools
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from da_bench.data.tasks import load
from da_bench.leaderboard.submission.check import check_submission
from da_bench.leaderboard.submission.reader import MANIFEST
from da_bench.leaderboard.submission.verdict import as_verdict, read_verdict, report_lines
from da_bench.leaderboard.submission.writer import finished_runs, pack
from da_bench.studies.experiment import canonical_json
from da_bench.studies.records import Records
from tests.helpers.synthetic_runs import (
    ABOUT,
    TASK,
    contents_of,
    files_with_predictions,
    honest_run,
    paths_of,
    predicted_run,
    results_folder,
    write_submission,
)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Source only, DANN and the upper bound, five seeds each: what a submission is compared with."""
    return results_folder(tmp_path_factory.mktemp("known"), ("source_only", "dann"))


@pytest.fixture(scope="module")
def others(known):
    return finished_runs(known)


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """The files of an honest submission of CORAL, five seeds."""
    folder = results_folder(tmp_path_factory.mktemp("submitted"), ("coral",))
    pack(folder, folder / "packed", ABOUT, ["coral"], None)
    return contents_of(folder / "packed")


def edit(part, change, seed=0):
    """A forgery that changes one JSON file of one run."""

    def forge(contents):
        name = paths_of(contents, part)[seed]
        value = json.loads(contents[name])
        change(value)
        return {**contents, name: json.dumps(value).encode()}

    return forge


def text(part, old, new, seed=0):
    """A forgery that changes some bytes of one file of one run."""

    def forge(contents):
        name = paths_of(contents, part)[seed]
        assert old in contents[name]
        return {**contents, name: contents[name].replace(old, new, 1)}

    return forge


def put(name, content):
    return lambda contents: {**contents, name: content}


def drop(part, seed=1):
    return lambda contents: {
        name: content for name, content in contents.items() if name != paths_of(contents, part)[seed]
    }


def no_seed(seed):
    def forge(contents):
        folder = paths_of(contents)[seed].rpartition("/")[0]
        return {name: content for name, content in contents.items() if not name.startswith(folder)}

    return forge


def higher(result):
    """Increase every number of the declared rule a little."""
    for name in ("target_accuracy", "target_macro"):
        result["rules"]["last"][name] += 0.02


def best_epoch(result):
    """Report the oracle's evaluation as the last."""
    result["rules"]["last"] = {**result["rules"]["oracle"], "evaluation": 1}


def swap(part):
    """A forgery that swaps a file between seeds 0 and 1."""

    def forge(contents):
        first, second = paths_of(contents, part)[:2]
        return {**contents, first: contents[second], second: contents[first]}

    return forge


def config(**changes):
    """A forgery that gives every run another config, with the matching id."""

    def forge(contents):
        forged = {MANIFEST: contents[MANIFEST]}
        for name in paths_of(contents, "config.json"):
            value = json.loads(contents[name])
            value.update({key: change(value[key]) if callable(change) else change for key, change in changes.items()})
            run_id = hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
            for path, content in contents.items():
                if path.startswith(name.rpartition("/")[0]):
                    forged[f"runs/{run_id}/{path.rpartition('/')[2]}"] = content
            forged[f"runs/{run_id}/config.json"] = json.dumps(value).encode()
        return forged

    return forge


def predicted(change):
    """A forgery that replaces the predictions of every run and recomputes all numbers from them."""

    def forge(contents, tmp_path):
        forged = {MANIFEST: contents[MANIFEST]}
        for seed in range(5):
            run = predicted_run("coral", seed)
            forged |= files_with_predictions(change(run, seed), run, tmp_path / f"store{seed}")
        return forged

    return forge


def flipped(classes, share, seed, stream=0):
    generator = np.random.default_rng([3, seed, stream])
    return np.where(generator.random(classes.shape) < share, 1 - classes, classes)


def truth(evaluations=3):
    task = load(TASK)
    return {
        "source_test": np.tile(task.source.test.labels, (evaluations, 1)),
        "target_test": np.tile(task.target.test.labels, (evaluations, 1)),
    }


def from_labels(share):
    return lambda _, seed: {name: flipped(value, share, seed) for name, value in truth().items()}


def copied(share, method="dann", shift=0):
    """The predictions of another method's run, with the seed shifted and a share of rows flipped."""

    def change(_, seed):
        _, classes = honest_run(method, (seed + shift) % 5)
        return {name: flipped(value, share, seed) for name, value in classes.items()}

    return change


def one_for_all(_, __):
    return predicted_run("coral", 0).predictions


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def predictions_file(content):
    def forge(contents):
        return {**contents, paths_of(contents, "predictions.npz")[0]: content}

    return forge


def manifest(change):
    def forge(contents):
        value = json.loads(contents[MANIFEST])
        change(value)
        return {**contents, MANIFEST: json.dumps(value).encode()}

    return forge


ROWS = {name: value.astype(np.uint16) for name, value in truth().items()}
SHORT = {name: value[:, :-1] for name, value in ROWS.items()}
OTHER_CLASS = {**ROWS, "target_test": ROWS["target_test"] + 7}

REFUSED = {
    "a metric edited": edit("result.json", higher),
    "a metric edited in one seed of five": edit("result.json", higher, seed=3),
    "a curve edited": edit("curves.json", lambda value: value["target_accuracy"].__setitem__(0, 0.99)),
    "the oracle's evaluation as the last": edit("result.json", best_epoch),
    "a rule without a validator": edit(
        "result.json", lambda value: value["rules"].update(mine=value["rules"]["oracle"])
    ),
    "validator scores without its choice": edit(
        "curves.json", lambda value: value["validators"].update(im=[9.0, 0.0, 0.0])
    ),
    "predictions of seeds swapped": swap("predictions.npz"),
    "results of seeds swapped": swap("result.json"),
    "configs of seeds swapped": swap("config.json"),
    "environments of seeds swapped": swap("environment.json"),
    "a config edited under its old id": edit("config.json", lambda value: value["method"].update(weight=2.0)),
    "a bad seed left out": no_seed(2),
    "the first seed left out": no_seed(0),
    "other seeds": config(seed=lambda seed: seed + 10),
    "an unknown task": config(task="moons/350"),
    "a task of a path": config(task="../../etc-to-passwd"),
    "a field that the method does not have": config(method=lambda value: {**value, "cheat": 1.0}),
    "a field left out": config(method=lambda value: {key: field for key, field in value.items() if key != "weight"}),
    "trained on target labels": config(labels_from="target"),
    "an unknown model": config(model={"name": "oracle_net"}),
    "a method without a name": config(method={}),
    "other data": edit("environment.json", lambda value: value.update(data="0" * 64)),
    "other classes": edit("result.json", lambda value: value["classes"].reverse()),
    "another protocol": edit("result.json", lambda value: value.update(protocol="transductive")),
    "a run that is not listed": put("runs/0123456789abcdef/config.json", b"{}"),
    "a file of no place": put("runs/readme.txt", b"hello"),
    "a path out of the package": put("runs/../../evil.json", b"{}"),
    "a file missing": drop("curves.json"),
    "no predictions": drop("predictions.npz"),
    "predictions of fewer rows": predictions_file(npz(**SHORT)),
    "predictions of unknown classes": predictions_file(npz(**OTHER_CLASS)),
    "predictions of floats": predictions_file(npz(**{name: array.astype(float) for name, array in ROWS.items()})),
    "predictions of objects": predictions_file(npz(**{name: array.astype(object) for name, array in ROWS.items()})),
    "predictions of NaN": predictions_file(npz(**{name: array * np.nan for name, array in ROWS.items()})),
    "predictions of fewer evaluations": predictions_file(npz(**{name: array[:2] for name, array in ROWS.items()})),
    "a pickle": predictions_file(b"\x80\x04cos\nsystem\n"),
    "a bomb": predictions_file(npz(source_test=np.zeros((400, 100_000), np.uint16), target_test=ROWS["target_test"])),
    "NaN": text("result.json", b'"target_macro": 0', b'"target_macro": NaN, "x": 0'),
    "infinity": text("curves.json", b'"target_macro": [', b'"target_macro": [Infinity, '),
    "a number that becomes infinite": text("result.json", b'"target_macro": 0', b'"target_macro": 1e999, "x": 0'),
    "a key twice": text("result.json", b'"target_macro": 0', b'"target_macro": 0.99, "target_macro": 0'),
    "an accuracy above 1": text("result.json", b'"target_macro": 0', b'"target_macro": 10'),
    "a file too large": put("code/a.py", b"#" * (65 * 2**20)),
    "JSON too large": text("result.json", b"{", b"{" + b" " * 2**20),
    "JSON too deep": text("result.json", b'"status"', b'"deep": ' + b"[" * 500 + b"]" * 500 + b', "status"'),
    "JSON deep enough for a stack": text("result.json", b'"status"', b'"deep": ' + b"[" * 300_000 + b', "status"'),
    "a bool for a number": text("result.json", b'"evaluation": 2', b'"evaluation": true'),
    "an unknown field": edit("result.json", lambda value: value.update(accuracy=0.99)),
    "an unknown field of the manifest": manifest(lambda value: value.update(accuracy=0.99)),
    "markup for a name": manifest(lambda value: value.update(name="<script>alert(1)</script>")),
    "a link that runs": manifest(lambda value: value.update(link="javascript:alert(1)")),
    "a schema to come": manifest(lambda value: value.update(schema=2)),
}  # fmt: skip
FLAGGED = {
    "all predictions copied": predicted(copied(0.0)),
    "copied, one row in fifty flipped": predicted(copied(0.02)),
    "copied from another seed, some flipped": predicted(copied(0.01, shift=1)),
    "one seed's predictions for all": predicted(one_for_all),
    "labels for predictions": predicted(from_labels(0.0)),
    "labels with a tenth flipped": predicted(from_labels(0.1)),
    "labels with a fifth flipped": predicted(from_labels(0.2)),
    "above training on target labels": predicted(from_labels(0.02)),
}


@functools.cache
def caught():
    """Names of the forgeries caught by the tests of this module."""
    return set()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_false_is_refused(name, contents, others, tmp_path):
    forged = REFUSED[name](contents)
    report = check_submission(
        write_submission(forged, tmp_path / "it", rehash=forged[MANIFEST] == contents[MANIFEST]), others
    )
    assert report.verdict == "refused", list(report_lines(report))
    assert all(line.isprintable() for line in report_lines(report))
    caught().add(name)


@pytest.mark.parametrize("name", FLAGGED)
def test_what_is_improbable_is_flagged(name, contents, others, tmp_path):
    report = check_submission(write_submission(FLAGGED[name](contents, tmp_path), tmp_path / "it"), others)
    assert report.verdict == "flagged", list(report_lines(report))
    caught().add(name)


def test_sixty_forgeries_are_caught():
    """The number that the documentation states. Two more forgeries need a rerun: see test_rerun.py."""
    assert len(REFUSED) + len(FLAGGED) == 60
    assert caught() <= set(REFUSED) | set(FLAGGED)


def test_an_honest_submission_is_accepted(contents, others, tmp_path):
    report = check_submission(write_submission(contents, tmp_path / "it"), others)
    assert report.verdict == "accepted", list(report_lines(report))
    assert len(report.recomputed) == len(report.runs) == 5


def test_honest_methods_are_not_confused(others, tmp_path):
    """Each known method is accepted when compared with the others."""
    for method in ("source_only", "dann"):
        folder = results_folder(tmp_path / method, (method,))
        pack(folder, folder / "it.zip", ABOUT, [method], None)
        rest = [run for run in others if run.record.config["method"]["name"] != method]
        assert check_submission(folder / "it.zip", rest).verdict == "accepted"


def test_without_the_data_numbers_are_claimed(contents, others, tmp_path, monkeypatch):
    monkeypatch.setattr("da_bench.leaderboard.submission.check.tasks.present", lambda *_: False)
    report = check_submission(write_submission(REFUSED["a metric edited"](contents), tmp_path / "it"), others)
    assert report.recomputed == frozenset()
    assert any(finding.check == "claimed" for finding in report.findings)


def test_an_unknown_method_is_noted(contents, others, tmp_path):
    forged = config(method={"name": "mine", "weight": 1.0})(contents)
    report = check_submission(write_submission(forged, tmp_path / "it"), others)
    assert any(finding.level == "noted" and "'mine'" in finding.what for finding in report.findings)


def test_no_code_of_a_submission_is_run(contents, others, tmp_path):
    marker = tmp_path / "ran"
    forged = {**contents, "code/evil.py": f"open({str(marker)!r}, 'w')".encode()}
    check_submission(write_submission(forged, tmp_path / "it"), others)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_with_a_name_twice_are_refused(contents, others, tmp_path):
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        for name, content in [*contents.items(), (MANIFEST, contents[MANIFEST])]:
            archive.writestr(name, content)
    assert check_submission(tmp_path / "it.zip", others).verdict == "refused"


def test_a_verdict_survives_writing_and_reading(contents, others, tmp_path):
    report = check_submission(write_submission(contents, tmp_path / "it"), others)
    (tmp_path / "verdict.json").write_text(json.dumps(as_verdict(report)))
    assert read_verdict(tmp_path / "verdict.json") == as_verdict(report)


def test_checks_do_not_change_the_known_records(known):
    assert len(Records(known).all()) == 15
