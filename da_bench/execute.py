"""A study: makes the runs of a list of experiments that are not yet on record, and reports all of them."""

import dataclasses
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from da_bench import models, stream, train
from da_bench.data.tasks import load, spec
from da_bench.experiment import Experiment
from da_bench.judge import Predictions, Seconds, judge, labelled, probes, skipped
from da_bench.methods import Method, Shallow
from da_bench.models import Network
from da_bench.records import Record, Records, mirror
from da_bench.settings import Count, NonNegative, UserError, setting
from da_bench.types import Task
from da_bench.view import View, evaluation_input

ROWS = 1000  # inputs of a shallow method that pass a device at a time
WIDE = 10_000  # parameters from which a CPU computes runs one after another no slower than side by side


@dataclasses.dataclass(frozen=True)
class Results:
    """Records of a study, in the order of its experiments, and the folder they lie in."""

    records: list[Record]
    folder: Path

    def table(self, rule: str = "last") -> None:
        """Print one table a task: every method by every selection rule, gains by the declared `rule`."""
        from da_bench.report.tables import result_tables, show

        show(result_tables(self.records, rule))

    def write(self, name: str, rule: str = "last") -> list[Path]:
        """Write tables (Markdown, LaTeX, CSV, JSON) and plots (PNG, SVG) into `folder`/`name`; returns their paths."""
        from da_bench.report.plots import write_plots
        from da_bench.report.tables import write_tables

        return [
            *write_tables(self.records, self.folder / name, rule),
            *write_plots(self.records, self.folder / name, rule),
        ]


@setting
class Options:
    """Where and how a study runs; nothing of it changes a result, but for the rounding of sums over several devices.

    results: folder of the records; data_root: folder of the user's data sets (default: $DA_BENCH_DATA);
    at_once: runs computed side by side on a device, None: what suits the network and the device; devices_per_run: over
    which the rows of a run's batches are spread, for networks that are too large for one; resident_gib: GiB of
    stored inputs up to which a task's data are held on every device, larger ones are streamed from disk, run by run
    (`pip install "da-bench[stream]"`); workers: threads that read ahead of a streamed run, 0: none; wandb: mirror each
    record ("offline" or "online"); progress: show a bar on the terminal.
    """

    results: Path = Path("results")
    data_root: Path | None = None
    at_once: Count | None = None
    devices_per_run: Count = 1
    resident_gib: NonNegative = 4.0
    workers: Annotated[int, Field(ge=0)] = 2
    wandb: Literal["off", "offline", "online"] = "off"
    progress: bool = True


DEFAULTS = Options()


def study(experiments: Sequence[Experiment], options: Options = DEFAULTS) -> Results:
    """Make every run that has no record yet, group by group in one compiled program each; return all records.

    Interrupted, it goes on with what is missing when called again.

    Raises:
        UserError: before anything is compiled or written, for data that is missing or does not fit.
    """
    store = Records(options.results)
    wanted = {experiment.id: experiment for experiment in experiments}
    if not wanted:
        raise UserError("no experiments to run: give at least one method, task and seed")
    missing = [experiment for run_id, experiment in wanted.items() if not store.has(run_id)]
    groups = _groups(missing)
    for group in groups:
        _check(group[0], _load(group[0], options), options)
    for group in _with_progress(groups, options.progress):
        _run_group(group, store, options)
    return Results([store.read(run_id) for run_id in wanted], options.results)


def run(method: Any, task: str, seeds: int = 5, options: Options = DEFAULTS, **settings: Any) -> Results:
    """Run one method, or each of a list of them, on a task with seeds 0 .. `seeds` - 1.

    settings: `training`, `model`, `view`, `labels_from` of the `Experiment`.

    Raises:
        UserError: for a wrong setting, an unknown task, zero seeds, or data that is missing or does not fit.
    """
    methods = method if isinstance(method, Sequence) else [method]
    return study(over_seeds((Experiment(task=task, method=one, **settings) for one in methods), seeds), options)


def over_seeds(experiments: Iterable[Experiment], seeds: int) -> list[Experiment]:
    """Each experiment with seeds 0 .. `seeds` - 1: the same seeds for every method, so that comparisons are paired."""
    if seeds < 1:
        raise UserError(f"seeds = {seeds}: at least 1 is needed, 5 for a result that can be compared")
    return [dataclasses.replace(experiment, seed=seed) for experiment in experiments for seed in range(seeds)]


