"""Studies compute the missing runs in as few programs as possible and score them after training."""

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
from da_bench.training import in_memory, streaming
from tests.helpers import tiny
from tests.helpers.images_on_disk import write_domains


@pytest.fixture
def tiny_data(monkeypatch):
    """Replace the data of every task with sixty rows."""
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))


@pytest.fixture
def options(tmp_path):
    return da.Options(results=tmp_path / "results", progress="none")


def experiments(seeds=2, **settings):
    method = settings.pop("method", da.methods.Dann(widths=settings.pop("widths", (4,))))
    experiment = da.Experiment(task="moons/35", method=method, model=tiny.MODEL, training=tiny.TRAINING, **settings)
    return da.over_seeds([experiment], seeds)


def record_programs(monkeypatch):
    """Record every program that is built from now on."""
    built = []
    build = fit.InMemory
    monkeypatch.setattr(fit, "InMemory", lambda *args: built.append(1) or build(*args))
    return built


def test_a_run_on_record_is_not_computed_again(tiny_data, options, monkeypatch):
    first = da.study(experiments(), options)
    monkeypatch.setattr(fit, "InMemory", None)  # would fail if called
    read, requested = Records.read, []
    monkeypatch.setattr(Records, "read", lambda self, run_id: requested.append(run_id) or read(self, run_id))
    assert da.study(experiments(), options).records == first.records
    assert requested == [experiment.id for experiment in experiments()]  # each once


def test_an_interrupted_study_computes_only_the_missing_runs(tiny_data, options, monkeypatch):
    runs = experiments(4)
    da.study(runs[1:3], options)
    computed = []
    score_run = in_process.score_run
    monkeypatch.setattr(
        in_process, "score_run", lambda run, group: computed.append(run.experiment.seed) or score_run(run, group)
    )
    results = da.study(runs, options)
    assert computed == [0, 3]
    assert [record.config["seed"] for record in results.records] == [0, 1, 2, 3]


def test_a_run_is_the_same_alone_and_in_a_group(tiny_data, tmp_path):
    together, alone = (da.Options(results=tmp_path / name, progress="none") for name in ("together", "alone"))
    da.study(experiments(3), together)
    for experiment in experiments(3):
        da.study([experiment], alone)
        files = [options.results / "runs" / experiment.id / "predictions.npz" for options in (together, alone)]
        first, second = (np.load(file) for file in files)
        assert all(np.array_equal(first[name], second[name]) for name in ("source_test", "target_test"))


def test_only_seeds_and_float_values_share_a_program(tiny_data, options, monkeypatch):
    built = record_programs(monkeypatch)
    grid = [
        experiment
        for weight in (0.0, 0.5, 2.0)
        for experiment in experiments(method=da.methods.Dann(weight=weight, widths=(4,)))
    ]
    slow = [
        dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, learning_rate=0.01))
        for experiment in grid
    ]
    da.study([*grid, *slow], options)
    assert len(built) == 1
    da.study(experiments(method=da.methods.Dann(widths=(5,))), options)
    assert len(built) == 2


def test_equal_programs_are_built_once_per_process(tiny_data, options, monkeypatch):
    built, over_runs = [], in_memory.over_runs
    monkeypatch.setattr(
        in_memory, "over_runs", lambda fn, *devices: built.append(fn.__name__) or over_runs(fn, *devices)
    )
    in_memory._compile_cached.cache_clear()
    for first, widths in ((0, (4,)), (2, (4,)), (4, (5,))):
        da.study(
            [
                dataclasses.replace(experiment, seed=first + experiment.seed)
                for experiment in experiments(widths=widths)
            ],
            options,
        )
    assert built == ["start", "launch", "evaluate"] * 2


def test_a_changed_method_of_the_user_is_compiled_again(tiny_data, options, monkeypatch):
    """As in a notebook, where a function is redefined and the class that calls it is not."""
    losses = []
    try:

        @register
        class Changing(Method):
            """Returns a global value as its loss."""

            def step(self, trainer, state, batch):
                return state._replace(step=state.step + 1), {"loss": jax.numpy.full((), LOSS[0])}

        for seed, LOSS[0] in enumerate((1.0, 2.0)):
            experiment = dataclasses.replace(experiments(1, method=Changing())[0], seed=seed)
            losses.append(da.study([experiment], options).records[0].curves["metrics"]["loss"])
    finally:
        METHODS._entries.pop("changing", None)
    assert losses == [[1.0] * 3, [2.0] * 3]


