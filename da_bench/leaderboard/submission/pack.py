"""Records -> a submission."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from da_bench.core.config import UserError, did_you_mean
from da_bench.core.storage import write_atomic
from da_bench.leaderboard.submission import schema
from da_bench.leaderboard.submission.package import MANIFEST, Run, Submission, predictions, read
from da_bench.studies.records import PARTS, Record, Records

FILES = (*(f"{part}.json" for part in PARTS), "predictions.npz")


def runs(results: Path) -> list[Run]:
    """The finished runs of a results folder with their predictions; those skipped or failed are left out."""
    store = Records(results)
    return [_run(record, store) for record in store.all() if record.result["status"] in ("ok", "diverged")]


def _run(record: Record, store: Records) -> Run:
    path = store.folder / record.id / "predictions.npz"
    return Run(record, predictions(path.read_bytes(), str(path)))


def pack(results: Path, out: Path, about: Mapping[str, Any], methods: Iterable[str], code: Path | None) -> Submission:
    """Write the runs of `methods` (none: of all) in a results folder as a submission, a zip archive or else a folder.

    about: name, authors, link, citation and rule of `schema.Manifest`; code: a Python file that registers the method.

    Raises:
        UserError: no such runs; one of them failed; `out` is there already. StrictError: see `schema.Manifest`.
    """
    if out.exists():
        raise UserError(f"{out} is there already; give --out another name, or remove it")
    store = Records(results)
    contents = {
        f"runs/{record.id}/{file}": (store.folder / record.id / file).read_bytes()
        for record in _chosen(store.all(), list(methods), results)
        for file in FILES
    }
    if code is not None:
        contents[f"code/{code.name}"] = code.read_bytes()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    manifest = schema.fits(schema.Manifest, {"schema": 1, **about, "files": hashes}, MANIFEST)
    contents[MANIFEST] = json.dumps(manifest, indent=1, sort_keys=True).encode()
    (_write_zip if out.suffix == ".zip" else _write_folder)(out, contents)
    return read(out)


def _chosen(records: list[Record], methods: list[str], results: Path) -> list[Record]:
    """Finished runs of these methods; not the upper bound, which has seen target labels."""
    there = {record.config["method"]["name"] for record in records}
    for name in methods:
        if name not in there:
            raise UserError(f"no record of method '{name}' in {results / 'runs'}{did_you_mean(name, there)}")
    wanted = [one for one in records if not methods or one.config["method"]["name"] in methods]
    made = [one for one in wanted if one.result["status"] != "skipped" and one.config["labels_from"] == "source"]
    if failed := [one.id for one in made if one.result["status"] == "failed"]:
        raise UserError(f"run {failed[0]} failed ({len(failed)} of {len(made)} did); make it again with --retry")
    if not made:
        raise UserError(f"no finished runs in {results / 'runs'}; make some with `da-bench run`")
    return made


def _write_folder(out: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        write_atomic(out / name, content)


def _write_zip(out: Path, contents: Mapping[str, bytes]) -> None:
    """The same bytes for the same contents: no times, names in order."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name), contents[name], zipfile.ZIP_DEFLATED)
    write_atomic(out, packed.getvalue())
