"""Runs that are stopped and resumed after any launch equal undisturbed runs."""

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
from da_bench.training import Training, in_memory, loop
from da_bench.training.checkpoints import Checkpoints
from da_bench.training.in_memory import Devices, InMemory
from tests.helpers import tiny

TRAINING = Training(steps=6, evaluations=2, batch_size=8, learning_rate=0.1)
DEEP = [name for name, cls in METHODS.items() if issubclass(cls, Method)]
SEEDS = 4


@pytest.fixture(autouse=True)
def one_step_per_launch(monkeypatch):
    """Make every launch one step long, after the first ones."""
    monkeypatch.setattr(in_memory, "LAUNCH_SECONDS", 0.0)


def experiments(name):
    method = METHODS[name]()
    experiment = da.Experiment(task="moons/35", method=method, model=tiny.model_for(method), training=TRAINING)
    return da.over_seeds([experiment], SEEDS)


@functools.cache
def programs(name, devices=1, per_run=1, double=False):
    """The program of a method, compiled once for all tests."""
    runs = [fit.run_of(experiment) for experiment in experiments(name)]
    group = tiny.prepared(experiments(name)[0], tiny.task())
    built = InMemory(runs, group.model, group.data, None, Devices(tuple(jax.devices()[:devices]), None, per_run))
    built.stride = 1
    return built


def session(folder, stop=False, messages=None, commit="c0ffee"):
    request, reporter = StopRequest(), ProgressReporter(SEEDS, 1)
    request.signal = 15 if stop else None
    reporter.note = print if messages is None else messages.append
    return loop.Session(Checkpoints(folder, [str(i) for i in range(SEEDS)], "data"), 0.0, reporter, request, commit)


def run_with_stops(built, folder):
    """Stop a run after every launch; return its result and the number of stops."""
    stops = 0
    while True:
        try:
            return loop.fit(next(built), TRAINING, session(folder, stop=True)), stops
        except Stopped:
            stops += 1


def repeat_forever(program):
    while True:
        yield program


def leaves(result):
    return jax.tree.leaves(result._replace(states=None, seconds=None))


@pytest.mark.parametrize("name", tiny.one_of_each_kind(DEEP))
def test_a_run_stopped_after_every_launch_equals_an_undisturbed_one(name, tmp_path):
    built = programs(name)
    undisturbed = loop.fit(built, TRAINING, session(tmp_path / "undisturbed"))
    resumed, stops = run_with_stops(repeat_forever(built), tmp_path / "resumed")
    assert stops == TRAINING.steps - 1
    assert len(set(undisturbed.states)) == SEEDS
    assert resumed.states == undisturbed.states
    for resumed_leaf, undisturbed_leaf in zip(leaves(resumed), leaves(undisturbed), strict=True):
        np.testing.assert_array_equal(resumed_leaf, undisturbed_leaf)


def test_requested_features_are_kept_at_every_evaluation_and_across_stops(tmp_path):
    built, rows = programs("source_only"), np.array([0, 3, 20])

    def fit(folder, stop=False):
        run_session = session(folder, stop=stop)
        run_session.kept_features = rows
        return loop.fit(built, TRAINING, run_session)

    undisturbed = fit(tmp_path / "undisturbed")
    assert undisturbed.kept_features.shape == (SEEDS, TRAINING.evaluations, 3, 6)
    np.testing.assert_array_equal(undisturbed.kept_features[:, -1], undisturbed.features[:, rows])
    assert not np.array_equal(undisturbed.kept_features[:, 0], undisturbed.kept_features[:, 1])
    for _ in range(TRAINING.steps - 1):
        with pytest.raises(Stopped):
            fit(tmp_path / "resumed", stop=True)
    np.testing.assert_array_equal(fit(tmp_path / "resumed").kept_features, undisturbed.kept_features)


