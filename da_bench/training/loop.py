"""The training loop of a group of runs on the host: launches, evaluations, checkpoints, and stopping on request.

An engine holds the compiled programs: `in_memory` (data on the devices) or `streaming` (data read on the way). The
result does not depend on the number of launches, nor on how often the group was stopped, killed and resumed.
"""

import dataclasses
import hashlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import threadpoolctl

from da_bench.core.distributed import broadcast, fetch, is_primary
from da_bench.core.progress import ProgressReporter
from da_bench.core.shutdown import Stopped, StopRequest
from da_bench.core.types import Array, Output, TrainState, Tree
from da_bench.training.checkpoints import Checkpoint, Checkpoints
from da_bench.training.config import Training
from da_bench.training.step import Carry, mean_metrics


class Engine(Protocol):
    """Compiled programs of runs that differ only in their keys and float hyper-parameters.

    Trees have leaves [runs, ...], with the last run repeated where the number of devices asks for it.

    Attributes:
        count: number of runs.
        probes: number of inputs that an evaluation predicts.
    """

    count: int
    probes: int

    def start(self) -> Carry:
        """Return the initial carry, the input of the first step."""

    def restore(self, carry: Tree, step: int) -> Carry:
        """Place the numpy arrays of a carry after `step` steps on the devices.

        Raises:
            ValueError: no launch starts at this step.
        """

    def advance(self, carry: Carry, step: int, until: int) -> Iterator[tuple[Carry, int]]:
        """Compute steps `step` to `until`, yielding (carry, steps done) after each launch."""

    def evaluate(self, carry: Carry) -> Output:
        """Return the network's output for the probes."""


class Evaluation(NamedTuple):
    """What one evaluation leaves.

    Attributes:
        metrics: [runs] by name, the means over the steps since the evaluation before.
        logits: [runs, p, c] of the probes.
        kept_features: [runs, w, d] of the probes that the session keeps; None where it keeps none.
    """

    metrics: dict[str, Array]
    logits: np.ndarray
    kept_features: np.ndarray | None


class Best(NamedTuple):
    """The best evaluation of each run so far.

    Attributes:
        scores: the highest score [runs].
        state: numpy arrays [runs, ...] of the training state there, without the optimizer's state and the key.
    """

    scores: np.ndarray
    state: TrainState


class GroupOutput(NamedTuple):
    """What the runs of a group leave after e evaluations of p probes.

    Attributes:
        metrics: [runs, e] by name.
        logits: [runs, e, p, c].
        features: [runs, p, d] after the last step.
        kept_features: [runs, e, w, d] of the session's probes; empty where it keeps none.
        states: SHA-256 of each run's last state.
        seconds: of computing, in all sessions, without compiling.
        best: None where the session scores no evaluation.
    """

    metrics: dict[str, np.ndarray]
    logits: np.ndarray
    features: np.ndarray
    kept_features: np.ndarray
    states: list[str]
    seconds: float
    best: Best | None


@dataclasses.dataclass
class Session:
    """The surroundings of a training loop: where it saves, what it shows, when it stops and what it keeps.

    Attributes:
        checkpoints: of the group.
        checkpoint_seconds: least time between two checkpoints.
        progress: what the user is shown.
        request: whether somebody asked to stop.
        commit: of the code; None where it is not known.
        kept_features: [w] indices of the probes whose features every evaluation keeps, not only the last.
        checkpoint_score: logits [runs, p, c] of an evaluation to scores [runs]; the state at the best one is kept, the
            latest of equals. None keeps no state.
        last_save: time of the last checkpoint.
    """

    checkpoints: Checkpoints
    checkpoint_seconds: float
    progress: ProgressReporter
    request: StopRequest
    commit: str | None
    kept_features: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    checkpoint_score: Callable[[np.ndarray], np.ndarray] | None = None
    last_save: float = dataclasses.field(default_factory=time.monotonic)


@dataclasses.dataclass
class GroupState:
    """How far the training of a group is; all of it is in a checkpoint.

    Attributes:
        step: steps done.
        seconds: that they took, in all sessions.
        commit: of the code that the runs were started with.
        carry: what the next step is given.
        evaluations: so far.
        features: [runs, p, d] of the probes after the last step; None before.
        best: None before the first evaluation, and where the session scores none.
    """

    step: int
    seconds: float
    commit: str | None
    carry: Carry
    evaluations: list[Evaluation]
    features: np.ndarray | None = None
    best: Best | None = None


