"""An experiment: one run to be made, as a value. The hash of its resolved form is the run's id."""

import hashlib
import json
import runpy
from pathlib import Path
from typing import Any, Literal

from pydantic import InstanceOf

from da_bench import models
from da_bench import pretrained as weights
from da_bench.core.config import Count, Seed, UserError, as_dict, did_you_mean, setting
from da_bench.data import tasks
from da_bench.data.transforms import View
from da_bench.methods import METHODS, ClassicalMethod, Method, load_plugins
from da_bench.models import Network
from da_bench.pretrained.representations import Msda
from da_bench.training.step import Training

SCHEMA = 2  # of the resolved config; raised when the meaning of a field changes, so that old ids stay apart


@setting
class Experiment:
    """What to run once.

    task: a pair of domains by name; method; model: None is the task's own network; training: unused by a shallow
    method; view: how images become inputs, None where the inputs are not images on disk, by default as the weights
    have it that the network starts from; labels_from: "source", or "target" for the upper bound that trains on the
    target's labelled training split and is marked as such wherever it is shown, or "both"; shots: of the target only
    the labels of so many rows of each class, the first ones of its training split, alone or beside the source's;
    features: the name of imported weights, what whose trunk makes of the images takes their place; msda: what stacked
    denoising autoencoders make of both domains' inputs takes their place; seed: of everything random in the run.
    """

    task: str
    method: InstanceOf[Method] | InstanceOf[ClassicalMethod]
    model: InstanceOf[Network] | None = None
    training: Training = Training()
    view: View | None = None
    labels_from: Literal["source", "target", "both"] = "source"
    shots: Count | None = None
    features: str = ""
    msda: Msda | None = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        self._check_labels()
        if self.model is not None:
            object.__setattr__(self, "model", models.hashable(self.model))
        images = tasks.spec(self.task).images  # an unknown task is refused here
        if images and self.view is None:
            name = self.features or weights.weights_name(self.network)
            given = {"augment": "none"} if self.features else {}
            object.__setattr__(self, "view", weights.view(name, **given) if name else View())
        if self.view is not None and not images:
            raise UserError(f"Experiment.view: the inputs of '{self.task}' are not images on disk; leave it out")
        if self.features:
            self._check_features()
        if self.msda and images and not self.features:
            raise UserError(f"Experiment.msda: the inputs of '{self.task}' are images on disk; give features with it")

    def _check_features(self) -> None:
        if self.view is None:
            raise UserError(f"Experiment.features: the inputs of '{self.task}' are not images on disk; leave it out")
        if self.view.augment != "none":
            raise UserError(
                f"Experiment.view: features are of whole images, not augmented by '{self.view.augment}'; leave it "
                "out, or give augment 'none'"
            )

    def _check_labels(self) -> None:
        if self.shots and self.labels_from == "source":
            raise UserError("Experiment.shots counts labels of the target: give labels_from 'both' or 'target' with it")
        if self.labels_from == "both" and not self.shots:
            raise UserError("Experiment.labels_from = 'both' needs shots: how many labels of the target a class")

    @property
    def network(self) -> Network:
        """The network to train: the given one, or the task's."""
        return self.model or models.build("bottleneck" if self.features else tasks.spec(self.task).model)

    @property
    def seen(self) -> View | None:
        """How a step sees the stored inputs; None: as they are."""
        return None if self.features else self.view

    def config(self) -> dict[str, Any]:
        """The experiment with every default written out, JSON-able. Equal configs are equal runs."""
        deep = isinstance(self.method, Method)
        return {
            "schema": SCHEMA,
            "task": self.task,
            "method": as_dict(self.method),
            "model": models.describe(self.network) if deep else None,
            "training": as_dict(self.training) if deep else None,
            "view": as_dict(self.view) if self.view else None,
            "labels_from": self.labels_from,
            "seed": self.seed,
            **{name: as_dict(value) for name in LATER if (value := getattr(self, name))},
        }

    @property
    def id(self) -> str:
        """16 hexadecimal digits: the start of the sha256 of the canonical JSON of `config()`."""
        return hashlib.sha256(canonical(self.config()).encode()).hexdigest()[:16]


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


FIELDS = ("schema", "task", "method", "model", "training", "view", "labels_from", "seed")
LATER = ("shots", "features", "msda")  # in a config only where they are set: those of before have none


def from_config(config: dict[str, Any]) -> Experiment:
    """The inverse of `Experiment.config`.

    Raises:
        UserError: for another schema, a field too many or too few, or an unknown task, method or model.
    """
    _check_fields(config)
    load_plugins()
    method = dict(config["method"])
    given: dict[str, Any] = {"method": METHODS[method.pop("name")](**method)}
    if config["model"] is not None:
        given |= {"model": models.build(**config["model"]), "training": Training(**config["training"])}
    if config["view"] is not None:
        given["view"] = View(**config["view"])
    given |= {name: config[name] for name in LATER if name in config}
    if "msda" in given:
        given["msda"] = Msda(**given["msda"])
    return Experiment(task=config["task"], labels_from=config["labels_from"], seed=config["seed"], **given)


def _check_fields(config: Any) -> None:
    if not isinstance(config, dict):
        raise UserError(f"{canonical(config)[:40]} is not the config of a run: see any config.json in results/runs")
    for field in config.keys() - {*FIELDS, *LATER}:
        raise UserError(f"config has an unknown field '{field}'{did_you_mean(field, FIELDS)}")
    for field in set(FIELDS) - config.keys():
        raise UserError(f"config has no field '{field}': see any config.json in results/runs")
    if config["schema"] != SCHEMA:
        raise UserError(f"config has schema {config['schema']!r}; this version reads schema {SCHEMA}")


def from_file(path: Path) -> list[Experiment]:
    """The EXPERIMENTS of a Python file, or the one experiment of a record's config.json.

    Raises:
        UserError: for a file that is not there or not readable, or a Python file without EXPERIMENTS.
    """
    if path.suffix == ".json" and path.is_file():
        return [_from_json(path)]
    return experiments_in(path, definitions(path))


def definitions(path: Path) -> dict[str, Any]:
    """All names that a Python file defines; UserError for a file that is not there or cannot be loaded."""
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    try:
        return runpy.run_path(str(path))
    except (ImportError, SyntaxError) as error:
        raise UserError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


def experiments_in(path: Path, defined: dict[str, Any]) -> list[Experiment]:
    """The EXPERIMENTS among what a file defines; UserError where it has none."""
    found = defined.get("EXPERIMENTS")
    if not isinstance(found, list) or not all(isinstance(one, Experiment) for one in found):
        raise UserError(f"{path} must define EXPERIMENTS, a list of da.Experiment; see experiments/quickstart.py")
    return found


def _from_json(path: Path) -> Experiment:
    try:
        return from_config(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