LOSS = [0.0]


def test_records_do_not_depend_on_target_labels(options, tmp_path, monkeypatch):
    """Permuted target labels change the accuracies of a run, but neither its predictions nor its validator scores."""

    def permuted(name, root=None, view=None):
        task = tiny.task(name)
        domains = (domain._replace(labels=(domain.labels + 1) % 3) for domain in task.target)
        return dataclasses.replace(task, target=type(task.target)(*domains))

    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
    original = da.study(experiments(1), options)
    monkeypatch.setattr(study_data, "load", permuted)
    permuted_results = da.study(experiments(1), da.Options(results=tmp_path / "permuted", progress="none"))
    first, second = original.records[0], permuted_results.records[0]
    assert first.curves["validators"] == second.curves["validators"]
    assert first.curves["metrics"] == second.curves["metrics"]
    steps_by_rule = [
        {rule: choice["step"] for rule, choice in record.result["rules"].items() if rule != "oracle"}
        for record in (first, second)
    ]
    assert steps_by_rule[0] == steps_by_rule[1]
    files = [options.results, tmp_path / "permuted"]
    arrays = [np.load(folder / "runs" / first.id / "predictions.npz") for folder in files]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in ("source_test", "target_test"))
    assert first.result["rules"]["last"]["target_accuracy"] != second.result["rules"]["last"]["target_accuracy"]


def test_the_option_for_all_validators_does_not_change_training(tiny_data, options, tmp_path):
    quick = da.study(experiments(1), options).records[0]
    all_validators = da.Options(results=tmp_path / "all", validators="all", progress="none")
    thorough = da.study(experiments(1), all_validators).records[0]
    assert thorough.result["state"] == quick.result["state"]
    assert set(thorough.result["rules"]) == set(RULES) - {"reverse_validation"}
    need_features = {name for name, validator in VALIDATORS.items() if "features" in validator.needs}
    assert set(thorough.result["rules"]) - set(quick.result["rules"]) == need_features
    assert all(len(scores) == 3 for scores in thorough.curves["validators"].values())
    for name, scores in quick.curves["validators"].items():
        assert thorough.curves["validators"][name] == scores
    assert set(thorough.result["transferability"]) == set(MEASURES)
    assert all(np.isfinite(value) for value in thorough.result["transferability"].values())
    assert quick.result["transferability"] is None


def test_probes_contain_no_target_label_and_few_rows_of_training_and_mixtures(monkeypatch):
    monkeypatch.setattr("da_bench.evaluation.validators.MAX_ROWS", 5)
    task, experiment = tiny.task(), experiments(1)[0]
    group = tiny.prepared(experiment, task)
    probe_by_name = group.probes
    assert {name: len(probe.inputs) for name, probe in probe_by_name.items()} == {
        "validation": 12, "target_validation": 12, "source_test": 18, "target_test": 18, "train": 5, "target_mixed": 5,
    }  # fmt: skip
    assert [name for name, probe in probe_by_name.items() if probe.of_target] == [
        "target_validation", "target_test", "target_mixed",
    ]  # fmt: skip
    rows = task.target.validation.inputs
    np.testing.assert_allclose(probe_by_name["target_mixed"].inputs[4], 0.55 * rows[4] + 0.45 * rows[0], rtol=1e-6)
    inputs = np.asarray(group.data.inputs)[group.data.probes]
    for name, rows_of_probe in zip(probes.FEATURE_PROBES, probes.feature_probe_indices(probe_by_name), strict=True):
        np.testing.assert_array_equal(inputs[rows_of_probe], np.asarray(probe_by_name[name].inputs)[:5])