def _groups(experiments: Iterable[Experiment]) -> list[list[Experiment]]:
    """Experiments that are one compiled program: alike in all but their seeds and float hyper-parameters."""
    groups: dict[Any, list[Experiment]] = {}
    for one in experiments:
        deep = isinstance(one.method, Method)
        shape = jax.tree.structure((one.method, one.training)) if deep else one.id
        groups.setdefault((one.task, one.labels_from, one.view, deep and one.network, shape), []).append(one)
    return list(groups.values())


def _load(experiment: Experiment, options: Options) -> Task:
    return load(experiment.task, options.data_root, experiment.view)


def _check(experiment: Experiment, task: Task, options: Options) -> None:
    """Refuse, before anything is compiled, what cannot run.

    A batch that a domain cannot fill, a network that cannot take the inputs, inputs to stream with nothing to do it.
    """
    if isinstance(experiment.method, Shallow):
        return
    source, target = labelled(experiment, task).train, task.target.train
    _check_devices(experiment.training.batch_size, options.devices_per_run)
    for name, rows in (("labelled training", len(source.labels)), ("target training", len(target.labels))):
        if (experiment.training.batch_size or 0) > rows:
            raise UserError(
                f"Training.batch_size = {experiment.training.batch_size} is more than the {rows} rows of the {name} "
                f"split of {task.name}; give at most {rows}, or None for all rows"
            )
    _check_network(experiment, task, evaluation_input(experiment.view, source.inputs[:2]))
    if not _fits(_data(experiment, task), options):
        stream.require_grain()


def _check_devices(batch_size: int | None, per_run: int) -> None:
    if per_run > len(jax.devices()):
        raise UserError(
            f"Options.devices_per_run = {per_run} is more than the {len(jax.devices())} devices that there are"
        )
    if per_run > 1 and (batch_size is None or batch_size % per_run):
        raise UserError(f"Training.batch_size = {batch_size} must divide by Options.devices_per_run = {per_run}")


def _check_network(experiment: Experiment, task: Task, example: Any) -> None:
    try:
        _parameters(_network(experiment, task), example)
    except Exception as error:  # whatever a network makes of a shape that it was not written for
        name, shape = models.describe(experiment.network)["name"], example.shape[1:]
        raise UserError(
            f"model '{name}' cannot take the inputs of {task.name}, of shape {shape}: {str(error).splitlines()[0]}; "
            f"the task's own network is '{spec(experiment.task).model}'"
        ) from error


def _fits(data: train.Data, options: Options) -> bool:
    return data.inputs.nbytes <= options.resident_gib * 2**30


def _network(experiment: Experiment, task: Task) -> Network:
    return experiment.network.clone(classes=len(task.classes))


