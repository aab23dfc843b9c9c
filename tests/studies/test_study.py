"""Studies: what is missing is made, in as few programs as can be, and judged after training."""

import dataclasses
import sys

import jax
import numpy as np
import pytest
from da_bench.baselines import target_only

import da_bench as da
from da_bench import training as train
from da_bench.classical import LogisticRegression
from da_bench.core.config import UserError
from da_bench.core.types import Domain, Splits, Task
from da_bench.data.lazy_arrays import Rows
from da_bench.data.transforms import View
from da_bench.evaluation import probes
from da_bench.evaluation.transferability import MEASURES
from da_bench.evaluation.validators import RULES, VALIDATORS
from da_bench.methods import METHODS, Method, SourceOnly, register
from da_bench.studies import data as study_data
from da_bench.studies import fit
from da_bench.studies.executors import in_process
from da_bench.studies.records import Records
from da_bench.training import in_memory as resident
from da_bench.training import streaming as stream
from tests.helpers import tiny
from tests.helpers.images_on_disk import write_domains


@pytest.fixture
def tiny_data(monkeypatch):
    """The registered task's name, with data of sixty rows."""
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))


@pytest.fixture
def options(tmp_path):
    return da.Options(results=tmp_path / "results", progress="none")


def experiments(seeds=2, **settings):
    method = settings.pop("method", da.methods.Dann(widths=settings.pop("widths", (4,))))
    one = da.Experiment(task="moons/35", method=method, model=tiny.MODEL, training=tiny.TRAINING, **settings)
    return da.over_seeds([one], seeds)


def compiled(monkeypatch):
    """Counts the programs that are built."""
    built = []
    build = fit.InMemory
    monkeypatch.setattr(fit, "InMemory", lambda *args: built.append(1) or build(*args))
    return built


def test_a_run_on_record_is_not_made_again(tiny_data, options, monkeypatch):
    first = da.study(experiments(), options)
    monkeypatch.setattr(fit, "InMemory", None)  # would fail if called
    read, asked = Records.read, []
    monkeypatch.setattr(Records, "read", lambda self, run_id: asked.append(run_id) or read(self, run_id))
    assert da.study(experiments(), options).records == first.records
    assert asked == [one.id for one in experiments()]  # each once


def test_an_interrupted_study_makes_what_is_missing(tiny_data, options, monkeypatch):
    whole = experiments(4)
    da.study(whole[1:3], options)
    made = []
    score_run = in_process.score_run
    monkeypatch.setattr(
        in_process, "score_run", lambda run, group: made.append(run.experiment.seed) or score_run(run, group)
    )
    results = da.study(whole, options)
    assert made == [0, 3]
    assert [record.config["seed"] for record in results.records] == [0, 1, 2, 3]


def test_a_run_is_the_same_alone_and_in_a_group(tiny_data, tmp_path):
    together, alone = (da.Options(results=tmp_path / name, progress="none") for name in ("together", "alone"))
    da.study(experiments(3), together)
    for one in experiments(3):
        da.study([one], alone)
        files = [options.results / "runs" / one.id / "predictions.npz" for options in (together, alone)]
        first, second = (np.load(file) for file in files)
        assert all(np.array_equal(first[name], second[name]) for name in ("source_test", "target_test"))


def test_seeds_and_float_values_share_a_program_and_the_rest_does_not(tiny_data, options, monkeypatch):
    built = compiled(monkeypatch)
    grid = [
        one for weight in (0.0, 0.5, 2.0) for one in experiments(method=da.methods.Dann(weight=weight, widths=(4,)))
    ]
    slow = [dataclasses.replace(one, training=dataclasses.replace(one.training, learning_rate=0.01)) for one in grid]
    da.study([*grid, *slow], options)
    assert len(built) == 1
    da.study(experiments(method=da.methods.Dann(widths=(5,))), options)
    assert len(built) == 2


def test_equal_programs_are_made_once_a_process(tiny_data, options, monkeypatch):
    made, over_runs = [], resident.over_runs
    monkeypatch.setattr(resident, "over_runs", lambda fn, *where: made.append(fn.__name__) or over_runs(fn, *where))
    resident._compile_cached.cache_clear()
    for first, widths in ((0, (4,)), (2, (4,)), (4, (5,))):
        da.study([dataclasses.replace(one, seed=first + one.seed) for one in experiments(widths=widths)], options)
    assert made == ["start", "launch", "evaluate"] * 2