def test_a_record_agrees_with_its_predictions(tiny_data, options):
    record = da.study(experiments(1), options).records[0]
    predicted = np.load(options.results / "runs" / record.id / "predictions.npz")["target_test"]
    labels = tiny.task().target.test.labels
    accuracies = (predicted == labels).mean(axis=1)
    np.testing.assert_allclose(record.curves["target_accuracy"], accuracies)
    assert record.curves["step"] == [4, 8, 12]
    assert record.result["rules"]["last"]["target_accuracy"] == pytest.approx(accuracies[-1])
    assert record.result["rules"]["oracle"]["target_accuracy"] == pytest.approx(accuracies.max())
    assert record.environment["data"] == tiny.task().fingerprint


def test_the_upper_bound_trains_on_target_labels_and_is_marked(tiny_data, options):
    source_only = experiments(1, method=SourceOnly())[0]
    bound = target_only(source_only)
    records = da.study([source_only, bound], options).records
    accuracies = [record.result["rules"]["last"]["target_accuracy"] for record in records]
    assert records[1].config["labels_from"] == "target"
    assert records[0].id != records[1].id
    assert accuracies[1] >= accuracies[0]


def test_a_diverged_run_is_recorded_at_chance_level(tiny_data, options):
    training = train.Training(steps=12, evaluations=3, batch_size=8, learning_rate=1e38)
    model = da.models.Mlp(hidden=(6,), activation="relu")
    experiment = da.Experiment(task="moons/35", method=SourceOnly(), model=model, training=training)
    record = da.study([experiment], options).records[0]
    assert record.result["status"] == "diverged"
    assert record.result["rules"]["last"]["target_accuracy"] == pytest.approx(1 / 3)
    assert record.result["proxy_a_distance"] is None


def test_the_record_of_a_skipped_run_gives_the_reason(tiny_data, options, monkeypatch):
    shown = []
    monkeypatch.setattr(SourceOnly, "skip", lambda self, task: shown.append(task) or "needs more than three classes")
    record = da.study(experiments(1, method=SourceOnly()), options).records[0]
    assert record.result["status"] == "skipped"
    assert all((part.labels == -1).all() for part in shown[0].target)  # no method is shown the target's labels
    assert record.result["reason"] == "needs more than three classes"


def test_results_print_and_write_all_tables(tiny_data, options, capsys):
    runs = [*experiments(2, method=SourceOnly()), *experiments(2), *experiments(1, method=LogisticRegression())]
    results = da.study([*runs, *map(target_only, runs[:2])], options)
    results.table()
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("source_only", "dann", "logistic_regression", "upper bound", "oracle*"))
    written = results.write("report")
    assert {path.suffix for path in written} == {".md", ".tex", ".csv", ".json", ".png", ".svg", ".xz"}
    assert all(path.stat().st_size > 0 for path in written)


@pytest.mark.parametrize("seeds", [0, -1])
def test_fewer_than_one_seed_is_refused(seeds, tiny_data, options):
    with pytest.raises(UserError, match=f"seeds = {seeds}"):
        da.run(SourceOnly(), task="moons/35", seeds=seeds, options=options)
    assert not options.results.exists()


def test_a_batch_larger_than_a_domain_is_refused_before_anything_is_written(tiny_data, options, monkeypatch):
    monkeypatch.setattr(train, "over_runs", None)
    training = train.Training(steps=12, evaluations=3, batch_size=31)
    with pytest.raises(UserError, match=r"batch_size = 31 .*30"):
        da.run(SourceOnly(), task="moons/35", training=training, options=options)
    assert not options.results.exists()


def test_more_devices_than_exist_are_refused(tiny_data, options):
    with pytest.raises(UserError, match=r"Options\.devices_per_run = 16 .*8"):
        da.study(experiments(1), dataclasses.replace(options, devices_per_run=16))
    assert not options.results.exists()


def test_rows_that_do_not_divide_over_devices_are_refused(tiny_data, options):
    with pytest.raises(UserError, match=r"Training\.batch_size = 8 .*Options\.devices_per_run = 3"):
        da.study(experiments(1), dataclasses.replace(options, devices_per_run=3, isolate=True))
    assert not options.results.exists()


@pytest.mark.parametrize("name", ["small_cnn", "lenet"])
def test_a_network_that_does_not_fit_the_inputs_is_refused_by_name(name, tiny_data, options):
    with pytest.raises(UserError, match=rf"model '{name}' .*moons/35.*\(2,\).*'mlp'"):
        da.run(SourceOnly(), task="moons/35", model=da.models.MODELS[name](), training=tiny.TRAINING, options=options)
    assert not options.results.exists()


