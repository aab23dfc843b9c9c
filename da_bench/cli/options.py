"""Options that several commands share; those of a study are the fields of `studies.Options`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from tyro.conf import OmitArgPrefixes, arg

from da_bench import models, pretrained
from da_bench.cli import devices
from da_bench.core.config import UserError
from da_bench.data.transforms import View
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.experiment import Experiment
from da_bench.studies.options import Options
from da_bench.training import Training

LabelsFrom = Literal["source", "target", "both"]
Augment = Literal["none", "flip", "crop", "crop_flip"]
DataRoot = Annotated[Path | None, arg(help="Folder of your data sets; default: the variable DA_BENCH_DATA.")]

# Fields of Options that a command line writes in another form, and the one that --quiet and --json stand for.
REWRITTEN = {
    "shard": (Annotated[str, arg(help='Make only one of several equal shares: "2/8" is the second of eight.')], "1/1"),
    "reverse": (bool, False),
}
REPLACED = "progress"


def _study_options() -> Any:
    """Make a dataclass with the fields, defaults and documentation of `studies.Options`."""
    hints = get_type_hints(Options, include_extras=True)
    fields = [field for field in dataclasses.fields(Options) if field.name != REPLACED]
    options = [(field.name, *REWRITTEN.get(field.name, (hints[field.name], field.default))) for field in fields]
    cls = dataclasses.make_dataclass("StudyOptions", options, frozen=True, kw_only=True)
    cls.__doc__ = Options.__doc__
    return cls


StudyOptions: Any = _study_options()
STUDY_DEFAULTS = StudyOptions()


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyCommand:
    """Options of the commands that make runs."""

    study: Annotated[Any, OmitArgPrefixes, arg(constructor=StudyOptions)] = STUDY_DEFAULTS
    rule: str = "last"
    """Selection rule that the tables declare: last, oracle, or one of `da-bench list validators`."""
    distributed: bool = False
    """Be one of several processes that make the runs together (jax.distributed); JAX_COORDINATOR_ADDRESS,
    JAX_NUM_PROCESSES and JAX_PROCESS_ID or the cluster's scheduler describe them."""
    quiet: bool = False
    """Print neither progress nor tables."""
    json: bool = False
    """Print progress and results as JSON lines."""

    def options(self) -> Options:
        """Build the options of the study.

        Raises:
            UserError: a value out of its range, or an unknown rule.
        """
        check_rule(self.rule)
        values = {field.name: getattr(self.study, field.name) for field in dataclasses.fields(self.study)}
        progress = "none" if self.quiet else "json" if self.json else "line"
        return Options(**{**values, "shard": read_shard(self.study.shard), "progress": progress})

    def set_up_devices(self) -> None:
        """Prepare JAX for the runs; see `devices.set_up`."""
        devices.set_up(self.study.isolate or self.study.executor == "ray", self.distributed)


def read_shard(text: str) -> tuple[int, int]:
    """Read a share, such as "2/8".

    Returns:
        The number of the share, from 1, and the number of shares.

    Raises:
        UserError: malformed, or not between 1 and the number of shares.
    """
    i, slash, n = text.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise UserError(f"--shard {text}: give the number of a share and of all shares, such as 1/8 or 8/8")
    return int(i), int(n)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentCommand(StudyCommand):
    """Options of the commands that describe experiments: all but the method."""

    task: str
    """Pair of domains: see `da-bench list tasks`."""
    seeds: int = 5
    """Number of seeds; they are 0, 1, ..., SEEDS - 1."""
    training: Training = dataclasses.field(default_factory=Training)
    model: str | None = None
    """Network: see `da-bench list models`; default: the task's own."""
    weights: str = ""
    """Imported weights from which the network starts: see `da-bench weights list`."""
    pixels: int | None = None
    """Side of the images that the network sees; default: 224."""
    augment: Augment | None = None
    """Augmentation of training images; default: crop_flip."""
    labels_from: LabelsFrom = "source"
    """Domain whose labels train: target is an upper bound and not a method; both needs --shots."""
    shots: int | None = None
    """Number of labelled target examples of each class."""
    features: str = ""
    """Imported weights whose features replace the images."""

    def experiment(self, method: Any) -> Experiment:
        """Build the experiment of a method with seed 0."""
        return Experiment(task=self.task, method=method, **self.settings())

    def settings(self) -> dict[str, Any]:
        """Return the fields of the experiment other than task, method and seed."""
        names = ("training", "labels_from", "shots", "features")
        return {**{name: getattr(self, name) for name in names}, "model": self._model(), "view": self._view()}

    def _model(self) -> Any:
        """The chosen network; None, the task's own, if neither --model nor --weights is given."""
        if not self.weights:
            return None if self.model is None else models.build(self.model)
        facts = pretrained.info(self.weights)
        return models.build(self.model or facts.arch, weights=self.weights, **facts.fields)

    def _view(self) -> View | None:
        """The chosen input transform; None, that of the weights or the task, if nothing is given."""
        chosen = {name: value for name in ("pixels", "augment") if (value := getattr(self, name)) is not None}
        if chosen and (name := self.weights or self.features):
            return pretrained.view(name, **chosen)
        return View(**chosen) if chosen else None
