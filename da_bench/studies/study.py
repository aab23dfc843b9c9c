"""A study: makes the runs of a list of experiments that are not yet on record, and reports all of them.

A group is made in this process; how runs are made in processes of their own is in `apart`.
"""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from da_bench import models
from da_bench import pretrained as weights
from da_bench.core.config import UserError
from da_bench.core.distributed import barrier, broadcast, is_distributed, is_primary
from da_bench.core.locks import LockedError, hold_locks
from da_bench.core.progress import MODE, Sweep
from da_bench.core.shutdown import listening
from da_bench.core.types import Array, Task, Tree
from da_bench.data.tasks import present, spec
from da_bench.data.transforms import View, evaluation_input
from da_bench.evaluation.validators import CheckpointFeatures, checkpoint_accuracy
from da_bench.methods import ClassicalMethod, Method
from da_bench.methods._two_phase import require_batch_norm
from da_bench.methods.base import Classifier
from da_bench.models import Network
from da_bench.studies import archive
from da_bench.studies import reverse_validation as reverse
from da_bench.studies.executors import placement as apart
from da_bench.studies.experiment import Experiment
from da_bench.studies.judge import Predictions, Probe, Seconds, judge, labelled, probes, skipped, watched
from da_bench.studies.options import APART_TOGETHER, DEFAULTS, Job, Options, held, label, task_of
from da_bench.studies.records import Record, Records, checkout, mirror
from da_bench.training import loop as engine
from da_bench.training import step as train
from da_bench.training import streaming as stream
from da_bench.training.checkpoints import Checkpoints, tidy
from da_bench.training.in_memory import Devices, Resident
from da_bench.training.loop import Session, drive

ROWS = 1000  # inputs of a shallow method that pass a device at a time
REVERSE = "reverse"  # the folder of checkpoints of reverse learners, among those of the runs
WIDE = 10_000  # parameters from which a CPU computes runs one after another no slower than side by side


@dataclasses.dataclass(frozen=True)
class Results:
    """Records of a study, in the order of its experiments, and the folder they lie in."""

    records: list[Record]
    folder: Path

    def table(self, rule: str = "last") -> None:
        """Print one table a task: every method by every selection rule, gains by the declared `rule`; or of a task on
        which there was a search, what each rule chose there.
        """
        from da_bench.reporting.tables.result_tables import result_tables
        from da_bench.reporting.tables.rules import shown_rules
        from da_bench.reporting.tables.search_tables import search_tables
        from da_bench.reporting.tables.write import print_tables

        print_tables(search_tables(self.records, shown_rules(rule)) or result_tables(self.records, rule))

    def write(self, name: str, rule: str = "last") -> list[Path]:
        """Write tables (Markdown, LaTeX, CSV, JSON), plots (PNG, SVG) and the records without predictions into
        `folder`/`name`; returns their paths. `da-bench table --results FOLDER/NAME` makes the tables again.

        Raises:
            UserError: see `check_name`.
        """
        check_name(name)
        from da_bench.core.storage import write_atomic
        from da_bench.reporting.plots.plots import write_plots
        from da_bench.reporting.tables.write import write_tables

        return [
            write_atomic(self.folder / name / archive.NAME, archive.pack(self.records, rule)),
            *write_tables(self.records, self.folder / name, rule),
            *write_plots(self.records, self.folder / name, rule),
        ]


def check_name(name: str) -> None:
    """Raise UserError where tables of this name would lie among the records."""
    if name in ("runs", "checkpoints"):
        raise UserError(f"'{name}' is where the results folder keeps its records; give the experiment another name")


def study(experiments: Sequence[Experiment], options: Options = DEFAULTS) -> Results:
    """Make every run that has no record yet, group by group in one compiled program each; return all records.

    Interrupted or killed, it goes on where it was when called again. Several processes may work on one folder: what
    one is making the others leave alone, and report what is there when they are done.

    Raises:
        UserError: before anything is compiled or written, for data that is missing or does not fit; or all runs are
            being made by another process; or one of several processes is to make runs apart. StorageError: a folder
            cannot be written to. Stopped: by Ctrl-C or SIGTERM.
    """
    if options.apart and is_distributed():
        raise UserError(APART_TOGETHER)
    wanted = {experiment.id: experiment for experiment in experiments}
    if not wanted:
        raise UserError("no experiments to run: give at least one method, task and seed")
    store, share = Records(options.results), _share(list(wanted.values()), *options.shard)
    there = _on_record(wanted, store)
    stand = {run_id: one for run_id, one in there.items() if not (options.retry and one.result["status"] == "failed")}
    shown = MODE.set(options.progress if is_primary() else "none")
    try:
        _check_data(share, there, options)
        _make_missing([one for one in share if one.id not in stand], store, options)
    finally:
        MODE.reset(shown)
    return Results(_records(wanted, stand, store), options.results)


