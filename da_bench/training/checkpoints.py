"""Checkpoints: the progress of a group of runs on disk, so that a killed process loses little.

A checkpoint is a folder DIGEST/STEP with orbax's files and a MANIFEST: the SHA-256 of each file and of itself, as orbax
has no checksum of the weights, and the code and data that the runs were started with. It is written under a hidden
name, flushed, and renamed; the last two are kept. A checkpoint that is damaged, or of other data, is reported and
skipped: the one before it is used, or none.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.config import StorageError, first_line
from da_bench.core.storage import publish_folder, remove_folder

MANIFEST = "MANIFEST"
FORMAT = 3  # of the manifest and of the arrays' names; others are reported and skipped
KEPT = 2  # checkpoints of a group
OVERHEAD = 2**18  # bytes that orbax adds to the arrays, at most
GROUPS = "[0-9a-f]*"  # pattern of the folders of groups; hidden ones are being removed


class Checkpoint(NamedTuple):
    """The progress of a group of runs.

    Attributes:
        step: steps done.
        seconds: that they took.
        arrays: [runs, ...] by name, of the runs that were asked for.
        commit: of the code that the runs were started with; None where it is not known.
    """

    step: int
    seconds: float
    arrays: dict[str, np.ndarray]
    commit: str | None


class Checkpoints:
    """The checkpoints of a group of runs: written for all of them together, read for all or some.

    Attributes:
        folder: of all groups.
        ids: of the runs.
        data: fingerprint of the data; checkpoints of other data are skipped.
        own: subfolder of this group.
    """

    def __init__(self, folder: Path, ids: Sequence[str], data: str) -> None:
        self.ids = list(ids)
        self.data = data
        self.folder = Path(folder)
        self.own = self.folder / hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:16]

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; the one before it stays, older ones are removed.

        Raises:
            StorageError: it cannot be written; existing ones are not changed.
        """
        draft = self.own / ".draft"  # of one process at a time, as its runs are locked
        path = self.own / f"{checkpoint.step:09d}"
        facts = {"ids": self.ids, "data": self.data} | {
            name: getattr(checkpoint, name) for name in ("step", "seconds", "commit")
        }
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            empty = _write_arrays(draft / "arrays", checkpoint.arrays)
            _write_manifest(draft, facts | {"empty": empty})
            _remove(path)  # only a damaged one can exist, as the run would be past it
            publish_folder(draft, path)
        except Exception as error:  # orbax raises many kinds; whatever it is, the progress is not on disk
            shutil.rmtree(draft, ignore_errors=True)
            raise StorageError(
                f"cannot save a checkpoint in '{self.own}': {first_line(error)}; free some space or grant permission "
                "to write there, and the same command resumes from the checkpoint before, or from the start"
            ) from error
        self._remove_outdated(checkpoint.step)

    def latest(self, report: Callable[[str], None]) -> Checkpoint | None:
        """Return the newest usable checkpoint that holds all the runs, or None.

        Args:
            report: called with a message for each one that is skipped.
        """
        for path in self._candidates():
            try:
                manifest = _read_manifest(path)
                if not set(self.ids) <= set(manifest["ids"]):
                    continue
                if manifest["data"] == self.data:
                    return self._read(path)
                report(f"the checkpoint '{path}' is of other data, whose files have changed since: it is skipped")
            except (OSError, ValueError) as error:
                if path.exists():  # else its process has just removed it
                    report(f"the checkpoint '{path}' is damaged or of another version ({error}): it is skipped")
        return None

    def _read(self, path: Path) -> Checkpoint:
        manifest = verify(path)
        rows = [manifest["ids"].index(run_id) for run_id in self.ids]
        arrays = {name: array[rows] for name, array in _read_arrays(path / "arrays", manifest["empty"]).items()}
        return Checkpoint(manifest["step"], manifest["seconds"], arrays, manifest["commit"])

    def clear(self) -> None:
        """Remove the group's checkpoints, when its runs are on record."""
        _remove(self.own)
        _remove_if_empty(self.folder)

    def _newest_first(self) -> list[Path]:
        return sorted((path for path in self.own.glob("[0-9]*") if path.is_dir()), reverse=True)

    def _remove_outdated(self, step: int) -> None:
        """Keep the last ones up to `step`; those beyond it are damaged, or of other code or data."""
        paths = self._newest_first()
        beyond = [path for path in paths if int(path.name) > step]
        for path in [*beyond, *paths[len(beyond) + KEPT :]]:
            _remove(path)

    def _candidates(self) -> Iterator[Path]:
        """The group's own ones first, then those of groups that these runs may have been part of."""
        yield from self._newest_first()
        for other in sorted(self.folder.glob(GROUPS)):
            if other != self.own:
                yield from sorted(other.glob("[0-9]*"), reverse=True)


