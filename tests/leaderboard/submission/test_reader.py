"""A submission that differs from its manifest is refused as a whole."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.core.strict_json import StrictError
from da_bench.leaderboard.submission.reader import MANIFEST, read_predictions, read_submission
from da_bench.leaderboard.submission.writer import finished_runs, pack
from da_bench.studies.experiment import canonical_json
from tests.helpers.synthetic_runs import ABOUT, contents_of, paths_of, rehashed, results_folder, write_submission


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return results_folder(tmp_path_factory.mktemp("results"), ("source_only", "coral"), 2)


@pytest.fixture(scope="module")
def packed(folder):
    pack(folder, folder / "packed", ABOUT, ["coral"], None)
    return folder / "packed"


def test_folder_and_zip_hold_the_same_runs(folder, packed):
    archived = pack(folder, folder / "packed.zip", ABOUT, ["coral"], None)
    plain = read_submission(packed)
    assert [run.digest for run in archived.runs] == [run.digest for run in plain.runs]
    assert [run.record for run in archived.runs] == [run.record for run in plain.runs]
    assert archived.digest == plain.digest
    original = {run.record.id: run for run in finished_runs(folder)}
    assert all(run.record == original[run.record.id].record for run in plain.runs)


def test_a_zip_of_the_same_runs_is_the_same_bytes(folder):
    for name in ("first.zip", "second.zip"):
        pack(folder, folder / name, ABOUT, ["coral"], None)
    assert (folder / "first.zip").read_bytes() == (folder / "second.zip").read_bytes()


def test_the_upper_bound_is_never_packed(folder, tmp_path):
    submission = pack(folder, tmp_path / "all.zip", ABOUT)
    assert len(submission.runs) == 4
    assert {run.record.config["labels_from"] for run in submission.runs} == {"source"}


@pytest.mark.parametrize(
    ("about", "methods", "says"),
    [
        ({"name": "<b>x</b>"}, [], "manifest.json: name"),
        ({"name": ""}, [], "manifest.json: name"),
        ({"authors": []}, [], "authors"),
        ({"authors": ["a\u202eb"]}, [], "authors"),
        ({"link": "javascript:alert(1)"}, [], "link"),
        ({"link": "http://example.org"}, [], "link"),
        ({"link": "https://example.org/?q=<script>"}, [], "link"),
        ({"citation": "@misc{a, note={never closed}"}, [], "citation"),
        ({"citation": "see my page"}, [], "citation"),
        ({"rule": "lsat"}, [], "rule"),
        ({}, ["corall"], "corall.*did you mean 'coral'"),
    ],
)
def test_bad_input_of_pack_is_an_error(folder, tmp_path, about, methods, says):
    with pytest.raises(UserError, match=says):
        pack(folder, tmp_path / "out.zip", {**ABOUT, **about}, methods, None)
    assert not (tmp_path / "out.zip").exists()


def test_an_existing_path_is_not_overwritten(folder, packed):
    with pytest.raises(UserError, match="--out"):
        pack(folder, packed, ABOUT, ["coral"], None)


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


FINE = np.zeros((2, 3), np.uint16)


@pytest.mark.parametrize(
    "content",
    [
        npz(source_test=FINE),
        npz(source_test=FINE, target_test=FINE, more=FINE),
        npz(source_test=FINE, target_test=FINE.astype(np.int64)),
        npz(source_test=FINE, target_test=FINE.astype(">u2")),
        npz(source_test=FINE, target_test=FINE.astype(np.float32)),
        npz(source_test=FINE, target_test=np.array([[{}]], object)),
        npz(source_test=FINE, target_test=np.asfortranarray(FINE + np.arange(3, dtype=np.uint16))),
        npz(source_test=FINE, target_test=FINE[0]),
        npz(source_test=FINE, target_test=FINE[:1]),
        npz(source_test=FINE, target_test=FINE[:0]),
        npz(source_test=FINE, target_test=FINE[None]),
        b"\x80\x04\x95",
    ],
    ids=range(12),
)
def test_anything_but_two_plain_arrays_is_refused(content):
    with pytest.raises(StrictError):
        read_predictions(content, "it")


def test_a_header_is_never_evaluated():
    """The header, which numpy parses as Python, is only compared with a pattern."""
    file = io.BytesIO()
    header = b"{'descr': '<u2', 'fortran_order': False, 'shape': (2, __import__('os').getpid()), }\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 12
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("source_test.npy", array)
        archive.writestr("target_test.npy", array)
    with pytest.raises(StrictError, match="uint16"):
        read_predictions(file.getvalue(), "it")


def test_predictions_are_those_that_numpy_reads(packed):
    for path in packed.rglob("*.npz"):
        with np.load(path) as arrays:
            for name, array in read_predictions(path.read_bytes(), "it").items():
                np.testing.assert_array_equal(array, arrays[name])


def test_links_are_not_followed(packed, tmp_path):
    write_submission(contents_of(packed), tmp_path / "one", rehash=False)
    (tmp_path / "one" / "code").symlink_to("/etc")
    with pytest.raises(StrictError, match="is a link"):
        read_submission(tmp_path / "one")


def read_mutants(archive_path, count, seed, path):
    """Read mutants of a submission and return how many are accepted.

    A third changes the bytes of the archive, a third those of one file, a third one file and its hash. In the first
    two, an accepted mutant has the same runs as the original. In the last, its content still fits the schema.
    """
    from tests.core.test_strict_json import mutant

    generator, accepted = np.random.default_rng(seed), 0
    original = {run.record.id: (run.record, run.digest) for run in read_submission(archive_path).runs}
    content_of_archive, files = archive_path.read_bytes(), contents_of(archive_path.with_suffix(""))
    for i in range(count):
        if i % 3 == 0:
            path.write_bytes(mutant(content_of_archive, generator))
        else:
            contents = dict(files)
            name = sorted(contents)[generator.integers(len(contents))]
            contents[name] = mutant(contents[name], generator)
            if i % 3 == 2 and name != MANIFEST:
                contents[MANIFEST] = rehashed(contents)
            with zipfile.ZipFile(path, "w") as archive:
                for file, content in contents.items():
                    archive.writestr(file, content)
        try:
            submission = read_submission(path)
        except StrictError:
            continue
        accepted += 1
        if i % 3 < 2:
            assert {run.record.id: (run.record, run.digest) for run in submission.runs} == original
        for run in submission.runs:
            assert hashlib.sha256(canonical_json(run.record.config).encode()).hexdigest()[:16] == run.record.id
            assert {array.dtype for array in run.predictions.values()} == {np.dtype("<u2")}
        assert json.dumps(submission.manifest)
    return accepted


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """One run, packed both ways."""
    folder = results_folder(tmp_path_factory.mktemp("one"), ("coral",), 1)
    for name in ("packed", "packed.zip"):
        pack(folder, folder / name, ABOUT, ["coral"], None)
    return folder / "packed.zip"


def test_a_thousand_mutants_of_a_submission(archived, tmp_path):
    assert read_mutants(archived, 1000, 0, tmp_path / "mutant.zip") < 700


@pytest.mark.slow
def test_twenty_thousand_mutants_of_a_submission(archived, tmp_path):
    assert read_mutants(archived, 20_000, 1, tmp_path / "mutant.zip") < 14_000


def test_a_hash_that_does_not_fit_is_refused(packed, tmp_path):
    contents = contents_of(packed)
    name = paths_of(contents)[0]
    write_submission({**contents, name: contents[name] + b" "}, tmp_path / "one", rehash=False)
    with pytest.raises(StrictError, match="sha256"):
        read_submission(tmp_path / "one")
    assert MANIFEST in contents
