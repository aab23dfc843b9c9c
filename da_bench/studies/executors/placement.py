"""Runs of a study in processes of their own, here or on a cluster: whatever becomes of one is on record."""

import contextlib
import os
from pathlib import Path
from typing import Any

from da_bench.core.locks import LockedError, hold_locks
from da_bench.studies.executors import ray as cluster
from da_bench.studies.executors import subprocess as isolate
from da_bench.studies.experiment import Experiment
from da_bench.studies.judge import failed
from da_bench.studies.options import Job, Options, held, label, task_of


def connected(options: Options) -> contextlib.AbstractContextManager[Any]:
    """`ray` where the runs are made on a cluster, else None."""
    return cluster.connected() if options.executor == "ray" else contextlib.nullcontext()


def attempt(one: Experiment, job: Job) -> bool:
    """Make one run in a process of its own; whatever becomes of it is on record, unless another is making it."""
    if not _free(one, job):
        return False
    found: cluster.Found = None
    if not job.store.has(one.id):
        job.sweep.begin(label([one]), 1)
        try:
            shown = job.options.progress != "none"  # else the process reports nothing that nobody reads
            options = _alone(job.options) | ({"progress": "json"} if shown else {})
            hear = job.sweep.relay if shown else None
            found = isolate.apart(one, options, job.options.timeout, job.request, hear)
        except LockedError as error:
            found = error
    return _settled(one, found, job)


def attempts_placed(runs: list[Experiment], job: Job) -> list[list[Experiment]]:
    """Make every run on the cluster, in a process of its own; those that another process is making."""
    options, free = job.options, [one for one in runs if _free(one, job)]
    need = cluster.Need(options.run_cpus, options.run_gpus)
    asked = [_asked(one, need, job) for one in free]
    if not free:
        return [[one] for one in runs]
    job.sweep.begin("on the cluster", len(free))
    if not cluster.fits(job.ray, need):
        job.sweep.note(f"no node of the cluster has {need}, which each run asks for: they wait for one")
    with contextlib.closing(cluster.placed(job.ray, asked, need, job.request)) as over:
        done = {free[i].id for i, found in over if _settled(free[i], found, job)}
    return [[one] for one in runs if one.id not in done]


def _asked(one: Experiment, need: cluster.Need, job: Job) -> cluster.Asked:
    lock = Path(os.path.abspath(job.store.lock(one.id)))
    message = isolate.described(one, _alone(job.options))
    return cluster.Asked(message, lock, job.options.timeout, cluster.environ(need))


def _alone(options: Options) -> dict[str, Any]:
    """Options of a process that makes one run, wherever it is."""
    plain = {"isolate": False, "timeout": None, "shard": (1, 1), "progress": "none", "retry": False, "executor": "here"}
    root = options.data_root and os.path.abspath(options.data_root)
    return {**vars(options), **plain, "results": os.path.abspath(options.results), "data_root": root}


def _free(one: Experiment, job: Job) -> bool:
    """Whether no process is making the run at this moment."""
    with contextlib.ExitStack() as stack:
        return held([one], job, stack)


def _settled(one: Experiment, found: cluster.Found, job: Job) -> bool:
    """Whether the run is on record now, if need be as failed; else another process is making it."""
    try:
        if isinstance(found, LockedError):
            return False
        _settle(one, found, job)
    except LockedError:
        return False
    job.sweep.end(1, len(job.store.failures([one.id])))
    return True


def _settle(one: Experiment, found: isolate.Failure | None, job: Job) -> None:
    """Record why a process left no result; not where another process is making the run by now."""
    with hold_locks([job.store.lock(one.id)]):
        if job.store.has(one.id):
            return
        found = found or isolate.Failure("error", "its process ended well, and left no result")
        job.sweep.note(f"{label([one])}, seed {one.seed}: {found.cause}: {found.reason}")
        job.store.publish(*failed(one, task_of(one, job.options), *found))
