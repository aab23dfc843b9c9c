"""Records: one folder a run, published last, once and whole; and a mirror of it in wandb for those who want one.

results/runs/<id>/config.json       the resolved experiment; its hash is the id
                  environment.json  commit, packages, device, data fingerprint, command
                  curves.json       accuracies, validators and metrics at every evaluation
                  predictions.npz   predicted classes [evaluations, rows] of both test sets, uint16
                  result.json       what each selection rule reports
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from da_bench.core.config import StorageError, UserError
from da_bench.core.storage import publish_folder, remove_folder, storage_errors
from da_bench.core.strict_json import no_constant, no_twins

PARTS = ("config", "result", "curves", "environment")
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn", "matplotlib", "pillow")


@dataclasses.dataclass(frozen=True)
class Record:
    """One run as it was published.

    config: the resolved experiment; its hash is `id`.
    result: status ("ok" | "diverged" | "skipped" | "failed"), what each selection rule reports, proxy A-distance,
    measures of transferability where all validators were asked for, seconds, bytes of peak memory, the digest of the
    last state; the task's protocol, split and classes.
    curves: per evaluation step: accuracies, validators, mean training metrics.
    environment: commit, packages, device, data fingerprint, command.
    """

    id: str
    config: dict[str, Any]
    result: dict[str, Any]
    curves: dict[str, Any]
    environment: dict[str, Any]

    @functools.cached_property
    def flat(self) -> dict[str, Any]:
        """The experiment's settings: {"task": "moons/35", "method.name": "dann", "method.weight": 1.0, ...}."""
        return dict(_flat(self.config, ""))

    @functools.cached_property
    def canonical(self) -> dict[str, str]:
        """The same as texts, equal where the settings are."""
        return {name: canonical(value) for name, value in self.flat.items()}


def _flat(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def canonical(value: Any) -> str:
    """A setting's value with every digit: weights alike at six digits are two, 6.0 and 6 are one."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else json.dumps(value, sort_keys=True)


class Records:
    """The published runs of a results folder."""

    def __init__(self, results: Path) -> None:
        self.folder = Path(results) / "runs"

    def has(self, run_id: str) -> bool:
        """Whether the run is published: a folder under its id is always whole."""
        return (self.folder / run_id).is_dir()

    def read(self, run_id: str) -> Record:
        """The record of a run; UserError if it is not there or not readable."""
        return Record(run_id, *(_read_json(self.folder / run_id / f"{part}.json") for part in PARTS))

    def all(self) -> list[Record]:
        """Every published run, by id."""
        if not self.folder.is_dir():
            return []
        return [self.read(path.name) for path in sorted(self.folder.iterdir()) if not path.name.startswith(".")]

    def predictions(self, run_id: str) -> dict[str, np.ndarray]:
        """Predicted classes [evaluations, rows] of both test sets; UserError where they cannot be read."""
        path = self.folder / run_id / "predictions.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"cannot read {path}: {error}; give the id of a run that is on record") from error

    def lock(self, run_id: str) -> Path:
        """Where who makes the run holds a lock."""
        return self.folder / f".{run_id}.lock"

    def prepare(self) -> None:
        """Make the folder; StorageError where that cannot be."""
        with _write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()

    def clean(self, run_id: str) -> None:
        """Remove drafts of the run that a killed process left; for who holds its lock."""
        for draft in self.folder.glob(f".{run_id}-*"):
            shutil.rmtree(draft, ignore_errors=True)

    def failures(self, ids: Iterable[str]) -> list[str]:
        """Those of the published runs that failed."""
        return [one for one in ids if self.has(one) and self.read(one).result["status"] == "failed"]

    def forget(self, run_id: str) -> None:
        """Remove the record of a run, at once for all who look."""
        with _write_errors(self.folder):
            remove_folder(self.folder / run_id)

    def publish(self, record: Record, predictions: Mapping[str, np.ndarray]) -> bool:
        """Write the run's folder under a hidden name, flush it to disk and rename it into place.

        Returns False, and changes nothing, if the run is published already: the first one stands.

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
    """The value of a JSON text; ValueError also for NaN, infinity and a key that stands twice."""
    return json.loads(text, parse_constant=no_constant, object_pairs_hook=no_twins)


def _read_json(path: Path) -> Any:
    try:
        return strict_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}; delete the folder {path.parent} to run it again") from error


def environment(fingerprint: str, seed: int) -> dict[str, Any]:
    """Where and with what a run is made. `fingerprint` of the data. No user, host or absolute path is in it."""
    import jax

    device = jax.devices()[0]
    return {
        **checkout(),
        "command": " ".join([_program(), *map(_relative, sys.argv[1:])]),
        "packages": {name: importlib.metadata.version(name) for name in ("da-bench", *PACKAGES)},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device.device_kind,
        "device_count": jax.device_count(),
        "data": fingerprint,
        "seed": seed,
    }


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "da-bench" if name == "__main__.py" else name  # python -m da_bench


def _relative(argument: str) -> str:
    """A path on the command line by its name alone: what lies above it is nobody's business."""
    return Path(argument).name if os.path.isabs(argument) else argument


@functools.cache
def checkout() -> dict[str, Any]:
    """The commit of the checkout that this package lies in, and whether its code was changed since; else None."""
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ("git", "-C", root, *arguments), capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        code = ("da_bench", "baselines", "experiments", "requirements.txt")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", *code))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def mirror(record: Record, results: Path, mode: Literal["offline", "online"]) -> str | None:
    """Copy a published record into wandb; returns what went wrong, in words, and never raises.

    Only the config, curves and result go there. Console, arguments, code and host are not captured, so that no secret
    and no path can be; a key for "online" comes from wandb's own login, never from us.
    """
    try:
        import wandb

        settings = wandb.Settings(
            console="off", x_disable_meta=True, x_disable_stats=True, save_code=False, silent=True
        )
        run = wandb.init(
            project="da-bench", id=record.id, dir=results, mode=mode, config=record.config, settings=settings
        )
        _log_curves(run, record)
        run.finish()
    except Exception as error:  # a mirror must never cost a result
        return f"wandb: {type(error).__name__}: {error}"
    return None


def _log_curves(run: Any, record: Record) -> None:
    flat = {**record.curves, **record.curves["metrics"], **record.curves["validators"]}
    series = {name: values for name, values in flat.items() if isinstance(values, list)}
    for i, step in enumerate(record.curves["step"]):
        run.log({name: values[i] for name, values in series.items() if name != "step"}, step=step)
    run.summary.update({"status": record.result["status"], **record.result["rules"]})
