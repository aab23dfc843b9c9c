"""Packs the runs of a results folder as a submission."""

import hashlib
import io
import json
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from da_bench.core.config import UserError, did_you_mean
from da_bench.core.storage import write_atomic
from da_bench.leaderboard.submission import schema
from da_bench.leaderboard.submission.reader import (
    MANIFEST,
    RUN_FILES,
    PredictedRun,
    Submission,
    read_predictions,
    read_submission,
)
from da_bench.studies.records import Record, Records


def is_finished(record: Record) -> bool:
    """Whether the run has a result: it was neither skipped nor did it fail."""
    return record.result["status"] in ("ok", "diverged")


def finished_runs(results: Path) -> list[PredictedRun]:
    """The finished runs of a results folder with their predictions."""
    store = Records(results)
    runs = []
    for record in filter(is_finished, store.all()):
        path = store.folder / record.id / "predictions.npz"
        runs.append(PredictedRun(record, read_predictions(path.read_bytes(), str(path))))
    return runs


def pack(
    results: Path, out: Path, about: Mapping[str, Any], methods: Collection[str] = (), code: Path | None = None
) -> Submission:
    """Write finished runs of a results folder as a submission.

    Args:
        results: folder whose runs/ holds the records.
        out: path to write: a zip archive if it ends in ".zip", else a folder.
        about: the fields name, authors, link, citation and rule of `schema.Manifest`.
        methods: names of the methods whose runs are packed; empty for all. Upper bounds are never packed.
        code: Python file that registers the method.

    Returns:
        The submission, read back from `out`.

    Raises:
        UserError: there are no such runs, one of them failed, or `out` exists.
        StrictError: a field of `about` is not valid.
    """
    if out.exists():
        raise UserError(f"--out {out} already exists; choose another name, or remove it")
    store = Records(results)
    contents = {
        f"runs/{record.id}/{file}": (store.folder / record.id / file).read_bytes()
        for record in _selected(store.all(), methods, results)
        for file in RUN_FILES
    }
    if code is not None:
        contents[f"code/{code.name}"] = code.read_bytes()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    manifest = schema.validate(schema.Manifest, {"schema": 1, **about, "files": hashes}, MANIFEST)
    contents[MANIFEST] = json.dumps(manifest, indent=1, sort_keys=True).encode()
    if out.suffix == ".zip":
        write_atomic(out, _zip(contents))
    else:
        for name, content in contents.items():
            write_atomic(out / name, content)
    return read_submission(out)


def _selected(records: list[Record], methods: Collection[str], results: Path) -> list[Record]:
    """Finished runs of these methods, without upper bounds: those were trained on target labels."""
    known = {record.config["method"]["name"] for record in records}
    for name in methods:
        if name not in known:
            raise UserError(f"--methods {name}: no record of it in {results / 'runs'}{did_you_mean(name, known)}")
    selected = [
        record
        for record in records
        if (not methods or record.config["method"]["name"] in methods)
        and record.result["status"] != "skipped"
        and record.config["labels_from"] == "source"
    ]
    if failed := [record.id for record in selected if record.result["status"] == "failed"]:
        raise UserError(f"run {failed[0]} failed ({len(failed)} of {len(selected)} did); repeat it with --retry")
    if not selected:
        raise UserError(f"no finished runs in {results / 'runs'}; make some with `da-bench run`")
    return selected


def _zip(contents: Mapping[str, bytes]) -> bytes:
    """A zip archive without times and with sorted names: equal contents give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name), contents[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