def test_the_kept_state_is_that_of_the_latest_best_evaluation_and_survives_stops(tmp_path):
    """With given scores [e, runs]: the kept states predict what the runs predicted at that evaluation."""
    scores, best = np.array([[2.0, 1, 0, 5], [1.0, 1, 3, 4]]), [0, 1, 1, 0]
    built, experiment = programs("source_only"), experiments("source_only")[0]
    group = tiny.prepared(experiment, tiny.task())
    model, data = group.model, group.data
    without_scores = loop.fit(built, TRAINING, session(tmp_path / "plain"))
    logits_of_evaluations = [without_scores.logits[:, e].tobytes() for e in range(TRAINING.evaluations)]

    def fit(folder, stop=False):
        run_session = session(folder, stop=stop)
        run_session.checkpoint_score = lambda logits: scores[logits_of_evaluations.index(logits.tobytes())]
        return loop.fit(built, TRAINING, run_session)

    for _ in range(TRAINING.steps - 1):
        with pytest.raises(Stopped):
            fit(tmp_path / "resumed", stop=True)
    undisturbed, resumed = fit(tmp_path / "undisturbed").best, fit(tmp_path / "resumed").best
    jax.tree.map(np.testing.assert_array_equal, resumed, undisturbed)
    np.testing.assert_array_equal(undisturbed.scores, scores.max(axis=0))
    for i, e in enumerate(best):
        state = jax.tree.map(lambda leaf, i=i: leaf[i], undisturbed.state)
        output, _ = models.forward(model, state.params["model"], state.stats, data.inputs[data.probes])
        np.testing.assert_allclose(output.logits, without_scores.logits[i, e], rtol=1e-5, atol=1e-6)


def test_a_checkpoint_without_the_requested_features_is_not_used(tmp_path):
    built, messages = programs("source_only"), []
    for _ in range(4):  # past the first evaluation
        with pytest.raises(Stopped):
            loop.fit(built, TRAINING, session(tmp_path, stop=True))
    run_session = session(tmp_path, messages=messages)
    run_session.kept_features = np.array([1])
    assert loop.fit(built, TRAINING, run_session).kept_features.shape[:3] == (SEEDS, TRAINING.evaluations, 1)
    assert any("kept_features" in message for message in messages)


def test_a_checkpoint_without_the_best_state_is_not_used(tmp_path):
    built, messages = programs("source_only"), []
    loop.fit(built, TRAINING, session(tmp_path))
    run_session = session(tmp_path, messages=messages)
    run_session.checkpoint_score = lambda logits: np.zeros(SEEDS)
    assert loop.fit(built, TRAINING, run_session).best is not None
    assert any("best/scores" in message for message in messages)


def test_a_checkpoint_with_other_probes_is_not_used(tmp_path, monkeypatch):
    built, messages = programs("source_only"), []
    undisturbed = loop.fit(built, TRAINING, session(tmp_path / "undisturbed"))
    for _ in range(4):
        with pytest.raises(Stopped):
            loop.fit(built, TRAINING, session(tmp_path / "resumed", stop=True))
    monkeypatch.setattr(built, "probes", built.probes + 1)
    result = loop.fit(built, TRAINING, session(tmp_path / "resumed", messages=messages))
    assert result.states == undisturbed.states
    assert any("of other probes" in message for message in messages)


def test_the_result_does_not_depend_on_the_length_of_a_launch(tmp_path, monkeypatch):
    short = loop.fit(programs("dann"), TRAINING, session(tmp_path / "short"))
    monkeypatch.setattr(in_memory, "LAUNCH_SECONDS", 1e9)
    built = programs("dann")
    monkeypatch.setattr(built, "stride", 8)
    long = loop.fit(built, TRAINING, session(tmp_path / "long"))
    assert short.states == long.states


def test_a_run_resumed_on_other_devices_is_equal_up_to_rounding(tmp_path, x64):
    """One device, then four, then two per run, and the same three again."""
    built = [programs("source_only", *devices, double=True) for devices in ((1, 1), (4, 1), (2, 2))]
    undisturbed = loop.fit(built[0], TRAINING, session(tmp_path / "undisturbed"))
    resumed, stops = run_with_stops(iter([*built, *built]), tmp_path / "resumed")
    assert stops == TRAINING.steps - 1
    for resumed_leaf, undisturbed_leaf in zip(leaves(resumed), leaves(undisturbed), strict=True):
        assert resumed_leaf.dtype == np.float64
        np.testing.assert_allclose(resumed_leaf, undisturbed_leaf, rtol=0, atol=1e-12)


