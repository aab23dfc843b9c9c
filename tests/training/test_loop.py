"""Runs made launch by launch: stopped and resumed wherever that can be, they are what they are undisturbed."""

import functools

import jax
import numpy as np
import pytest

import da_bench as da
from da_bench import models
from da_bench.core.config import StorageError
from da_bench.core.progress import MODE, ProgressReporter
from da_bench.core.shutdown import Stopped, StopRequest
from da_bench.methods import METHODS, Method
from da_bench.studies import data as study_data
from da_bench.studies import fit
from da_bench.studies.records import Records
from da_bench.training import Training
from da_bench.training import in_memory as resident
from da_bench.training import loop as engine
from da_bench.training.checkpoints import Checkpoints
from da_bench.training.in_memory import Devices, InMemory
from tests.helpers import tiny

TRAINING = Training(steps=6, evaluations=2, batch_size=8, learning_rate=0.1)
DEEP = [name for name, cls in METHODS.items() if issubclass(cls, Method)]
SEEDS = 4


@pytest.fixture(autouse=True)
def step_by_step(monkeypatch):
    """A launch is one step, after the first ones."""
    monkeypatch.setattr(resident, "LAUNCH_SECONDS", 0.0)


def experiments(name):
    method = METHODS[name]()
    one = da.Experiment(task="moons/35", method=method, model=tiny.model_for(method), training=TRAINING)
    return da.over_seeds([one], SEEDS)


@functools.cache
def programs(name, devices=1, per_run=1, double=False):
    """Compiled once for all tests."""
    runs = [fit.run_of(experiment) for experiment in experiments(name)]
    group = tiny.prepared(experiments(name)[0], tiny.task())
    built = InMemory(runs, group.model, group.data, None, Devices(tuple(jax.devices()[:devices]), None, per_run))
    built.stride = 1
    return built


def session(folder, stop=False, said=None, commit="c0ffee"):
    request, sweep = StopRequest(), ProgressReporter(SEEDS, 1)
    request.signal = 15 if stop else None
    sweep.note = print if said is None else said.append
    return engine.Session(Checkpoints(folder, [str(i) for i in range(SEEDS)], "data"), 0.0, sweep, request, commit)


def interrupted(built, folder):
    """A run that is asked to stop after every launch: what it leaves, and how often it was stopped."""
    stops = 0
    while True:
        try:
            return engine.fit(next(built), TRAINING, session(folder, stop=True)), stops
        except Stopped:
            stops += 1


def forever(one):
    while True:
        yield one


def leaves(made):
    return jax.tree.leaves(made._replace(states=None, seconds=None))