def test_a_method_of_ones_own_may_have_changed_since(tiny_data, options, monkeypatch):
    """As in a notebook, where a function is defined again and the class that calls it is not."""
    losses = []
    try:

        @register
        class Changing(Method):
            """Says what it is told."""

            def step(self, trainer, state, batch):
                return state._replace(step=state.step + 1), {"loss": jax.numpy.full((), SAID[0])}

        for seed, SAID[0] in enumerate((1.0, 2.0)):
            one = dataclasses.replace(experiments(1, method=Changing())[0], seed=seed)
            losses.append(da.study([one], options).records[0].curves["metrics"]["loss"])
    finally:
        METHODS._entries.pop("changing", None)
    assert losses == [[1.0] * 3, [2.0] * 3]


SAID = [0.0]


def test_records_do_not_depend_on_target_labels(options, tmp_path, monkeypatch):
    """Permuted labels change the scores of a run, and nothing that it predicts or that a validator says."""

    def permuted(name, root=None, view=None):
        task = tiny.task(name)
        moved = (domain._replace(labels=(domain.labels + 1) % 3) for domain in task.target)
        return dataclasses.replace(task, target=type(task.target)(*moved))

    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
    honest = da.study(experiments(1), options)
    monkeypatch.setattr(study_data, "load", permuted)
    blind = da.study(experiments(1), da.Options(results=tmp_path / "blind", progress="none"))
    first, second = honest.records[0], blind.records[0]
    assert first.curves["validators"] == second.curves["validators"]
    assert first.curves["metrics"] == second.curves["metrics"]
    chosen = [
        {rule: one["step"] for rule, one in record.result["rules"].items() if rule != "oracle"}
        for record in (first, second)
    ]
    assert chosen[0] == chosen[1]
    files = [options.results, tmp_path / "blind"]
    arrays = [np.load(folder / "runs" / first.id / "predictions.npz") for folder in files]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in ("source_test", "target_test"))
    assert first.result["rules"]["last"]["target_accuracy"] != second.result["rules"]["last"]["target_accuracy"]


def test_all_validators_judge_where_they_are_asked_to_and_the_training_is_the_same(tiny_data, options, tmp_path):
    quick = da.study(experiments(1), options).records[0]
    every = da.Options(results=tmp_path / "all", validators="all", progress="none")
    thorough = da.study(experiments(1), every).records[0]
    assert thorough.result["state"] == quick.result["state"]
    assert set(thorough.result["rules"]) == set(RULES) - {"reverse_validation"}
    needy = {name for name, one in VALIDATORS.items() if "features" in one.needs}
    assert set(thorough.result["rules"]) - set(quick.result["rules"]) == needy
    assert all(len(scores) == 3 for scores in thorough.curves["validators"].values())
    for name, scores in quick.curves["validators"].items():
        assert thorough.curves["validators"][name] == scores
    assert set(thorough.result["transferability"]) == set(MEASURES)
    assert all(np.isfinite(value) for value in thorough.result["transferability"].values())
    assert quick.result["transferability"] is None


def test_probes_hold_no_target_label_and_of_training_and_mixtures_only_the_first_rows(monkeypatch):
    monkeypatch.setattr("da_bench.evaluation.validators.MAX_ROWS", 5)
    task, one = tiny.task(), experiments(1)[0]
    group = tiny.prepared(one, task)
    held_out = group.probes
    assert {name: len(probe.inputs) for name, probe in held_out.items()} == {
        "validation": 12, "target_validation": 12, "source_test": 18, "target_test": 18, "train": 5, "target_mixed": 5,
    }  # fmt: skip
    assert [name for name, probe in held_out.items() if probe.of_target] == [
        "target_validation", "target_test", "target_mixed",
    ]  # fmt: skip
    rows = task.target.validation.inputs
    np.testing.assert_allclose(held_out["target_mixed"].inputs[4], 0.55 * rows[4] + 0.45 * rows[0], rtol=1e-6)
    found = np.asarray(group.data.inputs)[group.data.probes]
    for name, where in zip(probes.FEATURE_PROBES, probes.feature_probe_indices(held_out), strict=True):
        np.testing.assert_array_equal(found[where], np.asarray(held_out[name].inputs)[:5])


