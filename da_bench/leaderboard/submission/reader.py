"""Reads a submission, a folder or a zip archive of known layout, within limits and without unpacking it."""

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
from da_bench.studies.experiment import canonical_json
from da_bench.studies.records import PARTS, Record

MANIFEST = "manifest.json"
RUN_FILES = (*(f"{part}.json" for part in PARTS), "predictions.npz")
LAYOUT = re.compile(rf"{re.escape(MANIFEST)}|{schema.CODE}|{schema.RUN}")
FILE_BYTES = 64 * 2**20
LIMITS = Limits(members=20_000, each=FILE_BYTES, all=2**30)
TEST_SPLITS = ("source_test", "target_test")
# Exactly what numpy writes for an array of uint16 [e, n]: no other type, order or expression is ever evaluated.
NPY_HEADER = re.compile(rb"\{'descr': '<u2', 'fortran_order': False, 'shape': \((\d{1,6}), (\d{1,9})\), \} *\n")
NPY_MAGIC = b"\x93NUMPY\x01\x00"


class PredictedRun(NamedTuple):
    """A run with its predictions.

    Attributes:
        record: its record.
        predictions: "source_test" and "target_test" -> predicted classes [e, n] at each evaluation, uint16.
    """

    record: Record
    predictions: dict[str, np.ndarray]

    @property
    def digest(self) -> str:
        """Sha256 of the predictions; it does not depend on how the file was compressed."""
        digest = hashlib.sha256()
        for name in TEST_SPLITS:
            digest.update(f"{name}{self.predictions[name].shape}".encode())
            digest.update(np.ascontiguousarray(self.predictions[name], "<u2").data)
        return digest.hexdigest()

    @property
    def last(self) -> np.ndarray:
        """Predicted classes [n] of the target's test split after the last step."""
        return self.predictions["target_test"][-1]


class Submission(NamedTuple):
    """A submission.

    Attributes:
        manifest: its manifest, see `schema.Manifest`.
        runs: its runs, sorted by id.
        code: path -> content of its Python files.
        digest: sha256 of the manifest, which holds the hashes of all other files.
    """

    manifest: dict[str, Any]
    runs: list[PredictedRun]
    code: dict[str, bytes]
    digest: str


class Folder:
    """The files of a folder, with the interface of `Archive`. Links are refused.

    Args:
        path: the folder.
        limits: what it may hold at most.

    Raises:
        StrictError: there is a link in it, or it holds too many files.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self.names: list[str] = []
        for parent, folders, files in os.walk(path):
            self.names += [(Path(parent) / name).relative_to(path).as_posix() for name in files]
            links = [name for name in (*folders, *files) if (Path(parent) / name).is_symlink()]
            if links or len(self.names) > limits.members:
                what = f"'{single_line(links[0])}' is a link" if links else f"it has more than {limits.members} files"
                raise StrictError(f"{path}: {what}; a submission holds plain files")

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            StrictError: it is too large or cannot be read.
        """
        try:
            with (self.path / name).open("rb") as file:
                content = file.read(self.limits.each + 1)
        except OSError as error:
            raise StrictError(f"{self.path / name} cannot be read: {error.strerror}") from None
        if len(content) > self.limits.each:
            raise StrictError(f"{self.path / name} has more than {self.limits.each} bytes")
        return content


def read_submission(path: Path) -> Submission:
    """Read a submission whose files are those of its manifest, with the same hashes, each of them valid.

    Raises:
        StrictError: something is not as it must be; the message names the file. Nothing of the submission is used.
    """
    if path.is_dir():
        return _read(Folder(path, LIMITS))
    if not path.is_file():
        raise StrictError(f"no submission at {path}: give a folder or zip archive written by `da-bench submit pack`")
    with path.open("rb") as file:
        return _read(Archive(file, str(path), LIMITS))


