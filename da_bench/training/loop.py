"""The host's side of a group of runs: launch by launch, saved on the way, stopped when asked to.

What the launches compute is `resident` (data on the devices) or `stream` (data read as they go); the result does not
depend on how many launches there were, nor on how often the group was stopped, killed and resumed.
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
from da_bench.core.progress import Sweep
from da_bench.core.shutdown import Request, Stopped
from da_bench.core.types import Output, TrainState, Tree
from da_bench.training.checkpoints import Checkpoints, Saved
from da_bench.training.step import Carry, Training, means

NONE = np.empty((0, 0))  # of features that nobody asked for


class Engine(Protocol):
    """Compiled programs of `count` runs that are alike but for their keys and float fields.

    Trees are [runs, ...]; there may be more rows than runs, repeated so that all devices have one. probes: inputs that
    a look predicts.
    """

    count: int
    probes: int

    def start(self) -> Carry:
        """Before the first step."""

    def place(self, carry: Tree, step: int) -> Carry:
        """What a carry was after `step` steps, as numpy arrays, back on the devices; ValueError: not from there."""

    def advance(self, carry: Carry, step: int, until: int) -> Iterator[tuple[Carry, int]]:
        """Steps `step` to `until`, a launch at a time: (carry, steps done)."""

    def look(self, carry: Carry) -> Output:
        """The network's output for the probes."""


class Best(NamedTuple):
    """Of each run the highest score of an evaluation so far [runs], and the state there, [runs, ...] numpy arrays.

    Of the state what predicts: neither what the optimizer remembers nor the key.
    """

    scores: np.ndarray
    state: TrainState


class Made(NamedTuple):
    """What runs leave: metrics [runs, e] by name, logits [runs, e, p, c], features [runs, p, d] after the last step.

    watched: features [runs, e, w, d] of the session's `watched` probes, empty without any. states: the sha256 of each
    run's last state; seconds: in all sessions, without compiling; best: None where the session scores nothing.
    """

    metrics: dict[str, np.ndarray]
    logits: np.ndarray
    features: np.ndarray
    watched: np.ndarray
    states: list[str]
    seconds: float
    best: Best | None


@dataclasses.dataclass
class Session:
    """What a group of runs is made within.

    commit: of the code, None: not known; watched: [w] places among the probes of those whose features every evaluation
    keeps, not only the last; score: logits [runs, p, c] of an evaluation -> [runs], by which the state at the best one
    is kept, of equals at the latest.
    """

    checkpoints: Checkpoints
    every: float  # seconds between two checkpoints, at least
    sweep: Sweep
    request: Request
    commit: str | None
    watched: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    score: Callable[[np.ndarray], np.ndarray] | None = None
    saved: float = dataclasses.field(default_factory=time.monotonic)  # when the last checkpoint was made


@dataclasses.dataclass
class _Reached:
    """Where a group is: `looks` [(metrics, logits, watched features), ...] of its evaluations so far; `commit` that it
    was begun with.
    """

    step: int
    carry: Carry
    looks: list[tuple[dict[str, Any], Any, Any]]
    seconds: float
    commit: str | None
    features: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))  # after the last step
    best: Best | None = None


def drive(engine: Engine, training: Training, session: Session) -> Made:
    """Make the runs of an engine, from their last checkpoint on where there is one.

    Raises:
        Stopped: when asked to, after saving. StorageError: what was reached cannot be saved.
    """
    reached = _resumed(engine, session)
    if reached.step < training.steps:
        # XLA calls LAPACK from threads of its own; with threads of its own, too, the singular values of BSP and BNM
        # took up to 250 times as long on a busy machine
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            _train(reached, engine, training, session)
        reached.carry = fetch(reached.carry)  # once, for a checkpoint and for the digests
        # killed between publishing two runs, the other would be made alone, and round otherwise; and after a state was
        # kept there is more to do with it
        if engine.count > 1 or session.score:
            _save(reached, engine, session)
    metrics, logits, watched = jax.tree.map(lambda *each: np.stack(each, axis=1), *reached.looks)
    states = digests(reached.carry)[: engine.count]
    return Made(metrics, logits, reached.features, watched, states, reached.seconds, reached.best)