def fit(engine: Engine, training: Training, session: Session) -> GroupOutput:
    """Train the runs of an engine to the end, from their last checkpoint if there is one.

    Args:
        engine: compiled programs and data of the runs.
        training: number of steps and evaluations.
        session: where to save, what to show, when to stop.

    Raises:
        Stopped: on request, after saving.
        StorageError: a checkpoint cannot be saved.
    """
    group = _resume(engine, training, session)
    if group.step < training.steps:
        # XLA calls LAPACK from its own threads; when LAPACK uses threads too, the singular values of BSP and BNM take
        # up to 250 times as long on a busy machine
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            _train(group, engine, training, session)
        group.carry = fetch(group.carry)  # once, for a checkpoint and for the digests
        # if this process is killed between publishing two runs, the other one must not be computed alone, as it would
        # be rounded otherwise; and a group that was kept still has work to do
        if engine.count > 1 or session.checkpoint_score:
            _save(group, engine, session)
    assert group.features is not None
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *group.evaluations)
    return GroupOutput(
        metrics=stacked.metrics,
        logits=stacked.logits,
        features=group.features,
        kept_features=np.empty(0) if stacked.kept_features is None else stacked.kept_features,
        states=digests(group.carry)[: engine.count],
        seconds=group.seconds,
        best=group.best,
    )