def _parameters(model: Network, example: Any) -> int:
    """How many parameters the network has for such inputs; nothing is computed."""
    shapes = jax.eval_shape(lambda key: models.initialise(model, key, example)[0], jax.random.key(0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def _with_progress(groups: list[list[Experiment]], shown: bool) -> Iterator[list[Experiment]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown or not groups) as bar:
        line = bar.add_task("", total=sum(map(len, groups)))
        for group in groups:
            bar.update(line, description=f"{group[0].task}: {group[0].method.name} x {len(group)}")
            yield group
            bar.advance(line, len(group))


def _run_group(group: list[Experiment], store: Records, options: Options) -> None:
    for record, predictions in _make(group, _load(group[0], options), options):
        store.publish(record, predictions)
        if options.wandb != "off" and (trouble := mirror(record, options.results, options.wandb)):
            print(f"warning: {trouble}", file=sys.stderr)


def _make(group: list[Experiment], task: Task, options: Options) -> list[tuple[Record, dict[str, np.ndarray]]]:
    reason = group[0].method.skip(task)
    if reason is not None:
        return [skipped(one, task, reason) for one in group]
    if isinstance(group[0].method, Shallow):
        made = [fit(one, task) for one in group]
    elif _fits(_data(group[0], task), options):
        made = train_group(group, task, options)
    else:
        made = stream_group(group, task, options.workers)
    return [judge(one, task, *result) for one, result in zip(group, made, strict=True)]


def train_group(group: list[Experiment], task: Task, options: Options) -> list[tuple[Predictions, Seconds]]:
    """All runs of a group as one compiled program over all devices, which hold the data."""
    places = min(len(group), len(jax.devices()) // options.devices_per_run)
    devices = jax.devices()[: places * options.devices_per_run]
    model, view = _network(group[0], task), group[0].view
    data = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), _data(group[0], task))
    runs = train.stack([_run(one) for one in group], places)

    def fn(key: Any, method: Method, training: train.Training, data: train.Data) -> Any:
        finished = train.run(key, method, training, model, data, view)
        return finished.metrics, finished.logits, finished.features

    example = evaluation_input(view, data.inputs[:2])
    at_once = options.at_once or _side_by_side(model, example)
    mapped = train.over_runs(fn, devices, at_once, options.devices_per_run)
    start = time.monotonic()
    program = mapped.lower(runs, (data,)).compile()
    compiled = time.monotonic()
    metrics, logits, features = jax.tree.map(np.asarray, program(runs, (data,)))
    seconds = Seconds(compiled - start, time.monotonic() - compiled, len(group))
    each = [({name: m[i] for name, m in metrics.items()}, logits[i], features[i]) for i in range(len(group))]
    return [(_unpack(one, task, *result), seconds) for one, result in zip(group, each, strict=True)]


def stream_group(group: list[Experiment], task: Task, workers: int) -> list[tuple[Predictions, Seconds]]:
    """All runs of a group by the same compiled programs, one run after another, their data read as they go."""
    data, runs = _data(group[0], task), [stream.Run(*_run(one)) for one in group]
    start = time.monotonic()
    programs = stream.build(runs[0], _network(group[0], task), data, group[0].view)
    compiled = time.monotonic()
    made = [stream.run(one, programs, data, workers) for one in runs]
    seconds = Seconds(compiled - start, time.monotonic() - compiled, len(group))
    each = [jax.tree.map(np.asarray, (one.metrics, one.logits, one.features)) for one in made]
    return [(_unpack(one, task, *result), seconds) for one, result in zip(group, each, strict=True)]


def _run(one: Experiment) -> tuple[Any, Any, train.Training]:
    return jax.random.key(one.seed), one.method, one.training


def _side_by_side(model: Network, example: Any) -> int | None:
    """1 where a wide network keeps a CPU busy alone; None, all at once, for tiny networks and on accelerators."""
    alone = jax.default_backend() == "cpu" and _parameters(model, example) >= WIDE
    return 1 if alone else None


def _data(experiment: Experiment, task: Task) -> train.Data:
    """What a run may see, not yet read. Of the target, inputs only."""
    held_out = [probe.inputs for probe in probes(experiment, task).values()]
    return train.gather(labelled(experiment, task).train, task.target.train.inputs, held_out)


def _unpack(
    experiment: Experiment, task: Task, metrics: dict[str, np.ndarray], logits: np.ndarray, features: np.ndarray
) -> Predictions:
    held_out = probes(experiment, task)
    every = experiment.training.steps // experiment.training.evaluations
    steps = [every * (i + 1) for i in range(experiment.training.evaluations)]
    ends = np.cumsum([len(probe.labels) for probe in held_out.values()])[:-1]
    by_probe = dict(zip(held_out, np.split(logits, ends, axis=1), strict=True))
    return Predictions(steps, by_probe, metrics, dict(zip(held_out, np.split(features, ends), strict=True)))


def fit(experiment: Experiment, task: Task) -> tuple[Predictions, Seconds]:
    """One run of a shallow method."""
    assert isinstance(experiment.method, Shallow)
    source, view = labelled(experiment, task).train, experiment.view
    start = time.monotonic()
    fitted = experiment.method.fit(
        rows(source.inputs, view), np.asarray(source.labels), rows(task.target.train.inputs, view)
    )
    logits = {
        name: np.asarray(fitted.predict_log_proba(rows(probe.inputs, view)))[None]
        for name, probe in probes(experiment, task).items()
    }
    return Predictions([0], logits, {}, {}), Seconds(0.0, time.monotonic() - start, 1)


def rows(inputs: Any, view: View | None = None) -> np.ndarray:
    """What a network would see of inputs [n, ...], as float64 rows [n, d]."""
    seen = [
        np.asarray(evaluation_input(view, inputs[start : start + ROWS]), np.float64)
        for start in range(0, len(inputs), ROWS)
    ]
    return np.concatenate(seen).reshape(len(inputs), -1)