def _train(reached: _Reached, engine: Engine, training: Training, session: Session) -> None:
    """Go on to the last step, and evaluate on the way."""
    every = training.steps // training.evaluations
    while reached.step < training.steps:
        until = (reached.step // every + 1) * every
        for _ in _launches(reached, engine, until):
            _report(reached, every, session.sweep)
            if reached.step < until:
                _keep(reached, engine, session)
        features = _look(reached, engine, every, session)
        if until < training.steps:
            _keep(reached, engine, session)
    reached.features = features


def _launches(reached: _Reached, engine: Engine, until: int) -> Iterator[None]:
    """Go on to step `until`, and hand over after each launch; only what is within counts as seconds."""
    start = time.monotonic()
    for carry, step in engine.advance(reached.carry, reached.step, until):
        reached.carry, reached.step = carry, step
        reached.seconds += time.monotonic() - start
        yield
        start = time.monotonic()


def _look(reached: _Reached, engine: Engine, every: int, session: Session) -> np.ndarray:
    """Evaluate; the features of the probes [runs, p, d]."""
    start = time.monotonic()
    sums, output = _rows(engine.count, (reached.carry.sums, engine.look(reached.carry)))
    features: np.ndarray = output.features
    kept = features[:, session.watched] if session.watched.size else NONE
    reached.looks.append((means(sums, every), output.logits, kept))
    if session.score:
        reached.best = _better(reached.best, session.score(output.logits), reached.carry.state)
    reached.seconds += time.monotonic() - start
    return features


def _better(best: Best | None, scores: np.ndarray, state: TrainState) -> Best:
    """The best of the evaluations so far, one of `state` [runs, ...] among them."""
    now = jax.tree.map(lambda leaf: leaf[: len(scores)], fetch(_predicting(state)))
    if best is None:
        return Best(scores, now)
    better = (scores >= best.scores) | np.isnan(best.scores)

    def chosen(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        return np.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return Best(np.where(better, scores, best.scores), jax.tree.map(chosen, now, best.state))


def _predicting(state: TrainState) -> TrainState:
    return state._replace(opt_state=None, key=None)  # type: ignore[arg-type]


def _keep(reached: _Reached, engine: Engine, session: Session) -> None:
    """Save where it is time to, or somebody asks to stop."""
    asked, now = broadcast(session.request.signal is not None), time.monotonic()
    if not asked and not broadcast(now - session.saved >= session.every):
        return
    _save(reached, engine, session)
    session.saved = now
    if asked:
        raise Stopped(session.request.signal or signal.SIGTERM)  # perhaps only the lead has heard it


def _rows(count: int, tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf[:count], fetch(tree))


def _save(reached: _Reached, engine: Engine, session: Session) -> None:
    saved = _to_disk(reached, engine.count)  # of all processes, written by one
    if is_primary():
        session.checkpoints.save(saved)


def _resumed(engine: Engine, session: Session) -> _Reached:
    carry = engine.start()
    saved = session.checkpoints.latest(session.sweep.note)
    if saved is None:
        return _Reached(0, carry, [], 0.0, session.commit)
    try:
        reached = _from_disk(saved, carry, session)
        if any(logits.shape[1] != engine.probes for _, logits, _ in reached.looks):
            raise ValueError("its evaluations are of other probes")
        reached.carry = engine.place(reached.carry, saved.step)
    except ValueError as error:
        session.sweep.note(f"a checkpoint of other code or options is not used ({error}); the runs start anew")
        return _Reached(0, carry, [], 0.0, session.commit)
    other = "" if saved.commit == session.commit else f"; continues a run begun with commit {saved.commit or 'unknown'}"
    session.sweep.note(f"going on from step {saved.step}{other}")
    return reached


def _report(reached: _Reached, every: int, sweep: Sweep) -> None:
    shown = {}
    if broadcast(sweep.due()):
        steps = (reached.step - 1) % every + 1
        shown = {name: float(total.mean()) / steps for name, total in fetch(reached.carry.sums).items()}
    sweep.reach(reached.step, shown)


def _to_disk(reached: _Reached, count: int) -> Saved:
    leaves = {f"carry/{i}": leaf for i, leaf in enumerate(_leaves(reached.carry))}
    for i, look in enumerate(reached.looks):
        leaves |= {f"look/{i}/{j}": leaf for j, leaf in enumerate(_leaves(look[:2]))}
        leaves |= {f"watched/{i}": look[2]} if look[2].size else {}
    leaves |= {"features": reached.features} if reached.features.size else {}
    leaves |= {f"best/{i}": leaf for i, leaf in enumerate(jax.tree.leaves(reached.best))}
    return Saved(reached.step, reached.seconds, {name: leaf[:count] for name, leaf in leaves.items()}, reached.commit)


def _from_disk(saved: Saved, like: Carry, session: Session) -> _Reached:
    """What `_to_disk` was given; ValueError where it does not look like `like`, or lacks what the session keeps."""
    watched = session.watched.size > 0
    runs = len(next(iter(saved.leaves.values())))
    found = [saved.leaves[f"carry/{i}"] for i in range(sum(name.startswith("carry/") for name in saved.leaves))]
    wanted = [leaf[:runs] for leaf in _leaves(like)]
    if [(leaf.shape, leaf.dtype) for leaf in wanted] != [(leaf.shape, leaf.dtype) for leaf in found]:
        raise ValueError("its arrays have other shapes")
    if watched and "look/0/0" in saved.leaves and "watched/0" not in saved.leaves:
        raise ValueError("it does not hold the features that validators need")
    if session.score and "look/0/0" in saved.leaves and "best/0" not in saved.leaves:
        raise ValueError("it does not hold the states that reverse validation needs")
    carry = jax.tree.unflatten(jax.tree.structure(like), found)
    names = sorted(like.sums)
    looks: list[tuple[dict[str, Any], Any, Any]] = []
    while f"look/{len(looks)}/0" in saved.leaves:
        leaves = [saved.leaves[f"look/{len(looks)}/{j}"] for j in range(len(names) + 1)]
        kept = saved.leaves[f"watched/{len(looks)}"] if watched else NONE
        looks.append((dict(zip(names, leaves[:-1], strict=True)), leaves[-1], kept))
    features = saved.leaves.get("features", np.empty(0))
    return _Reached(saved.step, carry, looks, saved.seconds, saved.commit, features, _best_from_disk(saved, like))


def _best_from_disk(saved: Saved, like: Carry) -> Best | None:
    if "best/0" not in saved.leaves:
        return None
    empty = Best(np.empty(0), _predicting(like.state))
    leaves = [saved.leaves[f"best/{i}"] for i in range(len(jax.tree.leaves(empty)))]
    found: Best = jax.tree.unflatten(jax.tree.structure(empty), leaves)
    return found


def _leaves(tree: Tree) -> list[np.ndarray]:
    return jax.tree.leaves(fetch(tree))


def digests(carry: Carry) -> list[str]:
    """The sha256 of each run's state: equal bits, equal digests."""
    leaves = _leaves(carry.state)
    return [
        hashlib.sha256(b"".join(np.ascontiguousarray(leaf[i]).tobytes() for leaf in leaves)).hexdigest()
        for i in range(len(leaves[0]))
    ]