def test_the_record_says_what_its_predictions_say(tiny_data, options):
    record = da.study(experiments(1), options).records[0]
    predicted = np.load(options.results / "runs" / record.id / "predictions.npz")["target_test"]
    labels = tiny.task().target.test.labels
    accuracies = (predicted == labels).mean(axis=1)
    np.testing.assert_allclose(record.curves["target_accuracy"], accuracies)
    assert record.curves["step"] == [4, 8, 12]
    assert record.result["rules"]["last"]["target_accuracy"] == pytest.approx(accuracies[-1])
    assert record.result["rules"]["oracle"]["target_accuracy"] == pytest.approx(accuracies.max())
    assert record.environment["data"] == tiny.task().fingerprint


def test_the_bound_trains_on_target_labels_and_is_marked(tiny_data, options):
    source_only = experiments(1, method=SourceOnly())[0]
    bound = target_only(source_only)
    records = da.study([source_only, bound], options).records
    accuracies = [record.result["rules"]["last"]["target_accuracy"] for record in records]
    assert records[1].config["labels_from"] == "target"
    assert records[0].id != records[1].id
    assert accuracies[1] >= accuracies[0]


def test_a_diverged_run_is_kept_at_chance(tiny_data, options):
    training = train.Training(steps=12, evaluations=3, batch_size=8, learning_rate=1e38)
    model = da.models.Mlp(hidden=(6,), activation="relu")
    one = da.Experiment(task="moons/35", method=SourceOnly(), model=model, training=training)
    record = da.study([one], options).records[0]
    assert record.result["status"] == "diverged"
    assert record.result["rules"]["last"]["target_accuracy"] == pytest.approx(1 / 3)
    assert record.result["proxy_a_distance"] is None


def test_a_method_that_cannot_run_says_why_in_its_record(tiny_data, options, monkeypatch):
    shown = []
    monkeypatch.setattr(SourceOnly, "skip", lambda self, task: shown.append(task) or "needs more than three classes")
    record = da.study(experiments(1, method=SourceOnly()), options).records[0]
    assert record.result["status"] == "skipped"
    assert all((part.labels == -1).all() for part in shown[0].target)  # no method is shown the target's labels
    assert record.result["reason"] == "needs more than three classes"


def test_a_table_of_it_all(tiny_data, options, capsys):
    runs = [*experiments(2, method=SourceOnly()), *experiments(2), *experiments(1, method=LogisticRegression())]
    results = da.study([*runs, *map(target_only, runs[:2])], options)
    results.table()
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("source_only", "dann", "logistic_regression", "upper bound", "oracle*"))
    written = results.write("report")
    assert {path.suffix for path in written} == {".md", ".tex", ".csv", ".json", ".png", ".svg", ".xz"}
    assert all(path.stat().st_size > 0 for path in written)


@pytest.mark.parametrize("seeds", [0, -1])
def test_no_seeds_are_refused(seeds, tiny_data, options):
    with pytest.raises(UserError, match=f"seeds = {seeds}"):
        da.run(SourceOnly(), task="moons/35", seeds=seeds, options=options)
    assert not options.results.exists()


def test_a_batch_larger_than_a_domain_is_refused_before_anything_is_made(tiny_data, options, monkeypatch):
    monkeypatch.setattr(train, "over_runs", None)
    training = train.Training(steps=12, evaluations=3, batch_size=31)
    with pytest.raises(UserError, match=r"batch_size = 31 is more than the 30 rows of the labelled training split"):
        da.run(SourceOnly(), task="moons/35", training=training, options=options)
    assert not options.results.exists()


def test_more_devices_than_there_are_are_refused(tiny_data, options):
    with pytest.raises(UserError, match=r"Options\.devices_per_run = 16 is more than the 8 devices that there are"):
        da.study(experiments(1), dataclasses.replace(options, devices_per_run=16))
    assert not options.results.exists()


def test_rows_that_do_not_divide_over_devices_are_refused(tiny_data, options):
    with pytest.raises(UserError, match=r"Training\.batch_size = 8 must divide by Options\.devices_per_run = 3"):
        da.study(experiments(1), dataclasses.replace(options, devices_per_run=3, isolate=True))
    assert not options.results.exists()


@pytest.mark.parametrize("name", ["small_cnn", "lenet"])
def test_a_network_that_does_not_fit_is_refused_by_name(name, tiny_data, options):
    with pytest.raises(UserError, match=rf"model '{name}' cannot take the inputs of moons/35, of shape \(2,\).*'mlp'"):
        da.run(SourceOnly(), task="moons/35", model=da.models.MODELS[name](), training=tiny.TRAINING, options=options)
    assert not options.results.exists()