def test_a_checkpoint_of_other_shapes_is_reported_and_not_used(tmp_path):
    with pytest.raises(Stopped):
        loop.fit(programs("source_only"), TRAINING, session(tmp_path / "resumed", stop=True))
    messages = []
    result = loop.fit(programs("dann"), TRAINING, session(tmp_path / "resumed", messages=messages))
    (message,) = messages
    assert "skipped (it lacks 'carry/state/params/method/" in message
    assert result.states == loop.fit(programs("dann"), TRAINING, session(tmp_path / "none")).states


def test_resuming_is_reported(tmp_path):
    built, messages = programs("source_only"), []
    with pytest.raises(Stopped):
        loop.fit(built, TRAINING, session(tmp_path, stop=True))
    loop.fit(built, TRAINING, session(tmp_path, messages=messages))
    assert messages == ["resuming from step 1"]


def test_a_run_resumed_with_another_commit_reports_the_commit_it_started_with(tmp_path):
    """Also after several sessions."""
    built, messages = programs("source_only"), []
    for commit in ("first", "second", None):
        with pytest.raises(Stopped):
            loop.fit(built, TRAINING, session(tmp_path, stop=True, messages=messages, commit=commit))
    result = loop.fit(built, TRAINING, session(tmp_path, messages=messages, commit="first"))
    origin = "; started with commit first"
    assert messages == [f"resuming from step 1{origin}", f"resuming from step 2{origin}", "resuming from step 3"]
    assert result.states == loop.fit(built, TRAINING, session(tmp_path / "none")).states


def test_checkpoints_are_saved_no_more_often_than_requested(tmp_path):
    run_session = session(tmp_path)
    run_session.checkpoint_seconds = 1e9
    loop.fit(programs("source_only"), TRAINING, run_session)
    assert [path.name for path in run_session.checkpoints.own.iterdir()] == ["000000006"]  # for publishing


@pytest.fixture
def tiny_data(monkeypatch):
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The results folder and records of an undisturbed study."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
        return folder, study(folder)


def study(folder, name="source_only"):
    return da.study(experiments(name), da.Options(results=folder, progress="none", checkpoint_seconds=0)).records


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_published_runs_leave_no_checkpoint_and_no_lock(undisturbed):
    folder, records = undisturbed
    assert listing(folder) == ["runs"]
    assert listing(folder / "runs") == sorted(record.id for record in records)


def test_a_study_killed_while_publishing_continues_from_its_checkpoint(undisturbed, tiny_data, tmp_path, monkeypatch):
    publish, published = Records.publish, []

    def killed(self, record, predictions):
        if published:
            raise ZeroDivisionError  # in place of SIGKILL: nothing catches it and nothing is removed
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
    resumed = study(tmp_path / "killed")
    assert [record.result["state"] for record in resumed] == [record.result["state"] for record in undisturbed[1]]
    assert started == []  # nothing is computed again
    assert listing(tmp_path / "killed") == ["runs"]


def test_after_a_full_disk_the_same_command_resumes(undisturbed, tiny_data, tmp_path, monkeypatch):
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
    resumed = study(tmp_path / "full")
    assert [record.result["state"] for record in resumed] == [record.result["state"] for record in undisturbed[1]]


def test_a_study_does_not_resume_from_a_checkpoint_of_other_data(tmp_path, monkeypatch, capsys):
    """If the data change between two commands, the runs start again and equal runs on the new data."""

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
        study(tmp_path / "resumed")
    assert len(list(tmp_path.glob("resumed/checkpoints/*/0*"))) == 1
    monkeypatch.setattr(Checkpoints, "save", save)
    shifted(0.1)
    resumed, alone = study(tmp_path / "resumed"), study(tmp_path / "alone")
    assert [record.result["state"] for record in resumed] == [record.result["state"] for record in alone]
    messages = capsys.readouterr().err
    assert messages.count("is of other data") == 1
    assert "resuming" not in messages


def test_digests_differ_after_a_change_of_one_bit():
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((2, 1), np.uint32)}
    first = loop.digests(loop.Carry(state, {}))
    state["a"][1, 2] = np.nextafter(np.float32(5), np.float32(6))
    second = loop.digests(loop.Carry(state, {}))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_progress_counts_all_runs_of_a_group(tiny_data, tmp_path, capsys):
    token = MODE.set("json")
    try:
        da.study(experiments("source_only"), da.Options(results=tmp_path, progress="json"))
    finally:
        MODE.reset(token)
    assert '"done": 4' in capsys.readouterr().out.splitlines()[-1]