def test_a_convolution_larger_than_its_input_is_refused(options):
    with pytest.raises(UserError, match=r"5x5.*2x2"):
        da.run(SourceOnly(), task="digits/synthetic-to-real", model=da.models.Lenet(), options=options)


@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_at_once_must_be_a_positive_integer(value):
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


def test_a_third_party_method_runs_like_a_built_in_one(tiny_data, options):
    """As the README promises, a method is one class and nothing else."""
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


def test_a_run_is_published_once_when_two_studies_compute_it(tiny_data, options):
    first = da.study(experiments(1), options).records[0]
    assert not Records(options.results).publish(first, {})
    assert Records(options.results).read(first.id) == first


IMAGES = "office31/amazon-to-webcam"
SMALL = da.models.MODELS["small_cnn"](channels=(4, 5), width=6)


def images(name, root=None, view=None):
    """A transductive task of twelve-pixel images under that name: all rows train and are scored."""
    generator = np.random.default_rng(0)

    def splits():
        labels = (np.arange(40) % 3).astype(np.int32)
        levels = generator.integers(0, 100, (40, 12, 12, 3)) + 50 * labels[:, None, None, None]
        stored = levels.astype(np.uint8)
        all_rows = Domain(Rows(stored, np.arange(40)), labels)
        held_out = Domain(Rows(stored, np.arange(0, 40, 3)), labels[::3])
        return Splits(all_rows, held_out, all_rows)

    return Task(name, ("a", "b", "c"), splits(), splits(), protocol="transductive")


def image_experiments(seeds=2, **view):
    image_view = View(pixels=8, **view)
    method = da.methods.Dann(widths=(4,))
    return da.over_seeds(
        [da.Experiment(task=IMAGES, method=method, model=SMALL, training=tiny.TRAINING, view=image_view)], seeds
    )


@pytest.fixture
def image_data(monkeypatch):
    monkeypatch.setattr(study_data, "load", images)


@pytest.mark.conformance
def test_streamed_runs_equal_runs_in_memory(image_data, tmp_path, monkeypatch):
    in_memory_folder, streamed_folder = (tmp_path / name for name in ("in_memory", "streamed"))
    first = da.study(image_experiments(), da.Options(results=in_memory_folder, progress="none")).records
    monkeypatch.setattr(fit, "InMemory", None)  # would fail if called
    settings = {"resident_gib": 0.0, "workers": 1, "progress": "none"}
    second = da.study(image_experiments(), da.Options(results=streamed_folder, **settings)).records
    assert [record.id for record in first] == [record.id for record in second]
    for in_memory_record, streamed_record in zip(first, second, strict=True):
        assert in_memory_record.result["rules"] == streamed_record.result["rules"]
        folders = [folder / "runs" / in_memory_record.id for folder in (in_memory_folder, streamed_folder)]
        files = [np.load(folder / "predictions.npz") for folder in folders]
        assert all(np.array_equal(files[0][name], files[1][name]) for name in files[0])
        # two seeds in one program round differently than one
        for name, curve in in_memory_record.curves["metrics"].items():
            np.testing.assert_allclose(curve, streamed_record.curves["metrics"][name], rtol=1e-5)


def test_data_are_streamed_if_they_exceed_resident_gib(image_data):
    task, experiment = images(IMAGES), image_experiments()[0]
    data = tiny.prepared(experiment, task).data
    mixed = len(task.target.validation.labels)
    # every image once, although it trains and is scored, and the mixtures that are probes
    assert data.inputs.nbytes == (2 * 40 + mixed) * 12 * 12 * 3
    gib = data.inputs.nbytes / 2**30
    assert not tiny.prepared(experiment, task, resident_gib=gib).streamed
    assert tiny.prepared(experiment, task, resident_gib=gib * 0.999).streamed


def test_another_view_is_another_program_with_another_result(image_data, options, monkeypatch):
    built = record_programs(monkeypatch)
    records = da.study([*image_experiments(1), *image_experiments(1, augment="none")], options).records
    assert len(built) == 2
    assert records[0].curves["metrics"] != records[1].curves["metrics"]