def test_a_convolution_larger_than_its_input_is_refused(options):
    with pytest.raises(UserError, match="5x5 convolution does not fit into 2x2"):
        da.run(SourceOnly(), task="digits/synthetic-to-real", model=da.models.Lenet(), options=options)


@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_at_once_counts(value):
    with pytest.raises(UserError, match=r"Options\.at_once"):
        da.Options(at_once=value)


def test_a_list_of_methods_is_a_sweep(tiny_data, options):
    methods = [da.methods.Coral(weight=weight) for weight in (0.1, 1.0)]
    settings = {"model": tiny.MODEL, "training": tiny.TRAINING}
    results = da.run(methods, task="moons/35", seeds=2, options=options, **settings)
    assert [(record.config["method"]["weight"], record.config["seed"]) for record in results.records] == [
        (0.1, 0),
        (0.1, 1),
        (1.0, 0),
        (1.0, 1),
    ]


def test_a_method_of_a_third_party_runs_like_ours(tiny_data, options):
    """The README's promise: one class, nothing else."""
    try:

        @register
        class Nothing(Method):
            """Does nothing at all."""

            def step(self, trainer, state, batch):
                return state._replace(step=state.step + 1), {"loss": jax.numpy.zeros(())}

        record = da.study(experiments(1, method=Nothing()), options).records[0]
        assert record.config["method"] == {"name": "nothing"}
        assert record.result["status"] == "ok"
    finally:
        METHODS._entries.pop("nothing", None)


def test_published_once_when_two_studies_make_the_same_run(tiny_data, options):
    first = da.study(experiments(1), options).records[0]
    assert not Records(options.results).publish(first, {})
    assert Records(options.results).read(first.id) == first


IMAGES = "office31/amazon-to-webcam"
SMALL = da.models.MODELS["small_cnn"](channels=(4, 5), width=6)


def images(name, root=None, view=None):
    """The named task, of twelve-pixel images, transductive: all rows train and are scored."""
    generator = np.random.default_rng(0)

    def whole():
        labels = (np.arange(40) % 3).astype(np.int32)
        grey = generator.integers(0, 100, (40, 12, 12, 3)) + 50 * labels[:, None, None, None]
        stored = grey.astype(np.uint8)
        every = Domain(Rows(stored, np.arange(40)), labels)
        held_out = Domain(Rows(stored, np.arange(0, 40, 3)), labels[::3])
        return Splits(every, held_out, every)

    return Task(name, ("a", "b", "c"), whole(), whole(), protocol="transductive")


def of_images(seeds=2, **view):
    seen = View(pixels=8, **view)
    method = da.methods.Dann(widths=(4,))
    return da.over_seeds(
        [da.Experiment(task=IMAGES, method=method, model=SMALL, training=tiny.TRAINING, view=seen)], seeds
    )


@pytest.fixture
def image_data(monkeypatch):
    monkeypatch.setattr(study_data, "load", images)


def test_streamed_records_are_the_resident_ones(image_data, tmp_path, monkeypatch):
    resident, streamed = (tmp_path / name for name in ("resident", "streamed"))
    first = da.study(of_images(), da.Options(results=resident, progress="none")).records
    monkeypatch.setattr(fit, "InMemory", None)  # would fail if called
    settings = {"resident_gib": 0.0, "workers": 1, "progress": "none"}
    second = da.study(of_images(), da.Options(results=streamed, **settings)).records
    assert [one.id for one in first] == [one.id for one in second]
    for mine, yours in zip(first, second, strict=True):
        assert mine.result["rules"] == yours.result["rules"]
        files = [np.load(folder / "runs" / mine.id / "predictions.npz") for folder in (resident, streamed)]
        assert all(np.array_equal(files[0][name], files[1][name]) for name in files[0])
        for name, curve in mine.curves["metrics"].items():  # side by side, two seeds round otherwise than alone
            np.testing.assert_allclose(curve, yours.curves["metrics"][name], rtol=1e-5)


def test_what_fits_is_decided_by_bytes(image_data):
    task, experiment = images(IMAGES), of_images()[0]
    data = tiny.prepared(experiment, task).data
    mixed = len(task.target.validation.labels)
    # each image once, though it trains and is scored; and the mixtures that are probes
    assert data.inputs.nbytes == (2 * 40 + mixed) * 12 * 12 * 3
    gib = data.inputs.nbytes / 2**30
    assert not tiny.prepared(experiment, task, resident_gib=gib).streamed
    assert tiny.prepared(experiment, task, resident_gib=gib * 0.999).streamed