def _read(files: Folder | Archive) -> Submission:
    for name in files.names:
        if not LAYOUT.fullmatch(name):
            raise StrictError(f"'{single_line(name)[:80]}' does not belong in a submission; remove it")
    if MANIFEST not in files.names:
        raise StrictError(f"{MANIFEST} is missing; create the submission with `da-bench submit pack`")
    content = files.read(MANIFEST)
    manifest = schema.validate(schema.Manifest, strict_json(content, MANIFEST), MANIFEST)
    contents = _read_listed(files, manifest["files"])
    ids = sorted({name.split("/")[1] for name in contents if name.startswith("runs/")})
    if not ids:
        raise StrictError(f"{MANIFEST} lists no run; a submission needs at least one")
    code = {name: text for name, text in contents.items() if name.startswith("code/")}
    runs = [_read_run(run_id, contents) for run_id in ids]
    return Submission(manifest, runs, code, hashlib.sha256(content).hexdigest())


def _read_listed(files: Folder | Archive, hashes: Mapping[str, str]) -> dict[str, bytes]:
    """Every file but the manifest. They must be those that the manifest lists, with the same hashes."""
    names = set(files.names) - {MANIFEST}
    for name in sorted(names ^ hashes.keys()):
        what = f"is not listed in {MANIFEST}" if name in names else f"is listed in {MANIFEST} but missing"
        raise StrictError(f"'{name}' {what}")
    contents = {}
    for name in sorted(hashes):
        contents[name] = files.read(name)
        if hashlib.sha256(contents[name]).hexdigest() != hashes[name]:
            raise StrictError(f"'{name}': its sha256 differs from that in {MANIFEST}; pack the submission again")
    return contents


def _read_run(run_id: str, contents: Mapping[str, bytes]) -> PredictedRun:
    folder = f"runs/{run_id}"
    for file in RUN_FILES:
        if f"{folder}/{file}" not in contents:
            raise StrictError(f"'{folder}/{file}' is missing; a run consists of {', '.join(RUN_FILES)}")
    parts = []
    for part in PARTS:
        path = f"{folder}/{part}.json"
        parts.append(schema.validate(schema.PARTS[part], strict_json(contents[path], path), path))
    record = Record(run_id, *parts)
    if hashlib.sha256(canonical_json(record.config).encode()).hexdigest()[:16] != run_id:
        raise StrictError(f"{folder}: its config belongs to another run: the id is the hash of the config")
    path = f"{folder}/predictions.npz"
    return PredictedRun(record, read_predictions(contents[path], path))


def read_predictions(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Predicted classes from the content of an .npz file.

    Args:
        content: bytes of the file.
        where: its name, for error messages.

    Returns:
        "source_test" and "target_test" -> [e, n], uint16.

    Raises:
        StrictError: the file has other content, types or shapes.
    """
    archive = Archive(io.BytesIO(content), where, Limits(len(TEST_SPLITS), FILE_BYTES, FILE_BYTES))
    if set(archive.names) != {f"{name}.npy" for name in TEST_SPLITS}:
        raise StrictError(f"{where} must hold the arrays {' and '.join(TEST_SPLITS)}, and no others")
    predictions = {name: _read_array(archive.read(f"{name}.npy"), f"{where}: {name}") for name in TEST_SPLITS}
    if len({len(array) for array in predictions.values()}) > 1:
        raise StrictError(f"{where}: both arrays must have the same number of evaluations")
    return predictions


def _read_array(content: bytes, where: str) -> np.ndarray:
    start = len(NPY_MAGIC) + 2
    end = start + int.from_bytes(content[len(NPY_MAGIC) : start], "little")
    header = NPY_HEADER.fullmatch(content[start:end])
    if not content.startswith(NPY_MAGIC) or header is None:
        raise StrictError(f"{where}: expected an array of uint16 [evaluations, rows] as numpy writes it")
    shape = int(header[1]), int(header[2])
    if 0 in shape or len(content) - end != 2 * shape[0] * shape[1]:
        raise StrictError(f"{where}: {len(content) - end} bytes do not make an array of shape {shape}")
    return np.frombuffer(content, "<u2", offset=end).reshape(shape)