def test_streaming_without_grain_is_refused_before_anything_is_written(image_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    monkeypatch.setattr(streaming, "build", None)
    options = da.Options(results=tmp_path / "results", resident_gib=0.0, progress="none")
    with pytest.raises(UserError, match="pip install"):
        da.study(image_experiments(1), options)
    assert not options.results.exists()


def test_a_view_larger_than_the_images_is_refused(image_data, options):
    experiments_with_large_view = [
        dataclasses.replace(experiment, view=View(pixels=13)) for experiment in image_experiments(1)
    ]
    with pytest.raises(UserError, match=r"View\.pixels = 13"):
        da.study(experiments_with_large_view, options)


def test_classical_methods_get_the_same_inputs_as_a_network(rng):
    pixels = rng.integers(0, 256, (5, 12, 12, 3)).astype(np.uint8)
    assert fit.flatten_inputs(pixels).dtype == np.float64
    np.testing.assert_allclose(fit.flatten_inputs(pixels), pixels.reshape(5, -1) / 255, rtol=1e-6)
    viewed = fit.flatten_inputs(Rows(pixels, np.array([4, 2])), View(pixels=8))
    assert viewed.shape == (2, 8 * 8 * 3)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (pixels[[4, 2], 2:10, 2:10] / 255 - mean) / std
    np.testing.assert_allclose(viewed, expected.reshape(2, -1), atol=1e-5)


@pytest.mark.parametrize(("field", "value"), [("resident_gib", -1.0), ("workers", -1), ("workers", 1.5)])
def test_invalid_options_of_streaming_are_named(field, value):
    with pytest.raises(UserError, match=rf"Options\.{field}"):
        da.Options(**{field: value})


def run_on_files(task, options, **settings):
    """The record of a run of four steps on files on disk, through `da.run`."""
    model = SMALL if "view" in settings else None
    results = da.run(SourceOnly(), task, model=model, seeds=1, options=options, training=SHORT, **settings)
    return results.records[0]


SHORT = train.Training(steps=4, evaluations=1, batch_size=4)


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    return da.Options(results=tmp_path / "results", data_root=tmp_path / "root", progress="none")


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
def test_a_folder_of_images_outside_all_families_is_a_task(protocol, own_files):
    write_domains(own_files.data_root / "zoo")
    ending = "" if protocol == "inductive" else f"@{protocol}"
    record = run_on_files(f"zoo/photos-to-sketches{ending}", own_files, view=View(pixels=8))
    assert record.result["protocol"] == protocol
    assert record.result["classes"] == ["ant", "bee", "cow"]
    predicted = np.load(own_files.results / "runs" / record.id / "predictions.npz")["target_test"]
    assert predicted.shape == (1, 18 if protocol == "transductive" else 4)  # a fifth of 18


def test_tables_of_features_are_a_task(own_files, rng):
    for name, shift in {"a": 0.0, "b": 1.0}.items():
        (own_files.data_root / "mine").mkdir(parents=True, exist_ok=True)
        labels = np.arange(40) % 2
        features = rng.normal(size=(40, 3)) + 4 * labels[:, None] + shift
        np.savez(own_files.data_root / "mine" / f"{name}.npz", features=features, labels=labels)
    assert run_on_files("table/mine/a-to-b", own_files).result["classes"] == ["0", "1"]


def test_a_record_of_other_data_is_not_reused(own_files, tmp_path):
    write_domains(own_files.data_root / "zoo")
    run_on_files("zoo/photos-to-sketches", own_files, view=View(pixels=8))
    write_domains(tmp_path / "other" / "zoo", side=20)
    other = dataclasses.replace(own_files, data_root=tmp_path / "other")
    with pytest.raises(UserError, match=r"'zoo/photos-to-sketches' .*1"):
        run_on_files("zoo/photos-to-sketches", other, view=View(pixels=8))
    without_files = dataclasses.replace(own_files, data_root=tmp_path / "nothing")
    (tmp_path / "nothing").mkdir()
    assert run_on_files("zoo/photos-to-sketches", without_files, view=View(pixels=8)).result["status"] == "ok"


def test_tables_cannot_be_written_into_the_folder_of_records(tiny_data, options):
    with pytest.raises(UserError, match="runs"):
        da.study(experiments(1), options).write("runs")