def test_another_view_is_another_program_and_another_result(image_data, options, monkeypatch):
    built = compiled(monkeypatch)
    records = da.study([*of_images(1), *of_images(1, augment="none")], options).records
    assert len(built) == 2
    assert records[0].curves["metrics"] != records[1].curves["metrics"]


def test_streaming_without_its_package_is_refused_before_anything_is_made(image_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    monkeypatch.setattr(stream, "build", None)
    options = da.Options(results=tmp_path / "results", resident_gib=0.0, progress="none")
    with pytest.raises(UserError, match="pip install"):
        da.study(of_images(1), options)
    assert not options.results.exists()


def test_a_view_that_is_larger_than_the_images_is_refused_as_such(image_data, options):
    wide = [dataclasses.replace(one, view=View(pixels=13)) for one in of_images(1)]
    with pytest.raises(UserError, match=r"View\.pixels = 13"):
        da.study(wide, options)


def test_shallow_methods_see_what_a_network_sees(rng):
    grey = rng.integers(0, 256, (5, 12, 12, 3)).astype(np.uint8)
    assert fit.flatten_inputs(grey).dtype == np.float64
    np.testing.assert_allclose(fit.flatten_inputs(grey), grey.reshape(5, -1) / 255, rtol=1e-6)
    seen = fit.flatten_inputs(Rows(grey, np.array([4, 2])), View(pixels=8))
    assert seen.shape == (2, 8 * 8 * 3)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    by_hand = (grey[[4, 2], 2:10, 2:10] / 255 - mean) / std
    np.testing.assert_allclose(seen, by_hand.reshape(2, -1), atol=1e-5)


@pytest.mark.parametrize(("field", "value"), [("resident_gib", -1.0), ("workers", -1), ("workers", 1.5)])
def test_wrong_options_of_streaming_are_refused_by_name(field, value):
    with pytest.raises(UserError, match=rf"Options\.{field}"):
        da.Options(**{field: value})


def made(task, options, **settings):
    """The record of four steps on files that are read, through the front door."""
    model = SMALL if "view" in settings else None
    results = da.run(SourceOnly(), task, model=model, seeds=1, options=options, training=SHORT, **settings)
    return results.records[0]


SHORT = train.Training(steps=4, evaluations=1, batch_size=4)


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    return da.Options(results=tmp_path / "results", data_root=tmp_path / "root", progress="none")


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
def test_a_folder_of_images_that_no_family_knows(protocol, own_files):
    write_domains(own_files.data_root / "zoo")
    ending = "" if protocol == "inductive" else f"@{protocol}"
    record = made(f"zoo/photos-to-sketches{ending}", own_files, view=View(pixels=8))
    assert record.result["protocol"] == protocol
    assert record.result["classes"] == ["ant", "bee", "cow"]
    predicted = np.load(own_files.results / "runs" / record.id / "predictions.npz")["target_test"]
    assert predicted.shape == (1, 18 if protocol == "transductive" else 4)  # a fifth of 18


def test_tables_of_features(own_files, rng):
    for name, shift in {"a": 0.0, "b": 1.0}.items():
        (own_files.data_root / "mine").mkdir(parents=True, exist_ok=True)
        labels = np.arange(40) % 2
        features = rng.normal(size=(40, 3)) + 4 * labels[:, None] + shift
        np.savez(own_files.data_root / "mine" / f"{name}.npz", features=features, labels=labels)
    assert made("table/mine/a-to-b", own_files).result["classes"] == ["0", "1"]


def test_a_record_of_other_data_is_not_reused(own_files, tmp_path):
    write_domains(own_files.data_root / "zoo")
    made("zoo/photos-to-sketches", own_files, view=View(pixels=8))
    write_domains(tmp_path / "other" / "zoo", side=20)
    other = dataclasses.replace(own_files, data_root=tmp_path / "other")
    with pytest.raises(UserError, match=r"'zoo/photos-to-sketches' is not the data that 1 of its records"):
        made("zoo/photos-to-sketches", other, view=View(pixels=8))
    gone = dataclasses.replace(own_files, data_root=tmp_path / "nothing")
    (tmp_path / "nothing").mkdir()
    assert made("zoo/photos-to-sketches", gone, view=View(pixels=8)).result["status"] == "ok"


def test_tables_never_lie_among_records(tiny_data, options):
    with pytest.raises(UserError, match="another name"):
        da.study(experiments(1), options).write("runs")