@pytest.mark.parametrize("name", tiny.one_of_each_kind(DEEP))
def test_stopped_after_every_launch_a_run_is_the_undisturbed_one(name, tmp_path):
    built = programs(name)
    whole = engine.fit(built, TRAINING, session(tmp_path / "whole"))
    pieces, stops = interrupted(forever(built), tmp_path / "pieces")
    assert stops == TRAINING.steps - 1
    assert len(set(whole.states)) == SEEDS
    assert pieces.states == whole.states
    for one, other in zip(leaves(pieces), leaves(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_features_that_are_watched_are_kept_at_every_evaluation_and_over_stops(tmp_path):
    built, watched = programs("source_only"), np.array([0, 3, 20])

    def made(folder, stop=False):
        within = session(folder, stop=stop)
        within.kept_features = watched
        return engine.fit(built, TRAINING, within)

    whole = made(tmp_path / "whole")
    assert whole.kept_features.shape == (SEEDS, TRAINING.evaluations, 3, 6)
    np.testing.assert_array_equal(whole.kept_features[:, -1], whole.features[:, watched])
    assert not np.array_equal(whole.kept_features[:, 0], whole.kept_features[:, 1])
    for _ in range(TRAINING.steps - 1):
        with pytest.raises(Stopped):
            made(tmp_path / "pieces", stop=True)
    np.testing.assert_array_equal(made(tmp_path / "pieces").kept_features, whole.kept_features)


def test_the_kept_state_is_that_of_the_best_evaluation_of_equals_the_latest_and_outlasts_stops(tmp_path):
    """By given scores [e, runs]; what the kept states predict is what the runs predicted there."""
    scores, best = np.array([[2.0, 1, 0, 5], [1.0, 1, 3, 4]]), [0, 1, 1, 0]
    built, one = programs("source_only"), experiments("source_only")[0]
    group = tiny.prepared(one, tiny.task())
    model, data = group.model, group.data
    plain = engine.fit(built, TRAINING, session(tmp_path / "plain"))
    seen = [plain.logits[:, e].tobytes() for e in range(TRAINING.evaluations)]

    def made(folder, stop=False):
        within = session(folder, stop=stop)
        within.checkpoint_score = lambda logits: scores[seen.index(logits.tobytes())]
        return engine.fit(built, TRAINING, within)

    for _ in range(TRAINING.steps - 1):
        with pytest.raises(Stopped):
            made(tmp_path / "pieces", stop=True)
    whole, pieces = made(tmp_path / "whole").best, made(tmp_path / "pieces").best
    jax.tree.map(np.testing.assert_array_equal, pieces, whole)
    np.testing.assert_array_equal(whole.scores, scores.max(axis=0))
    for i, e in enumerate(best):
        state = jax.tree.map(lambda leaf, i=i: leaf[i], whole.state)
        output, _ = models.forward(model, state.params["model"], state.stats, data.inputs[data.probes])
        np.testing.assert_allclose(output.logits, plain.logits[i, e], rtol=1e-5, atol=1e-6)


def test_a_checkpoint_without_the_features_that_are_watched_is_not_used(tmp_path):
    built, said = programs("source_only"), []
    for _ in range(4):  # past the first evaluation
        with pytest.raises(Stopped):
            engine.fit(built, TRAINING, session(tmp_path, stop=True))
    within = session(tmp_path, said=said)
    within.kept_features = np.array([1])
    assert engine.fit(built, TRAINING, within).kept_features.shape[:3] == (SEEDS, TRAINING.evaluations, 1)
    assert any("kept_features" in one for one in said)


def test_a_checkpoint_without_the_state_to_keep_is_not_used(tmp_path):
    built, said = programs("source_only"), []
    engine.fit(built, TRAINING, session(tmp_path))
    within = session(tmp_path, said=said)
    within.checkpoint_score = lambda logits: np.zeros(SEEDS)
    assert engine.fit(built, TRAINING, within).best is not None
    assert any("best/scores" in one for one in said)


def test_a_checkpoint_whose_evaluations_are_of_other_probes_is_not_used(tmp_path, monkeypatch):
    built, said = programs("source_only"), []
    whole = engine.fit(built, TRAINING, session(tmp_path / "whole"))
    for _ in range(4):
        with pytest.raises(Stopped):
            engine.fit(built, TRAINING, session(tmp_path / "found", stop=True))
    monkeypatch.setattr(built, "probes", built.probes + 1)
    made = engine.fit(built, TRAINING, session(tmp_path / "found", said=said))
    assert made.states == whole.states
    assert any("of other probes" in one for one in said)


def test_however_long_a_launch_is(tmp_path, monkeypatch):
    short = engine.fit(programs("dann"), TRAINING, session(tmp_path / "short"))
    monkeypatch.setattr(resident, "LAUNCH_SECONDS", 1e9)
    built = programs("dann")
    monkeypatch.setattr(built, "stride", 8)
    long = engine.fit(built, TRAINING, session(tmp_path / "long"))
    assert short.states == long.states


def test_resumed_on_other_devices_it_is_the_same_but_for_the_rounding_of_sums(tmp_path, x64):
    """One device, then four, then two that work on each run together, and all again."""
    places = [programs("source_only", *where, double=True) for where in ((1, 1), (4, 1), (2, 2))]
    whole = engine.fit(places[0], TRAINING, session(tmp_path / "whole"))
    pieces, stops = interrupted(iter([*places, *places]), tmp_path / "pieces")
    assert stops == TRAINING.steps - 1
    for one, other in zip(leaves(pieces), leaves(whole), strict=True):
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_a_checkpoint_of_other_shapes_is_not_used_and_that_is_said(tmp_path):
    with pytest.raises(Stopped):
        engine.fit(programs("source_only"), TRAINING, session(tmp_path / "found", stop=True))
    said = []
    made = engine.fit(programs("dann"), TRAINING, session(tmp_path / "found", said=said))
    (message,) = said
    assert "skipped (it lacks 'carry/state/params/method/" in message
    assert made.states == engine.fit(programs("dann"), TRAINING, session(tmp_path / "none")).states


def test_what_was_going_on_is_said(tmp_path):
    built, said = programs("source_only"), []
    with pytest.raises(Stopped):
        engine.fit(built, TRAINING, session(tmp_path, stop=True))
    engine.fit(built, TRAINING, session(tmp_path, said=said))
    assert said == ["resuming from step 1"]


def test_of_another_commit_the_run_goes_on_and_says_with_which_it_was_begun(tmp_path):
    """However many sessions ago that was."""
    built, said = programs("source_only"), []
    for commit in ("first", "second", None):
        with pytest.raises(Stopped):
            engine.fit(built, TRAINING, session(tmp_path, stop=True, said=said, commit=commit))
    made = engine.fit(built, TRAINING, session(tmp_path, said=said, commit="first"))
    begun = "; started with commit first"
    assert said == [f"resuming from step 1{begun}", f"resuming from step 2{begun}", "resuming from step 3"]
    assert made.states == engine.fit(built, TRAINING, session(tmp_path / "none")).states


def test_no_more_is_saved_than_asked_for(tmp_path):
    asked = session(tmp_path)
    asked.checkpoint_seconds = 1e9
    engine.fit(programs("source_only"), TRAINING, asked)
    assert [path.name for path in asked.checkpoints.own.iterdir()] == ["000000006"]  # for publishing


@pytest.fixture
def tiny_data(monkeypatch):
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results folder and records of an undisturbed study."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
        return folder, study(folder)


def study(folder, name="source_only"):
    return da.study(experiments(name), da.Options(results=folder, progress="none", checkpoint_seconds=0)).records


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_published_runs_leave_no_checkpoint_and_no_lock(whole):
    folder, records = whole
    assert listing(folder) == ["runs"]
    assert listing(folder / "runs") == sorted(one.id for one in records)


def test_killed_while_publishing_the_rest_is_made_from_the_checkpoint_and_none_is_left(
    whole, tiny_data, tmp_path, monkeypatch
):
    publish, published = Records.publish, []

    def killed(self, record, predictions):
        if published:
            raise ZeroDivisionError  # stands for the end of the process: nothing is caught or cleared
        published.append(record.id)
        return publish(self, record, predictions)

    monkeypatch.setattr(Records, "publish", killed)
    with pytest.raises(ZeroDivisionError):
        study(tmp_path / "killed")
    monkeypatch.setattr(Records, "publish", publish)
    started, advance = [], InMemory.advance
    monkeypatch.setattr(
        InMemory, "advance", lambda self, carry, step, until: started.append(step) or advance(self, carry, step, until)
    )
    again = study(tmp_path / "killed")
    assert [one.result["state"] for one in again] == [one.result["state"] for one in whole[1]]
    assert started == []  # nothing is computed again
    assert listing(tmp_path / "killed") == ["runs"]


def test_a_full_disk_ends_in_one_message_and_the_same_command_goes_on(whole, tiny_data, tmp_path, monkeypatch):
    save, saves = Checkpoints.save, []

    def full(self, saved):
        saves.append(saved.step)
        if len(saves) == 3:
            raise StorageError("no room")
        save(self, saved)

    monkeypatch.setattr(Checkpoints, "save", full)
    with pytest.raises(StorageError, match="no room"):
        study(tmp_path / "full")
    monkeypatch.setattr(Checkpoints, "save", save)
    again = study(tmp_path / "full")
    assert [one.result["state"] for one in again] == [one.result["state"] for one in whole[1]]


def test_a_study_goes_on_from_no_checkpoint_of_other_data(tmp_path, monkeypatch, capsys):
    """Data whose files change between two commands: the runs start anew, and are those of the new data."""

    def shifted(by):
        monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name, by))

    def full(self, saved):
        if saved.step > 3:
            raise StorageError("no room")
        save(self, saved)

    save = Checkpoints.save
    shifted(0.8)
    monkeypatch.setattr(Checkpoints, "save", full)
    with pytest.raises(StorageError):
        study(tmp_path / "found")
    assert len(list(tmp_path.glob("found/checkpoints/*/0*"))) == 1
    monkeypatch.setattr(Checkpoints, "save", save)
    shifted(0.1)
    again, alone = study(tmp_path / "found"), study(tmp_path / "alone")
    assert [one.result["state"] for one in again] == [one.result["state"] for one in alone]
    said = capsys.readouterr().err
    assert said.count("is of other data") == 1
    assert "resuming" not in said


def test_digests_tell_runs_apart_by_one_bit():
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((2, 1), np.uint32)}
    first = engine.digests(engine.Carry(state, {}))
    state["a"][1, 2] = np.nextafter(np.float32(5), np.float32(6))
    second = engine.digests(engine.Carry(state, {}))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_progress_of_a_group_is_what_it_has_made(tiny_data, tmp_path, capsys):
    token = MODE.set("json")
    try:
        da.study(experiments("source_only"), da.Options(results=tmp_path, progress="json"))
    finally:
        MODE.reset(token)
    assert '"done": 4' in capsys.readouterr().out.splitlines()[-1]
