"""Records: one folder a run, published last, once and complete.

results/runs/<id>/config.json       the resolved experiment; its hash is the id
                  environment.json  commit, packages, device, data fingerprint, command
                  curves.json       accuracies, validators and metrics at every evaluation
                  predictions.npz   predicted classes [evaluations, rows] of both test sets, uint16
                  result.json       what each selection rule reports
"""

import contextlib
import dataclasses
import functools
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from da_bench.core.config import StorageError, UserError
from da_bench.core.locks import LockedError, hold_locks
from da_bench.core.storage import publish_folder, remove_folder, storage_errors
from da_bench.core.strict_json import reject_constant, reject_duplicate_keys

PARTS = ("config", "result", "curves", "environment")


@dataclasses.dataclass(frozen=True)
class Record:
    """One run as it was published.

    Attributes:
        id: 16 hexadecimal digits, the hash of `config`.
        config: the resolved experiment.
        result: status ("ok", "diverged", "skipped" or "failed"), what each selection rule reports, the proxy
            A-distance, measures of transferability where all validators were asked for, seconds, bytes of peak memory,
            the digest of the last state; the task's protocol, split and classes.
        curves: at every evaluation: step, accuracies, scores of validators, mean training metrics.
        environment: commit, packages, device, data fingerprint, command.
    """

    id: str
    config: dict[str, Any]
    result: dict[str, Any]
    curves: dict[str, Any]
    environment: dict[str, Any]

    @functools.cached_property
    def flat(self) -> dict[str, Any]:
        """The settings without nesting: {"task": "moons/35", "method.name": "dann", "method.weight": 1.0, ...}."""
        return dict(_flatten(self.config, ""))

    @functools.cached_property
    def canonical(self) -> dict[str, str]:
        """The settings of `flat` as texts, equal where the settings are equal."""
        return {name: canonical(value) for name, value in self.flat.items()}


def _flatten(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def canonical(value: Any) -> str:
    """Return the text of a setting with every digit: 6.0 and 6 are equal, values equal to six digits are not."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else json.dumps(value, sort_keys=True)


class Records:
    """The published runs of a results folder.

    Attributes:
        folder: holds one folder a run, and hidden locks and drafts of runs in progress.
    """

    def __init__(self, results: Path) -> None:
        self.folder = Path(results) / "runs"

    def has(self, run_id: str) -> bool:
        """Whether the run is published: a folder under its id is always complete."""
        return (self.folder / run_id).is_dir()

    def read(self, run_id: str) -> Record:
        """Read the record of a run; UserError if it is missing or unreadable."""
        return Record(run_id, *(_read_json(self.folder / run_id / f"{part}.json") for part in PARTS))

    def read_existing(self, ids: Iterable[str]) -> dict[str, Record]:
        """Read the records of those runs that are published, by id."""
        return {run_id: self.read(run_id) for run_id in ids if self.has(run_id)}

    def all(self) -> list[Record]:
        """Read every published run, by id."""
        if not self.folder.is_dir():
            return []
        return [self.read(path.name) for path in sorted(self.folder.iterdir()) if not path.name.startswith(".")]

    def predictions(self, run_id: str) -> dict[str, np.ndarray]:
        """Read the predicted classes [evaluations, rows] of both test sets.

        Raises:
            UserError: they are missing or unreadable.
        """
        path = self.folder / run_id / "predictions.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"cannot read {path}: {error}; give the id of a run that is on record") from error

    def lock(self, run_id: str) -> Path:
        """Return the file that the process that computes the run locks."""
        return self.folder / f".{run_id}.lock"

    def prepare(self) -> None:
        """Create the folder and test that it can be written to; StorageError otherwise."""
        with _write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()

    def clean(self, run_id: str) -> None:
        """Remove drafts of the run that a killed process left. The caller holds the run's lock."""
        for draft in self.folder.glob(f".{run_id}-*"):
            shutil.rmtree(draft, ignore_errors=True)

    def clean_all(self) -> None:
        """Remove the locks and drafts of killed processes."""
        for lock in self.folder.glob(".*.lock"):
            with contextlib.suppress(LockedError), hold_locks([lock]):
                self.clean(lock.stem.removeprefix("."))

    def failures(self, ids: Iterable[str]) -> list[str]:
        """Return the ids of the runs that are published and failed."""
        return [run_id for run_id in ids if self.has(run_id) and self.read(run_id).result["status"] == "failed"]

    def forget(self, run_id: str) -> None:
        """Remove the record of a run, at once for every reader."""
        with _write_errors(self.folder):
            remove_folder(self.folder / run_id)

    def publish(self, record: Record, predictions: Mapping[str, np.ndarray]) -> bool:
        """Write the run's folder under a hidden name, flush it to disk and rename it into place.

        Args:
            record: of the run.
            predictions: predicted classes by name, [evaluations, rows] each.

        Returns:
            False if the run was published already; the existing record is not changed.

        Raises:
            StorageError: the folder cannot be written to.
        """
        with _write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{record.id}-", dir=self.folder))
        try:
            with _write_errors(self.folder):
                for part in PARTS:
                    with (draft / f"{part}.json").open("w", encoding="utf-8") as file:
                        json.dump(getattr(record, part), file, indent=1, sort_keys=True, allow_nan=False)
                np.savez_compressed(draft / "predictions.npz", allow_pickle=False, **predictions)
                draft.chmod(0o755)
                publish_folder(draft, self.folder / record.id)  # the system refuses it if the run is published
        except StorageError:
            if not self.has(record.id):
                raise
            return False
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return True


def _write_errors(folder: Path) -> contextlib.AbstractContextManager[None]:
    remedy = "free some space or grant permission to write there, and the same command computes what is missing"
    return storage_errors(f"write to '{folder}'", remedy)


def strict_json(text: str) -> Any:
    """Parse a JSON text; ValueError also for NaN, infinity and a repeated key."""
    return json.loads(text, parse_constant=reject_constant, object_pairs_hook=reject_duplicate_keys)


def _read_json(path: Path) -> Any:
    try:
        return strict_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}; delete the folder {path.parent} to run it again") from error
