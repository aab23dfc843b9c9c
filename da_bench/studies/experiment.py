"""An experiment: one run to compute, as a value. The hash of its resolved config is the run's id."""

import copy
import functools
import hashlib
import json
from typing import Any, Literal

from pydantic import InstanceOf

from da_bench import models, pretrained
from da_bench.core.config import Count, Seed, UserError, as_dict, config_dataclass
from da_bench.data import tasks
from da_bench.data.transforms import View
from da_bench.methods import ClassicalMethod, Method
from da_bench.models import Network
from da_bench.pretrained.representations import Msda
from da_bench.training import Training

SCHEMA = 2  # of the resolved config; raised when the meaning of a field changes, so that old ids stay distinct
OPTIONAL_FIELDS = ("shots", "features", "msda")  # in a config only where they are set: older configs lack them


@config_dataclass
class Experiment:
    """One run: a method with its settings, on a task, from a seed.

    Args:
        task: name of a domain pair, such as "office31/amazon-to-webcam"; see `da-bench list tasks`.
        method: any registered method with its hyper-parameters.
        model: the network; None is the task's own. Classical methods do not use it.
        training: schedule and optimizer. Classical methods do not use it.
        view: how images on disk become inputs; None where the inputs are not images. The default is the view of the
            weights that the network starts from, or `View()`.
        labels_from: domain whose labels train. "source" is domain adaptation; "target" trains on the target's
            labelled training split, an upper bound that every table marks; "both" needs `shots`.
        shots: number of labelled target rows of each class, the first ones of its training split; None means all.
        features: name of imported weights; the features of that trunk replace the images.
        msda: marginalised stacked denoising autoencoders, whose output replaces the inputs of both domains.
        seed: of everything random in the run, in [0, 2**32).

    Raises:
        UserError: a field is unknown or out of range, or two fields contradict each other.
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
        if self.model is not None:
            object.__setattr__(self, "model", models.hashable(self.model))
        has_images = tasks.spec(self.task).images  # raises for an unknown task
        if has_images and self.view is None:
            object.__setattr__(self, "view", self._default_view())
        self._check(has_images)

    def _default_view(self) -> View:
        name = self.features or pretrained.weights_name(self.network)
        if not name:
            return View()
        return pretrained.view(name, augment="none") if self.features else pretrained.view(name)

    def _check(self, has_images: bool) -> None:
        if self.shots and self.labels_from == "source":
            raise UserError("Experiment.shots counts labels of the target: give labels_from 'both' or 'target' with it")
        if self.labels_from == "both" and not self.shots:
            raise UserError("Experiment.labels_from = 'both' needs shots: the number of target labels of each class")
        if not has_images:
            for field in ("view", "features"):
                if getattr(self, field):
                    raise UserError(
                        f"Experiment.{field}: the inputs of '{self.task}' are not images on disk; leave it out"
                    )
        elif self.features and self.view is not None and self.view.augment != "none":
            raise UserError(
                f"Experiment.view: features are extracted from images without augmentation, not with "
                f"'{self.view.augment}'; leave the view out, or give augment 'none'"
            )
        elif self.msda and not self.features:
            raise UserError(f"Experiment.msda: the inputs of '{self.task}' are images on disk; give features with it")

    @functools.cached_property
    def network(self) -> Network:
        """The network to train: `model`, or the task's own."""
        if self.model is not None:
            return self.model
        return models.build("bottleneck" if self.features else tasks.spec(self.task).model)

    @property
    def input_transform(self) -> View | None:
        """How a training step transforms the stored inputs; None leaves them as they are."""
        return None if self.features else self.view

    def config(self) -> dict[str, Any]:
        """Return the experiment with every default written out, JSON-able. Equal configs are equal runs."""
        return copy.deepcopy(self._config)

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        trains = isinstance(self.method, Method)
        return {
            "schema": SCHEMA,
            "task": self.task,
            "method": as_dict(self.method),
            "model": models.describe(self.network) if trains else None,
            "training": as_dict(self.training) if trains else None,
            "view": as_dict(self.view) if self.view else None,
            "labels_from": self.labels_from,
            "seed": self.seed,
            **{name: as_dict(value) for name in OPTIONAL_FIELDS if (value := getattr(self, name))},
        }

    @functools.cached_property
    def id(self) -> str:
        """16 hexadecimal digits: the start of the SHA-256 of the canonical JSON of `config()`."""
        return hashlib.sha256(canonical_json(self._config).encode()).hexdigest()[:16]


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