def _train(group: GroupState, engine: Engine, training: Training, session: Session) -> None:
    """Compute the remaining steps; evaluate, report and save on the way."""
    every = training.steps // training.evaluations
    while group.step < training.steps:
        until = (group.step // every + 1) * every
        start = time.monotonic()
        for carry, step in engine.advance(group.carry, group.step, until):
            group.carry, group.step = carry, step
            group.seconds += time.monotonic() - start
            _report(group, every, session.progress)
            if group.step < until:
                _save_if_due(group, engine, session)
            start = time.monotonic()
        features = _evaluate(group, engine, every, session)
        if until < training.steps:
            _save_if_due(group, engine, session)
    group.features = features


def _evaluate(group: GroupState, engine: Engine, every: int, session: Session) -> np.ndarray:
    """Evaluate the probes and return their features [runs, p, d]."""
    start = time.monotonic()
    sums, output = jax.tree.map(
        lambda leaf: leaf[: engine.count], fetch((group.carry.sums, engine.evaluate(group.carry)))
    )
    features: np.ndarray = output.features
    kept_features = features[:, session.kept_features] if session.kept_features.size else None
    group.evaluations.append(Evaluation(mean_metrics(sums, every), output.logits, kept_features))
    if session.checkpoint_score:
        group.best = _update_best(group.best, session.checkpoint_score(output.logits), group.carry.state)
    group.seconds += time.monotonic() - start
    return features


def _update_best(best: Best | None, scores: np.ndarray, state: TrainState) -> Best:
    """The best evaluation of each run, including one of `state` [runs, ...]."""
    current = jax.tree.map(lambda leaf: leaf[: len(scores)], fetch(_strip_optimizer(state)))
    if best is None:
        return Best(scores, current)
    is_better = (scores >= best.scores) | np.isnan(best.scores)

    def select(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        return np.where(is_better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return Best(np.where(is_better, scores, best.scores), jax.tree.map(select, current, best.state))


def _strip_optimizer(state: TrainState) -> TrainState:
    return state._replace(opt_state=None, key=None)  # type: ignore[arg-type]


def _report(group: GroupState, every: int, progress: ProgressReporter) -> None:
    metrics = {}
    if broadcast(progress.should_report()):  # metrics are fetched from the devices only when they are shown
        steps = (group.step - 1) % every + 1
        metrics = {name: float(total.mean()) / steps for name, total in fetch(group.carry.sums).items()}
    progress.update(group.step, metrics)


def _save_if_due(group: GroupState, engine: Engine, session: Session) -> None:
    """Save a checkpoint if enough time has passed, or on a request to stop, which is then raised."""
    stop, now = broadcast(session.request.signal is not None), time.monotonic()
    if not stop and not broadcast(now - session.last_save >= session.checkpoint_seconds):
        return
    _save(group, engine, session)
    session.last_save = now
    if stop:
        raise Stopped(session.request.signal or signal.SIGTERM)  # perhaps only the primary process got the signal


class _Arrays(NamedTuple):
    """The arrays of a `GroupState`, [runs, ...]."""

    carry: Carry
    evaluations: list[Evaluation]
    features: np.ndarray | None
    best: Best | None


def _save(group: GroupState, engine: Engine, session: Session) -> None:
    arrays = fetch(_Arrays(group.carry, group.evaluations, group.features, group.best))  # by all processes
    if is_primary():
        leaves = {name: leaf[: engine.count] for name, leaf in _named_leaves(arrays).items()}
        session.checkpoints.save(Checkpoint(group.step, group.seconds, leaves, group.commit))


def _resume(engine: Engine, training: Training, session: Session) -> GroupState:
    """The state of the last usable checkpoint, else the state before the first step."""
    carry = engine.start()
    checkpoint = session.checkpoints.latest(session.progress.note)
    if checkpoint is None:
        return GroupState(0, 0.0, session.commit, carry, [])
    try:
        arrays = _restore_arrays(checkpoint, carry, training, session)
        if any(evaluation.logits.shape[1] != engine.probes for evaluation in arrays.evaluations):
            raise ValueError("its evaluations are of other probes")
        carry = engine.restore(arrays.carry, checkpoint.step)
    except ValueError as error:
        session.progress.note(
            f"a checkpoint of other code or options is skipped ({error}); the runs start from the beginning"
        )
        return GroupState(0, 0.0, session.commit, carry, [])
    other = f"; started with commit {checkpoint.commit or 'unknown'}" if checkpoint.commit != session.commit else ""
    session.progress.note(f"resuming from step {checkpoint.step}{other}")
    rest = arrays.evaluations, arrays.features, arrays.best
    return GroupState(checkpoint.step, checkpoint.seconds, checkpoint.commit, carry, *rest)


def _restore_arrays(checkpoint: Checkpoint, carry: Carry, training: Training, session: Session) -> _Arrays:
    """The arrays of a checkpoint.

    Args:
        checkpoint: of the runs.
        carry: before the first step, whose arrays have the same shapes.
        training: which says how many evaluations there were at the checkpoint's step.
        session: which says what an evaluation keeps.

    Raises:
        ValueError: the checkpoint lacks an array, or one has another shape.
    """
    evaluation = Evaluation(carry.sums, np.empty(0), np.empty(0) if session.kept_features.size else None)
    evaluations = [evaluation] * (checkpoint.step * training.evaluations // training.steps)
    structure = _Arrays(
        carry=carry,
        evaluations=evaluations,
        features=np.empty(0) if checkpoint.step == training.steps else None,
        best=Best(np.empty(0), _strip_optimizer(carry.state)) if session.checkpoint_score and evaluations else None,
    )
    names = list(_named_leaves(structure))
    if missing := [name for name in names if name not in checkpoint.arrays]:
        raise ValueError(f"it lacks '{missing[0]}'")
    if unknown := [name for name in checkpoint.arrays if name.startswith("carry/") and name not in names]:
        raise ValueError(f"it has '{unknown[0]}'")
    restored: _Arrays = jax.tree.unflatten(jax.tree.structure(structure), [checkpoint.arrays[name] for name in names])
    for leaf, expected in zip(jax.tree.leaves(restored.carry), jax.tree.leaves(fetch(carry)), strict=True):
        if (leaf.shape[1:], leaf.dtype) != (expected.shape[1:], expected.dtype):
            raise ValueError("its arrays have other shapes")
    return restored


def _named_leaves(tree: Tree) -> dict[str, Any]:
    """The leaves of a tree by their paths: "carry/state/params/model/head/kernel"."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def digests(carry: Carry) -> list[str]:
    """Return the SHA-256 of each run's state: equal digests mean equal bits."""
    leaves = jax.tree.leaves(fetch(carry.state))
    return [
        hashlib.sha256(b"".join(np.ascontiguousarray(leaf[i]).tobytes() for leaf in leaves)).hexdigest()
        for i in range(len(leaves[0]))
    ]
