import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data import domains, tasks
from da_bench.data.domains import DomainData
from da_bench.data.family import FAMILIES, Examples
from da_bench.data.tasks import load, names, present, spec
from da_bench.data.transforms import View
from tests.helpers.images_on_disk import image, write_domains

EMBEDDED = [
    name for name in names() if not any(domains.family_of(d)[0].folder for d in (spec(name).source, spec(name).target))
]


def test_names_list_every_pair_of_a_family():
    moons = ["moons/35", "moons/35-to-0", "moons/centred-0-to-centred-35"]
    assert ["digits/real-to-synthetic", "digits/synthetic-to-real", *moons] == EMBEDDED
    assert {"mnist-to-usps", "usps-to-mnist"} < set(names())
    amazon = [name for name in names() if name.startswith("office31/amazon-to-")]
    assert amazon == ["office31/amazon-to-dslr", "office31/amazon-to-webcam"]


@pytest.mark.parametrize("name", names())
def test_listed_name_is_a_task_between_two_domains(name):
    task = spec(name)
    assert task.source != task.target
    assert (task.protocol, task.classes) == ("inductive", "same")
    assert task.citation
    assert task.model


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("mnist-to-usps", "mnist", "usps"),
        ("office31/amazon-to-webcam", "office31/amazon", "office31/webcam"),
        ("office31/amazon-to-office_home/Art", "office31/amazon", "office_home/Art"),
        ("digits/real-to-mnist", "digits/real", "mnist"),
        ("my_folder/photos-to-sketches", "my_folder/photos", "my_folder/sketches"),
        ("my_folder/a-to-b-to-c", "my_folder/a", "my_folder/b-to-c"),
        ("table/mine/a-to-b", "table/mine/a", "table/mine/b"),
        ("moons/35", "moons/0", "moons/35"),
        ("my_digits/mnist-to-usps", "my_digits/mnist", "my_digits/usps"),
        ("my_digits/mnist-to-usps/usps", "my_digits/mnist", "usps"),
        ("table/mine/a-to-usps", "table/mine/a", "table/mine/usps"),
        ("tfds/svhn_cropped-to-mnist", "tfds/svhn_cropped", "mnist"),
        ("tfds/svhn_cropped-to-tfds/mnist", "tfds/svhn_cropped", "tfds/mnist"),
    ],
)
def test_task_names_are_parsed(name, source, target):
    task = spec(name)
    assert (task.source, task.target, task.name) == (source, target, name)