def _share(experiments: list[Experiment], i: int, n: int) -> list[Experiment]:
    """The i-th of n shares, which are of equal size, and keep together what is one program."""
    ordered = [one for group in _groups(experiments) for one in group]
    bounds = [len(ordered) * k // n for k in range(n + 1)]
    return ordered[bounds[i - 1] : bounds[i]]


def _on_record(ids: Iterable[str], store: Records) -> dict[str, Record]:
    return {run_id: store.read(run_id) for run_id in ids if store.has(run_id)}


def _records(wanted: Iterable[str], stand: dict[str, Record], store: Records) -> list[Record]:
    """Those that there are now; those that `stand` are not read again."""
    there = stand | _on_record([run_id for run_id in wanted if run_id not in stand], store)
    if not there:
        raise LockedError(f"none of these runs is on record in '{store.folder}' yet: another process is making them")
    return [there[run_id] for run_id in wanted if run_id in there]


def _make_missing(missing: list[Experiment], store: Records, options: Options) -> None:
    groups = _groups(missing)
    for group in groups:
        _check_weights(group[0])  # before any image is decoded
    for group in groups:
        _check(group[0], task_of(group[0], options), options)
    barrier()  # before the primary process writes anything
    if is_primary():
        _tidy_checkpoints(store, options)
        _tidy_runs(store)
    if not missing:
        return
    units = [[one] for one in missing] if options.apart else groups
    deep = [one for one in missing if isinstance(one.method, Method)]
    steps = sum(one.training.steps * (2 if _goes_back(one, options) else 1) for one in deep)
    # first the cluster: Ray would hear SIGTERM itself
    with apart.connected(options) as ray, listening() as request, Sweep(len(missing), steps) as sweep:
        if is_primary():
            store.prepare()
        job = Job(store, options, sweep, request, ray)
        for unit in _attempts(_attempts(units, job), job):  # perhaps those that were held are done by now
            sweep.note(f"{label(unit)}: left to the process that is making them; this command shows them later")
    if is_primary():
        _tidy_checkpoints(store, options)  # of groups of which a part was published before


def _tidy_checkpoints(store: Records, options: Options) -> None:
    for folder in (options.checkpoints / REVERSE, options.checkpoints):
        tidy(folder, store.has)


def _tidy_runs(store: Records) -> None:
    """Remove locks and drafts of processes that were killed."""
    for lock in store.folder.glob(".*.lock"):
        with contextlib.suppress(LockedError), hold_locks([lock]):
            store.clean(lock.stem.removeprefix("."))


def _attempts(units: list[list[Experiment]], job: Job) -> list[list[Experiment]]:
    """Make what is missing of units that are made together; those some of which another process is making."""
    if job.ray:
        return apart.attempts_placed([one for (one,) in units], job)
    return [unit for unit in units if not _attempt(unit, job)]


def _attempt(group: list[Experiment], job: Job) -> bool:
    """Make what is missing of a group; False if another process is making some of it."""
    job.request.raise_if_made()
    if job.options.isolate:
        return apart.attempt(group[0], job)
    with contextlib.ExitStack() as stack:
        if not broadcast(held(group, job, stack)):
            return False
        left = [one for one in group if not job.store.has(one.id)]
        barrier()  # every process has read the records
        if left:
            job.sweep.begin(label(left), len(left))
            _run_group(left, job)
        job.sweep.end(len(group), len(job.store.failures(one.id for one in group)))
        barrier()  # the primary process has published
    return True


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
        data = one.task, one.labels_from, one.shots, one.view, one.features, one.msda
        groups.setdefault((data, deep and one.network, shape), []).append(one)
    return list(groups.values())


def _check(experiment: Experiment, task: Task, options: Options) -> None:
    """Refuse, before anything is compiled, what cannot run.

    A batch that a domain cannot fill, a network that cannot take the inputs, inputs to stream with nothing to do it.
    """
    if isinstance(experiment.method, ClassicalMethod):
        return
    source, target = labelled(experiment, task).train, task.target.train
    _check_devices(experiment.training.batch_size, options)
    for name, rows in (("labelled training", len(source.labels)), ("target training", len(target.labels))):
        if (experiment.training.batch_size or 0) > rows:
            raise UserError(
                f"Training.batch_size = {experiment.training.batch_size} is more than the {rows} rows of the {name} "
                f"split of {task.name}; give at most {rows}, or None for all rows"
            )
    _check_network(experiment, task, evaluation_input(experiment.seen, source.inputs[:2]))
    if not _fits(_data(experiment, task), options):
        _check_streaming(experiment, options)
    if _goes_back(experiment, options) and is_distributed():
        raise UserError("Options.reverse: reverse learners are trained by one process; leave --distributed out")


def _check_weights(experiment: Experiment) -> None:
    if isinstance(experiment.method, Method):
        model = experiment.network.clone(classes=1)  # the trunk does not depend on the number of classes
        weights.check_network(model, experiment.seen)


def _check_streaming(experiment: Experiment, options: Options) -> None:
    if _goes_back(experiment, options):
        raise UserError(
            "Options.reverse: reverse learners are trained on data that the devices hold, and these are larger than "
            f"Options.resident_gib = {options.resident_gib:g}: raise it, or leave reverse out"
        )
    if is_distributed():
        raise UserError("data larger than Options.resident_gib are streamed by one process: raise it, or start one")
    stream.require_grain()


def _check_data(experiments: list[Experiment], there: dict[str, Record], options: Options) -> None:
    """Refuse records that were made of other data than are there now; without data they are taken as they are."""
    for group in _groups(experiments):
        made = [there[one.id] for one in group if one.id in there]
        if not made or not present(group[0].task, options.data_root):
            continue
        now = task_of(group[0], options).fingerprint
        if other := [record.id for record in made if record.environment["data"] != now]:
            example = Records(options.results).folder / other[0]
            raise UserError(
                f"'{group[0].task}' is not what {len(other)} of its records were made of, such as "
                f"'{example}': its files have changed; give another folder for results, or remove those"
            )


def _check_devices(batch_size: int | None, options: Options) -> None:
    per_run = options.devices_per_run
    if not options.apart and per_run > len(jax.devices()):  # else the process that makes the run looks at its own
        raise UserError(
            f"Options.devices_per_run = {per_run} is more than the {len(jax.devices())} devices that there are"
        )
    if per_run > 1 and (batch_size is None or batch_size % per_run):
        raise UserError(f"Training.batch_size = {batch_size} must divide by Options.devices_per_run = {per_run}")


def _check_network(experiment: Experiment, task: Task, example: Any) -> None:
    try:
        _, stats = _shapes(_network(experiment, task), example)
    except Exception as error:  # whatever a network makes of a shape that it was not written for
        name, shape = models.describe(experiment.network)["name"], example.shape[1:]
        raise UserError(
            f"model '{name}' cannot take the inputs of {task.name}, of shape {shape}: {str(error).splitlines()[0]}; "
            f"the task's own network is '{spec(experiment.task).model}'"
        ) from error
    if experiment.method.metadata.needs_batch_norm:
        require_batch_norm(type(experiment.method).__name__, stats)


def _fits(data: train.Data, options: Options) -> bool:
    return data.inputs.nbytes <= options.resident_gib * 2**30


def _network(experiment: Experiment, task: Task) -> Network:
    return experiment.network.clone(classes=len(task.classes))


def _parameters(model: Network, example: Any) -> int:
    """How many parameters the network has for such inputs."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(_shapes(model, example)[0]))


def _shapes(model: Network, example: Any) -> tuple[Tree, Tree]:
    """(params, stats) in shape alone: nothing is computed."""
    shapes: tuple[Tree, Tree] = jax.eval_shape(lambda key: models.initialise(model, key, example), jax.random.key(0))
    return shapes


def _run_group(group: list[Experiment], job: Job) -> None:
    for one in group if is_primary() else ():
        job.store.clean(one.id)
    task = task_of(group[0], job.options)
    for record, predictions in _make(group, task, job):
        job.store.publish(record, predictions)
        if job.options.wandb != "off" and (trouble := mirror(record, job.options.results, job.options.wandb)):
            job.sweep.note(f"warning: {trouble}")
    if is_primary():
        for part in (REVERSE, ""):
            _checkpoints(group, task, job, part).clear()


def predictions_of(experiment: Experiment, task: Task, options: Options) -> Predictions:
    """What a run of a network leaves, made here and now: neither looked up on record nor published.

    Raises:
        UserError: as `study`. Stopped: by Ctrl-C or SIGTERM.
    """
    _check_weights(experiment)
    _check(experiment, task, options)
    shown = MODE.set(options.progress)
    try:
        with listening() as request, Sweep(1, experiment.training.steps) as sweep:
            job = Job(Records(options.results), options, sweep, request)
            ((_, (predictions, _)),) = _trained([experiment], task, job)
    finally:
        MODE.reset(shown)
    return predictions


def _checkpoints(group: list[Experiment], task: Task, job: Job, part: str = "") -> Checkpoints:
    return Checkpoints(job.options.checkpoints / part, [one.id for one in group], task.fingerprint)


def _make(group: list[Experiment], task: Task, job: Job) -> Iterator[tuple[Record, dict[str, np.ndarray]]]:
    """Records and predictions, of streamed and shallow ones as soon as each is made; the lead's, who alone judges."""
    reason = group[0].method.skip(task.without_target_labels())
    if reason is not None or isinstance(group[0].method, ClassicalMethod):
        made = fit_both_ways if _goes_back(group[0], job.options) else fit
        for one in group if is_primary() else ():
            yield skipped(one, task, reason) if reason is not None else judge(one, task, *made(one, task))
        return
    for one, found in _trained(group, task, job):
        if is_primary():
            yield judge(one, task, *found)


def _goes_back(one: Experiment, options: Options) -> bool:
    """Whether a reverse learner is trained, too."""
    return options.goes_back(one.method.name) and one.labels_from == "source"


Made = tuple[Experiment, tuple[Predictions, Seconds]]


def _trained(group: list[Experiment], task: Task, job: Job) -> Iterator[Made]:
    """All runs of a group, with their data on the devices where they fit, else streamed."""
    if _goes_back(group[0], job.options):
        return train_both_ways(group, task, job)
    fits = _fits(_data(group[0], task), job.options)
    return (train_group if fits else stream_group)(group, task, job)


def train_group(group: list[Experiment], task: Task, job: Job) -> Iterator[Made]:
    """All runs of a group as one compiled program over all devices, which hold the data."""
    made, seconds = _driven(group, task, job, _session(group, task, job))
    return ((one, (_unpack(one, task, made, i), seconds)) for i, one in enumerate(group))


def _driven(
    group: list[Experiment], task: Task, job: Job, session: Session, own: Sequence[Tree] = ()
) -> tuple[engine.Made, Seconds]:
    """What the runs of a group leave; own: of each, see `train.Run`."""
    options, runs = job.options, [_run(one) for one in group]
    runs = [run._replace(own=given) for run, given in zip(runs, own, strict=True)] if own else runs
    places = min(len(group), len(jax.devices()) // options.devices_per_run)
    devices = tuple(jax.devices()[: places * options.devices_per_run])
    model, view, data = _network(group[0], task), group[0].seen, _begun(group[0], task)
    at_once = options.at_once or _side_by_side(model, evaluation_input(view, data.inputs[:2]))
    start = time.monotonic()
    where = Devices(devices, at_once, options.devices_per_run)
    programs = Resident(runs, model, data, view, where)
    compiled = time.monotonic() - start
    made = drive(programs, group[0].training, session)
    return made, Seconds(compiled, made.seconds, len(group))


def train_both_ways(group: list[Experiment], task: Task, job: Job) -> Iterator[Made]:
    """As `train_group`, and then the reverse learner of each run, all of them one program, too."""
    session, labels = _session(group, task, job), task.source.validation.labels
    session.score = lambda logits: checkpoint_accuracy(logits[:, : len(labels)], labels)  # they are the first probe
    made, seconds = _driven(group, task, job, session)
    begun = [_deployed(one, made, i) for i, one in enumerate(group)]
    predict = _predictor(group[0], task)
    tasks = [_task_back(task, functools.partial(predict, variables)) for variables in begun]
    theirs, more = _driven_back(group, tasks, begun, job)
    both = Seconds(seconds.compile + more.compile, seconds.run + more.run, len(group))
    for i, (one, back) in enumerate(zip(group, tasks, strict=True)):
        forward, backward = _unpack(one, task, made, i), _unpack(one, back, theirs, i)
        yield one, (_with_answers(forward, backward, task, back), both)


def _deployed(one: Experiment, made: engine.Made, i: int) -> tuple[Tree, Tree]:
    """(parameters, statistics) of the i-th run where it stopped early."""
    assert made.best is not None
    assert isinstance(one.method, Method)
    return one.method.inference_variables(jax.tree.map(lambda leaf: leaf[i], made.best.state))


def _predictor(one: Experiment, task: Task) -> Callable[[tuple[Tree, Tree], Array], Array]:
    """A function of (parameters, statistics) and target inputs [n, ...] to logits [n, c], for all runs of a group."""
    trainer, view = train.make_trainer(_run(one), _network(one, task)), one.seen

    @jax.jit
    def predict(variables: tuple[Tree, Tree], inputs: Array) -> Array:
        asked = train.Asked(inputs, jnp.arange(len(inputs)), jnp.ones(len(inputs), bool))
        return train.predict(trainer, variables, asked, view).logits

    return predict


def _task_back(task: Task, predict: Callable[[np.ndarray], Array]) -> Task:
    """The task of a reverse learner, by the logits that the first one predicts."""
    target = reverse.unlabelled(task.target)
    source, back = reverse.turned(task.source, target, reverse.guessed(predict, target))
    return dataclasses.replace(task, source=source, target=back, origin=task.fingerprint)


def _driven_back(
    group: list[Experiment], tasks: Sequence[Task], begun: Sequence[tuple[Tree, Tree]], job: Job
) -> tuple[engine.Made, Seconds]:
    """What the reverse learners of a group leave, begun with (parameters, statistics)."""
    job.sweep.begin(f"{label(group)}, in reverse", len(group))
    checkpoints, every = _checkpoints(group, tasks[0], job, REVERSE), job.options.checkpoint_seconds
    session = Session(checkpoints, every, job.sweep, job.request, checkout()["commit"])
    own = [
        {"labels": task.source.train.labels, "pretrained": _start(group[0], *each)}
        for task, each in zip(tasks, begun, strict=True)
    ]
    return _driven(group, tasks[0], job, session, own)


def _start(one: Experiment, params: Tree, stats: Tree) -> Tree:
    """What a reverse learner's network starts from, as `train.Data` has it."""
    return {"params": params, **(stats["target"] if one.training.batch_norm == "domain_specific" else stats)}


def _with_answers(forward: Predictions, backward: Predictions, task: Task, back: Task) -> Predictions:
    """What a run left, and what its reverse learner says of the held-out source."""
    chosen = reverse.stopped(forward.logits["validation"], task.source.validation.labels)
    last = reverse.stopped(backward.logits["validation"], back.source.validation.labels)
    found = reverse.answers(backward.logits["target_validation"][last], chosen, len(forward.steps))
    return forward._replace(reversed=found)


def stream_group(group: list[Experiment], task: Task, job: Job) -> Iterator[Made]:
    """All runs of a group by the same compiled programs, one run after another, their data read as they go."""
    data, runs = _begun(group[0], task), [_run(one) for one in group]
    start = time.monotonic()
    programs = stream.build(runs[0], _network(group[0], task), data, group[0].seen)
    compiled = (time.monotonic() - start) / len(group)
    for one, run in zip(group, runs, strict=True):
        session = _session([one], task, job)
        job.sweep.begin(label([one]), 1)  # each goes from its first step to its last
        made = drive(stream.Streamed(run, programs, data, job.options.workers), one.training, session)
        yield one, (_unpack(one, task, made, 0), Seconds(compiled, made.seconds, 1))
        session.checkpoints.clear()


def _session(group: list[Experiment], task: Task, job: Job) -> Session:
    checkpoints, every = _checkpoints(group, task, job), job.options.checkpoint_seconds
    kept = watched(probes(group[0], task)) if job.options.validators == "all" else [np.empty(0, int)]
    return Session(checkpoints, every, job.sweep, job.request, checkout()["commit"], np.concatenate(kept))


def _run(one: Experiment) -> train.Run:
    assert isinstance(one.method, Method)
    return train.Run(jax.random.key(one.seed), one.method, one.training)


def _side_by_side(model: Network, example: Any) -> int | None:
    """1 where a wide network keeps a CPU busy alone; None, all at once, for tiny networks and on accelerators."""
    alone = jax.default_backend() == "cpu" and _parameters(model, example) >= WIDE
    return 1 if alone else None


def _data(experiment: Experiment, task: Task) -> train.Data:
    """What a run may see, not yet read. Of the target, inputs only."""
    held_out, of_target = zip(*probes(experiment, task).values(), strict=True)
    return train.gather(labelled(experiment, task).train, task.target.train.inputs, held_out, of_target)


def _begun(experiment: Experiment, task: Task) -> train.Data:
    """What a run may see, and what its network starts from."""
    return _data(experiment, task)._replace(pretrained=weights.initial_variables(experiment.network))


def _unpack(experiment: Experiment, task: Task, made: engine.Made, i: int) -> Predictions:
    """What the i-th of the runs left, by what it predicted."""
    held_out = probes(experiment, task)
    every = experiment.training.steps // experiment.training.evaluations
    steps = [every * (k + 1) for k in range(experiment.training.evaluations)]
    ends = np.cumsum([len(probe.inputs) for probe in held_out.values()])[:-1]
    logits = dict(zip(held_out, np.split(made.logits[i], ends, axis=1), strict=True))
    features = dict(zip(held_out, np.split(made.features[i], ends), strict=True))
    metrics = {name: values[i] for name, values in made.metrics.items()}
    return Predictions(steps, logits, metrics, features, _watched(made.watched, i, held_out), made.states[i])


def _watched(features: np.ndarray, i: int, held_out: dict[str, Probe]) -> CheckpointFeatures | None:
    """The i-th run's features of all runs' [runs, e, w, d], by what they are of; None where none were kept."""
    ends = np.cumsum([len(places) for places in watched(held_out)])
    return CheckpointFeatures(*np.split(features[i], ends[:-1], axis=1)) if features.size else None


def fit(experiment: Experiment, task: Task) -> tuple[Predictions, Seconds]:
    """One run of a shallow method."""
    start = time.monotonic()
    predictions = _predictions(experiment, task, _fitted(experiment, task))
    return predictions, Seconds(0.0, time.monotonic() - start, 1)


def fit_both_ways(experiment: Experiment, task: Task) -> tuple[Predictions, Seconds]:
    """As `fit`, and then the reverse learner; none where all of the target is guessed to be of one class."""
    start = time.monotonic()
    fitted = _fitted(experiment, task)
    forward = _predictions(experiment, task, fitted)
    back = _task_back(task, lambda inputs: fitted.predict_log_proba(rows(inputs, experiment.seen)))
    if len(np.unique(back.source.train.labels)) > 1:
        backward = _predictions(experiment, back, _fitted(experiment, back))
        found = _with_answers(forward, backward, task, back)
    else:
        found = forward._replace(reversed=np.full((1, len(task.source.validation.labels)), np.nan))
    return found, Seconds(0.0, time.monotonic() - start, 1)


def _fitted(experiment: Experiment, task: Task) -> Classifier:
    assert isinstance(experiment.method, ClassicalMethod)
    source, view = labelled(experiment, task).train, experiment.seen
    return experiment.method.fit(
        rows(source.inputs, view), np.asarray(source.labels), rows(task.target.train.inputs, view)
    )


def _predictions(experiment: Experiment, task: Task, fitted: Classifier) -> Predictions:
    logits = {
        name: np.asarray(fitted.predict_log_proba(rows(probe.inputs, experiment.seen)))[None]
        for name, probe in probes(experiment, task).items()
    }
    return Predictions([0], logits, {}, {})


def rows(inputs: Any, view: View | None = None) -> np.ndarray:
    """What a network would see of inputs [n, ...], as float64 rows [n, d]."""
    seen = [
        np.asarray(evaluation_input(view, inputs[start : start + ROWS]), np.float64)
        for start in range(0, len(inputs), ROWS)
    ]
    return np.concatenate(seen).reshape(len(inputs), -1)
