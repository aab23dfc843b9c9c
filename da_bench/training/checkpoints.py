"""Checkpoints: what a group of runs has reached, on disk, so that a killed process loses little.

A checkpoint is a folder DIGEST/STEP: orbax's files, and MANIFEST with the sha256 of each and of itself, as orbax has no
checksum of the weights, and with the code and data that the runs were begun with. It is written under a hidden name,
flushed, and renamed; the last two are kept. One that is damaged, or of other data, is never used: the one before it is,
or none.
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
KEPT = 2
ROOM = 2**18  # bytes that orbax adds to the arrays, at most
FORMAT = 2
GROUPS = "[0-9a-f]*"  # their folders; hidden ones are being removed


class Saved(NamedTuple):
    """step: steps done; seconds: that they took; leaves: arrays [runs, ...] of those runs that were asked for.

    commit: of the code that the runs were begun with, None: not known.
    """

    step: int
    seconds: float
    leaves: dict[str, np.ndarray]
    commit: str | None


class Checkpoints:
    """Those of the runs `ids`, in `folder`; written for all of them together, read for all of them or some.

    data: fingerprint of what the runs are made of; checkpoints of other data are not used.
    """

    def __init__(self, folder: Path, ids: Sequence[str], data: str) -> None:
        self.ids = list(ids)
        self.data = data
        self.folder = Path(folder)
        self.own = self.folder / hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:16]

    def save(self, saved: Saved) -> None:
        """Write a checkpoint; the one before it stays, older ones go.

        Raises:
            StorageError: it cannot be written; what was there before still is.
        """
        draft = self.own / ".draft"  # of one process at a time: its runs are locked
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            empty = _write_arrays(draft / "arrays", saved.leaves)
            _write_manifest(draft, self._facts(saved) | {"empty": empty})
            place = self.own / f"{saved.step:09d}"
            _remove(place)  # only a damaged one can be there: else the run would be past it
            publish_folder(draft, place)
        except Exception as error:  # orbax raises many kinds; whatever it is, the run is not on disk
            shutil.rmtree(draft, ignore_errors=True)
            raise StorageError(
                f"cannot save a checkpoint in '{self.own}': {first_line(error)}; make room or give permission there, "
                "and the same command goes on from the checkpoint before, or from the start where there is none"
            ) from error
        self._drop_but(saved.step)

    def _facts(self, saved: Saved) -> dict[str, Any]:
        return {
            "step": saved.step,
            "seconds": saved.seconds,
            "ids": self.ids,
            "commit": saved.commit,
            "data": self.data,
        }

    def latest(self, tell: Callable[[str], None]) -> Saved | None:
        """The newest sound checkpoint that holds all the runs, or None; `tell` hears of those that are not used."""
        for place in self._candidates():
            try:
                manifest = _manifest(place)
                if not set(self.ids) <= set(manifest["ids"]):
                    continue
                if manifest["data"] == self.data:
                    return self._read(place)
                tell(f"the checkpoint '{place}' is of other data, whose files have changed since, and not used")
            except (OSError, ValueError) as error:
                if place.exists():  # else its owner has just removed it
                    tell(f"the checkpoint '{place}' is damaged ({error}) and not used")
        return None

    def _read(self, place: Path) -> Saved:
        """Of a checkpoint that holds all the runs."""
        manifest = verified(place)
        leaves = _read_arrays(place / "arrays", manifest["empty"])
        rows = [manifest["ids"].index(one) for one in self.ids]
        own = {name: leaf[rows] for name, leaf in leaves.items()}
        return Saved(manifest["step"], manifest["seconds"], own, manifest["commit"])

    def clear(self) -> None:
        """Remove them: the runs are on record."""
        _remove(self.own)
        _remove_empty(self.folder)

    def _steps(self) -> list[Path]:
        """Own checkpoints, newest first."""
        return sorted((one for one in self.own.glob("[0-9]*") if one.is_dir()), reverse=True)

    def _drop_but(self, step: int) -> None:
        """Keep the last ones up to `step`: those beyond it are damaged, or of other code or data."""
        places = self._steps()
        beyond = [one for one in places if int(one.name) > step]
        for one in [*beyond, *places[len(beyond) + KEPT :]]:
            _remove(one)

    def _candidates(self) -> Iterator[Path]:
        """Own ones first, then those of groups that these runs may have been part of."""
        yield from self._steps()
        for other in sorted(self.folder.glob(GROUPS)):
            if other != self.own:
                yield from sorted(other.glob("[0-9]*"), reverse=True)


def tidy(folder: Path, has: Callable[[str], bool]) -> None:
    """Remove what a process left that was killed between publishing its runs and clearing their checkpoints."""
    for place in Path(folder).glob(f"{GROUPS}/[0-9]*"):
        try:
            ids = _manifest(place)["ids"]
        except (OSError, ValueError):  # told of by who wants to use it
            continue
        if all(map(has, ids)):
            _remove(place.parent)
    for grave in Path(folder).glob(".*"):
        shutil.rmtree(grave, ignore_errors=True)
    _remove_empty(Path(folder))


def _remove(place: Path) -> None:
    with contextlib.suppress(OSError):  # one that cannot be removed does no harm
        remove_folder(place)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # something is in it
        return


def verified(place: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, all of whose files are as they were written.

    Raises:
        ValueError, OSError: they are not.
    """
    manifest = _manifest(place)
    found = _digests(place)
    if found != manifest["files"]:
        changed = {name for name, _ in found.items() ^ manifest["files"].items()}
        raise ValueError(f"{min(changed)} is not as it was written")
    return manifest


def _manifest(place: Path) -> dict[str, Any]:
    """What it says, its files not yet looked at."""
    digest, _, body = (place / MANIFEST).read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError(f"{MANIFEST} is not as it was written")
    manifest: dict[str, Any] = json.loads(body)
    if manifest["format"] != FORMAT or f"{manifest['step']:09d}" != place.name:
        raise ValueError(f"{MANIFEST} is of another checkpoint")
    return manifest


def _write_manifest(draft: Path, facts: dict[str, Any]) -> None:
    body = json.dumps({"format": FORMAT, **facts, "files": _digests(draft)}, sort_keys=True).encode()
    (draft / MANIFEST).write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _digests(place: Path) -> dict[str, str]:
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _write_arrays(place: Path, leaves: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write them; returns shapes and types of those that have no values, which orbax refuses."""
    _find_room(place.with_name("room"), 2 * sum(leaf.nbytes for leaf in leaves.values()) + ROOM)
    _orbax().save(place.absolute(), {name: leaf for name, leaf in leaves.items() if leaf.size})
    return {name: [list(leaf.shape), leaf.dtype.name] for name, leaf in leaves.items() if not leaf.size}


def _find_room(path: Path, size: int) -> None:
    """Raise OSError where there is none: orbax says so in pages of tracebacks, from several threads at once."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    path.unlink()


def _read_arrays(place: Path, empty: dict[str, Any]) -> dict[str, np.ndarray]:
    found = {name: np.asarray(leaf) for name, leaf in _orbax().restore(place.absolute()).items()}
    return found | {name: np.zeros(shape, kind) for name, (shape, kind) in empty.items()}


def _orbax() -> Any:
    import jax
    import orbax.checkpoint

    # one of several processes writes or reads alone: no waiting for the others
    own = jax.process_index()
    alone = orbax.checkpoint.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=str(own)
    )
    handler = orbax.checkpoint.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return orbax.checkpoint.Checkpointer(handler, multiprocessing_options=alone)
