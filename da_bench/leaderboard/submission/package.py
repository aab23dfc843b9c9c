"""A submission as it arrives: a folder or a zip archive of known layout, read within limits and never unpacked."""

import hashlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.strict_json import Archive, Limits, StrictError, strict_json
from da_bench.leaderboard.submission import schema
from da_bench.reporting.tables.text import single_line
from da_bench.studies.experiment import canonical
from da_bench.studies.records import PARTS, Record

MANIFEST = "manifest.json"
LAYOUT = re.compile(rf"{re.escape(MANIFEST)}|{schema.CODE}|{schema.RUN}")
FILE_BYTES = 64 * 2**20
LIMITS = Limits(members=20_000, each=FILE_BYTES, all=2**30)
TESTS = ("source_test", "target_test")
# Only what numpy itself writes for such an array: no other type, order or expression is ever evaluated.
HEADER = re.compile(rb"\{'descr': '<u2', 'fortran_order': False, 'shape': \((\d{1,6}), (\d{1,9})\), \} *\n")
MAGIC = b"\x93NUMPY\x01\x00"


class Run(NamedTuple):
    """A record, and the predicted classes [e, n] of "source_test" and "target_test" that it was computed from."""

    record: Record
    predictions: dict[str, np.ndarray]

    @property
    def digest(self) -> str:
        """Sha256 of the predictions, whatever the file was compressed by."""
        digest = hashlib.sha256()
        for name in TESTS:
            digest.update(f"{name}{self.predictions[name].shape}".encode())
            digest.update(np.ascontiguousarray(self.predictions[name], "<u2").data)
        return digest.hexdigest()

    @property
    def last(self) -> np.ndarray:
        """[n] predicted classes of the target's test set after the last step."""
        return self.predictions["target_test"][-1]


class Submission(NamedTuple):
    """manifest: see `schema.Manifest`; runs, by id; code: content by path; digest: sha256 of the manifest."""

    manifest: dict[str, Any]
    runs: list[Run]
    code: dict[str, bytes]
    digest: str


class Folder:
    """The files of a folder, with what `Archive` offers; no link is followed."""

    def __init__(self, place: Path, limits: Limits) -> None:
        self.place, self.limits = place, limits
        self.names: list[str] = []
        for folder, folders, files in os.walk(place):
            self.names += [str((Path(folder) / one).relative_to(place).as_posix()) for one in files]
            linked = [one for one in (*folders, *files) if (Path(folder) / one).is_symlink()]
            if linked or len(self.names) > limits.members:
                what = f"'{single_line(linked[0])}' is a link" if linked else f"more than {limits.members} files"
                raise StrictError(f"{place}: {what}; a submission holds plain files")

    def read(self, name: str) -> bytes:
        """The content of a file; StrictError where it is too large or not readable."""
        try:
            with (self.place / name).open("rb") as file:
                content = file.read(self.limits.each + 1)
        except OSError as error:
            raise StrictError(f"{self.place / name} cannot be read: {error.strerror}") from None
        if len(content) > self.limits.each:
            raise StrictError(f"{self.place / name} has more than {self.limits.each} bytes")
        return content


def read(place: Path) -> Submission:
    """A submission that is what its manifest says: its files are those listed, with their hashes, and each is sound.

    Raises:
        StrictError: it is not; the message names the file. Nothing of it is used then.
    """
    if place.is_dir():
        return _submission(Folder(place, LIMITS))
    if not place.is_file():
        raise StrictError(f"no submission in {place}: give a folder or a zip archive that `da-bench submit pack` wrote")
    with place.open("rb") as file:
        return _submission(Archive(file, str(place), LIMITS))


def _submission(files: Folder | Archive) -> Submission:
    for name in files.names:
        if not LAYOUT.fullmatch(name):
            raise StrictError(f"'{single_line(name)[:80]}' has no place in a submission; take it out")
    if MANIFEST not in files.names:
        raise StrictError(f"there is no {MANIFEST}; make the submission by `da-bench submit pack`")
    content = files.read(MANIFEST)
    manifest = schema.fits(schema.Manifest, strict_json(content, MANIFEST), MANIFEST)
    whole = _contents(files, manifest["files"])
    ids = sorted({name.split("/")[1] for name in whole if name.startswith("runs/")})
    if not ids:
        raise StrictError(f"{MANIFEST} lists no run; a submission has at least one")
    code = {name: text for name, text in whole.items() if name.startswith("code/")}
    return Submission(manifest, [_run(one, whole) for one in ids], code, hashlib.sha256(content).hexdigest())


def _contents(files: Folder | Archive, listed: Mapping[str, str]) -> dict[str, bytes]:
    """Every file but the manifest, if they are those that it lists."""
    there = set(files.names) - {MANIFEST}
    for name in sorted(there ^ listed.keys()):
        raise StrictError(f"'{name}' is {'not listed in' if name in there else 'missing: it is listed in'} {MANIFEST}")
    whole = {}
    for name in sorted(listed):
        whole[name] = files.read(name)
        if hashlib.sha256(whole[name]).hexdigest() != listed[name]:
            raise StrictError(f"'{name}' is not the file of {MANIFEST}: its sha256 differs; pack it again")
    return whole


def _run(run_id: str, whole: Mapping[str, bytes]) -> Run:
    place = f"runs/{run_id}"
    for name in (*(f"{place}/{part}.json" for part in PARTS), f"{place}/predictions.npz"):
        if name not in whole:
            raise StrictError(f"'{name}' is missing; a run has its config, result, curves, environment and predictions")
    parts = [
        schema.fits(schema.PARTS[part], strict_json(whole[f"{place}/{part}.json"], f"{place}/{part}.json"), place)
        for part in PARTS
    ]
    record = Record(run_id, *parts)
    if hashlib.sha256(canonical(record.config).encode()).hexdigest()[:16] != run_id:
        raise StrictError(f"{place}: its config is another run's: the id is the hash of the config")
    return Run(record, predictions(whole[f"{place}/predictions.npz"], f"{place}/predictions.npz"))


def predictions(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Predicted classes [e, n], uint16, of "source_test" and "target_test", from an .npz.

    Raises:
        StrictError: any other content, type or shape.
    """
    archive = Archive(io.BytesIO(content), where, Limits(len(TESTS), FILE_BYTES, FILE_BYTES))
    if set(archive.names) != {f"{name}.npy" for name in TESTS}:
        raise StrictError(f"{where} must hold the arrays {' and '.join(TESTS)}, and no other")
    found = {name: _array(archive.read(f"{name}.npy"), f"{where}: {name}") for name in TESTS}
    if len({len(one) for one in found.values()}) > 1:
        raise StrictError(f"{where}: both arrays have one row an evaluation, so equally many")
    return found


def _array(content: bytes, where: str) -> np.ndarray:
    start = len(MAGIC) + 2
    end = start + int.from_bytes(content[len(MAGIC) : start], "little")
    header = HEADER.fullmatch(content[start:end])
    if not content.startswith(MAGIC) or header is None:
        raise StrictError(f"{where}: want an array of uint16 [evaluations, rows] as numpy writes it")
    shape = int(header[1]), int(header[2])
    if 0 in shape or len(content) - end != 2 * shape[0] * shape[1]:
        raise StrictError(f"{where}: {len(content) - end} bytes are no array of shape {shape}")
    return np.frombuffer(content, "<u2", offset=end).reshape(shape)