def remove_published(folder: Path, is_published: Callable[[str], bool]) -> None:
    """Remove checkpoints of published runs: a process was killed between publishing them and clearing these.

    Args:
        folder: of all groups.
        is_published: whether a run id is on record.
    """
    for path in Path(folder).glob(f"{GROUPS}/[0-9]*"):
        try:
            ids = _read_manifest(path)["ids"]
        except (OSError, ValueError):  # reported when a run wants to use it
            continue
        if all(map(is_published, ids)):
            _remove(path.parent)
    for trash in Path(folder).glob(".*"):
        shutil.rmtree(trash, ignore_errors=True)
    _remove_if_empty(Path(folder))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a checkpoint that cannot be removed does no harm
        remove_folder(path)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def verify(path: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint after checking every file against it.

    Raises:
        ValueError: a file differs from what was written.
        OSError: a file cannot be read.
    """
    manifest = _read_manifest(path)
    digests = _digests(path)
    if digests != manifest["files"]:
        changed = {name for name, _ in digests.items() ^ manifest["files"].items()}
        raise ValueError(f"{min(changed)} differs from what was written")
    return manifest


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, without checking the files that it lists."""
    digest, _, body = (path / MANIFEST).read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError(f"{MANIFEST} differs from what was written")
    manifest: dict[str, Any] = json.loads(body)
    if manifest["format"] != FORMAT:
        raise ValueError(f"{MANIFEST} has format {manifest['format']}, and this version reads {FORMAT}")
    if f"{manifest['step']:09d}" != path.name:
        raise ValueError(f"{MANIFEST} is of another checkpoint")
    return manifest


def _write_manifest(draft: Path, facts: dict[str, Any]) -> None:
    body = json.dumps({"format": FORMAT, **facts, "files": _digests(draft)}, sort_keys=True).encode()
    (draft / MANIFEST).write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _write_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write arrays; return shapes and types of those without values, which orbax refuses."""
    _require_space(folder.with_name("space"), 2 * sum(array.nbytes for array in arrays.values()) + OVERHEAD)
    _orbax().save(folder.absolute(), {name: array for name, array in arrays.items() if array.size})
    return {name: [list(array.shape), array.dtype.name] for name, array in arrays.items() if not array.size}


def _require_space(path: Path, size: int) -> None:
    """Raise OSError on a full disk: orbax reports that in pages of tracebacks, from several threads at once."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    path.unlink()


def _read_arrays(folder: Path, empty: dict[str, Any]) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(array) for name, array in _orbax().restore(folder.absolute()).items()}
    return arrays | {name: np.zeros(shape, kind) for name, (shape, kind) in empty.items()}


def _orbax() -> Any:
    import jax
    import orbax.checkpoint

    # a process writes or reads alone, without waiting for the others
    own = jax.process_index()
    alone = orbax.checkpoint.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=str(own)
    )
    handler = orbax.checkpoint.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return orbax.checkpoint.Checkpointer(handler, multiprocessing_options=alone)
