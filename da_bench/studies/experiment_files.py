"""Experiments in files: a Python file's EXPERIMENTS, or the config.json of a record."""

import json
from pathlib import Path
from typing import Any

from da_bench import models
from da_bench.core.config import UserError, did_you_mean
from da_bench.core.user_files import run_file
from da_bench.data.transforms import View
from da_bench.methods import METHODS, load_plugins
from da_bench.pretrained.representations import Msda
from da_bench.studies.experiment import OPTIONAL_FIELDS, SCHEMA, Experiment, canonical_json
from da_bench.training import Training

FIELDS = ("schema", "task", "method", "model", "training", "view", "labels_from", "seed")


def from_config(config: dict[str, Any]) -> Experiment:
    """Build the experiment of a config: the inverse of `Experiment.config`.

    Args:
        config: as in the config.json of a record.

    Raises:
        UserError: the config has another schema, an unknown or missing field, or an unknown task, method or model.
    """
    _check_fields(config)
    load_plugins()
    method = dict(config["method"])
    fields: dict[str, Any] = {"method": METHODS[method.pop("name")](**method)}
    if config["model"] is not None:
        fields |= {"model": models.build(**config["model"]), "training": Training(**config["training"])}
    if config["view"] is not None:
        fields["view"] = View(**config["view"])
    fields |= {name: config[name] for name in OPTIONAL_FIELDS if name in config}
    if "msda" in fields:
        fields["msda"] = Msda(**fields["msda"])
    return Experiment(task=config["task"], labels_from=config["labels_from"], seed=config["seed"], **fields)


def _check_fields(config: Any) -> None:
    if not isinstance(config, dict):
        raise UserError(
            f"{canonical_json(config)[:40]} is not the config of a run: see any config.json in results/runs"
        )
    for field in config.keys() - {*FIELDS, *OPTIONAL_FIELDS}:
        raise UserError(f"config has an unknown field '{field}'{did_you_mean(field, FIELDS)}")
    for field in set(FIELDS) - config.keys():
        raise UserError(f"config has no field '{field}': see any config.json in results/runs")
    if config["schema"] != SCHEMA:
        raise UserError(f"config has schema {config['schema']!r}; this version reads schema {SCHEMA}")
    for field in ("method", "model", "training", "view", "msda"):
        _check_object(field, config.get(field))
    if (config["model"] is None) != (config["training"] is None):
        raise UserError("config has only one of 'model' and 'training': see any config.json in results/runs")


def _check_object(field: str, value: Any) -> None:
    """Raise UserError if a field that holds a method, network or other config holds something else."""
    if value is None and field != "method":
        return
    if not isinstance(value, dict):
        raise UserError(f"config field '{field}' must be an object: see any config.json in results/runs")
    if field in ("method", "model") and not isinstance(value.get("name"), str):
        raise UserError(f"config field '{field}' needs a 'name': see any config.json in results/runs")


def from_file(path: Path) -> list[Experiment]:
    """Read experiments from a file.

    Args:
        path: a Python file that defines EXPERIMENTS, or the config.json of a record.

    Raises:
        UserError: the file is missing or unreadable, or the Python file defines no EXPERIMENTS.
    """
    if path.suffix == ".json" and path.is_file():
        return [_from_json(path)]
    return experiments_in(path, run_file(path))


def experiments_in(path: Path, names: dict[str, Any]) -> list[Experiment]:
    """Return EXPERIMENTS from the names that the file at `path` defines.

    Raises:
        UserError: EXPERIMENTS is missing, or is not a list of experiments.
    """
    experiments = names.get("EXPERIMENTS")
    if not isinstance(experiments, list) or not all(isinstance(item, Experiment) for item in experiments):
        raise UserError(f"{path} must define EXPERIMENTS, a list of da.Experiment; see experiments/quickstart.py")
    return experiments


def _from_json(path: Path) -> Experiment:
    try:
        return from_config(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