def test_class_and_protocol_endings_are_parsed():
    task = spec("office31/amazon-to-webcam+partial@transductive")
    assert (task.classes, task.protocol) == ("partial", "transductive")
    assert spec("moons/35@transductive").protocol == "transductive"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("moons/0-to-35", "moons/35"),
        ("moons/0-to-35@transductive", "moons/35@transductive"),
        ("mnist-to-usps@inductive", "mnist-to-usps"),
        ("office31/amazon-to-webcam+same", "office31/amazon-to-webcam"),
        ("office31/amazon-to-office31/webcam+open", "office31/amazon-to-webcam+open"),
        ("my_digits/mnist-to-my_digits/usps", "my_digits/mnist-to-usps"),
        ("mnist/mnist-to-usps/usps", "mnist-to-usps"),
    ],
)
def test_alternative_spelling_names_the_canonical_one(name, known):
    with pytest.raises(UserError, match=f"is called '{re.escape(known)}'"):
        spec(name)
    assert spec(known).name == known


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("moons/53", r"unknown task 'moons/53'; did you mean 'moons/35'\?"),
        ("usps", "'usps' is a domain; a task is a pair, such as 'usps-to-mnist'"),
        ("moons/0", "'moons/0' is a domain; a task is a pair, such as 'moons/35'"),
        ("office31/amazon", "'office31/amazon' is a domain; a task is a pair, such as 'office31/amazon-to-dslr'"),
        ("mnist-to-uspss", r"did you mean 'mnist-to-usps'\?"),
        ("digits/real-to-synthetik", r"did you mean 'digits/real-to-synthetic'\?"),
        ("moons/35@transduktive", r"no such ending 'transduktive'; did you mean 'transductive'\?"),
        ("moons/35+opn", r"no such ending 'opn'; did you mean 'open'\?"),
        (
            "mine/../mine/a-to-b",
            r"^task 'mine/../mine/a-to-b': 'mine/../mine/a' is not a valid name",
        ),
        ("mnist-to-mnist", "adapts a domain to itself"),
    ],
)
@pytest.mark.parametrize("function", [load, present])
def test_unknown_name_suggests_the_nearest(function, name, message):
    with pytest.raises(UserError, match=message):
        function(name)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_tasks_load_without_files(name, monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    assert present(name)
    task = load(name)
    assert task.name == name
    assert task.protocol == "inductive"
    for split in (*task.source, *task.target):
        assert split.inputs.dtype == np.float32
        assert np.isfinite(split.inputs).all()
        assert split.labels.dtype == np.int32
        assert set(split.labels.tolist()) == set(range(len(task.classes)))


def test_tasks_are_read_only_and_fingerprinted():
    forward, backward = load("digits/synthetic-to-real"), load("digits/real-to-synthetic")
    np.testing.assert_array_equal(forward.source.train.inputs, backward.target.train.inputs)
    assert forward.classes == tuple("0123456789")
    assert forward.fingerprint != backward.fingerprint
    for array in (*forward.source.train, *forward.target.test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_transductive_target_trains_and_tests_on_all_rows():
    task, inductive = load("digits/synthetic-to-real@transductive"), load("digits/synthetic-to-real")
    assert len(task.target.train.labels) == 1797
    assert task.target.train.inputs is task.target.test.inputs
    assert len(task.source.train.labels) == 0.9 * 5500
    assert task.protocol == "transductive"
    assert task.fingerprint != inductive.fingerprint


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    assert not present("mnist-to-usps")
    assert not present("mnist-to-usps", tmp_path)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz.*DA_BENCH_DATA"):
        load("mnist-to-usps")
    with pytest.raises(UserError, match=r"usps\.bz2, usps\.t\.bz2 \(to get them: https://"):
        load("usps-to-mnist", tmp_path)


def test_missing_folder_suggests_the_nearest_family(tmp_path):
    with pytest.raises(UserError, match=r"no family is called 'digitz'; did you mean 'digits'\?"):
        load("digitz/synthetic-to-real", tmp_path)


def table(data_folder, shift):
    data_folder.mkdir(parents=True, exist_ok=True)
    for name in "ab":
        np.savez(data_folder / f"{name}.npz", inputs=np.arange(20.0).reshape(10, 2) + shift, labels=np.arange(10) % 2)


def test_changed_files_are_read_again(tmp_path, monkeypatch):
    for name, shift in (("one", 0), ("two", 100)):
        table(tmp_path / name / "mine", shift)
    loaded = []
    for name in ("one", "two", "one"):
        monkeypatch.setenv("DA_BENCH_DATA", str(tmp_path / name))
        loaded.append(load("table/mine/a-to-b"))
    assert loaded[0] is loaded[2]
    assert loaded[1].source.train.inputs.min() == 100 + loaded[0].source.train.inputs.min()
    table(tmp_path / "one" / "mine", 7)
    assert load("table/mine/a-to-b").source.train.inputs.min() == 7 + loaded[0].source.train.inputs.min()


def test_changed_images_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    write_domains(tmp_path / "mine")
    original, second = (load("mine/photos-to-sketches", tmp_path, View(pixels=28)) for _ in range(2))
    assert original is second
    os.utime(tmp_path / "mine/photos/ant/0.png", ns=(0, 1))
    assert load("mine/photos-to-sketches", tmp_path, View(pixels=28)).fingerprint == original.fingerprint
    image(99).save(tmp_path / "mine/photos/ant/0.png")
    assert load("mine/photos-to-sketches", tmp_path, View(pixels=28)).fingerprint != original.fingerprint


def test_folder_domain_is_not_replaced_by_a_family_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    write_domains(tmp_path / "my_digits", ("mnist", "usps"))
    task = load("my_digits/mnist-to-usps", tmp_path, View(pixels=28))
    assert task.classes == ("ant", "bee", "cow")
    assert task.target.train.inputs.shape[1:] == (32, 32, 3)


def test_present_does_not_open_files(tmp_path):
    for name in ("mnist", "usps"):
        (tmp_path / name).mkdir()
        for file in FAMILIES[name].files(name):
            (tmp_path / name / file.removesuffix(".gz")).write_bytes(b"")
    assert present("mnist-to-usps", tmp_path)
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        load("mnist-to-usps", tmp_path)


def domain_data(names, rows_each=4, width=2):
    labels = np.repeat(np.arange(len(names), dtype=np.int32), rows_each)
    inputs = (10 * labels[:, None] + np.arange(width)).astype(np.float32)
    return DomainData(Examples(inputs, labels, tuple(names)), {"all": np.arange(len(labels))})


def unite(ending, source, target):
    task = spec(f"table/mine/a-to-b{ending}")
    return tasks._unite_classes(task, domain_data(source), domain_data(target))


def names_by_row(domain, classes):
    rows = domain.parts["all"]
    return [(classes[domain.examples.labels[row]], domain.examples.inputs[row, 0]) for row in rows]


def test_class_index_is_the_sorted_name_over_both_domains():
    source, target, classes = unite("", ["zebra", "ant", "cow"], ["cow", "zebra", "ant"])
    assert classes == ("ant", "cow", "zebra")
    assert set(names_by_row(source, classes)) == {("zebra", 0), ("ant", 10), ("cow", 20)}
    assert set(names_by_row(target, classes)) == {("cow", 0), ("zebra", 10), ("ant", 20)}


def test_different_classes_must_be_declared():
    message = "only 'table/mine/a' has ant; only 'table/mine/b' has bee; both have 1.*'table/mine/a-to-b.shared'"
    with pytest.raises(UserError, match=message):
        unite("", ["ant", "cow"], ["bee", "cow"])


@pytest.mark.parametrize(("source_name", "target_name"), [("Bus", "bus"), ("caf\u00e9", "cafe\u0301")])
def test_similar_class_names_are_pointed_out(source_name, target_name):
    message = f"both have 1 ({source_name!a} and {target_name!a} look alike: rename one). Correct"
    with pytest.raises(UserError, match=re.escape(message)):
        unite("", [source_name, "cow"], [target_name, "cow"])


def test_class_without_examples_counts_as_missing():
    task, complete = spec("table/mine/a-to-b"), domain_data(["ant", "cow"])
    empty = dataclasses.replace(complete, examples=complete.examples._replace(labels=np.zeros(8, np.int32)))
    with pytest.raises(UserError, match="only 'table/mine/a' has cow"):
        tasks._unite_classes(task, complete, empty)


def test_shared_keeps_only_common_classes():
    source, target, classes = unite("+shared", ["ant", "cow"], ["bee", "cow"])
    assert classes == ("cow",)
    assert names_by_row(source, classes) == [("cow", 10)] * 4
    assert names_by_row(target, classes) == [("cow", 10)] * 4


def test_partial_keeps_all_source_classes():
    source, target, classes = unite("+partial", ["ant", "bee", "cow"], ["cow", "ant"])
    assert classes == ("ant", "bee", "cow")
    assert len(source.parts["all"]) == 12
    assert set(names_by_row(target, classes)) == {("cow", 0), ("ant", 10)}
    with pytest.raises(UserError, match="do not fit"):
        unite("+partial", ["ant"], ["ant", "bee"])


def test_open_merges_unknown_target_classes():
    source, target, classes = unite("+open", ["bee", "cow"], ["ant", "bee", "cow", "dog"])
    assert classes == ("bee", "cow", "unknown")
    assert set(names_by_row(source, classes)) == {("bee", 0), ("cow", 10)}
    assert set(names_by_row(target, classes)) == {("unknown", 0), ("bee", 10), ("cow", 20), ("unknown", 30)}


def test_features_of_different_widths_are_refused():
    task = spec("table/mine/a-to-b")
    with pytest.raises(UserError, match=r"'table/mine/a' are float32 \(3,\), of 'table/mine/b' float32 \(2,\)"):
        tasks._check_shapes(task, np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32))


def test_import_is_cheap():
    heavy = "print([name for name in ('PIL', 'sklearn', 'matplotlib', 'scipy') if name in sys.modules])"
    code = f"import sys; import da_bench.data.tasks; {heavy}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
