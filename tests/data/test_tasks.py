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


def test_every_pair_of_a_family_has_a_name():
    moons = ["moons/35", "moons/35-to-0", "moons/centred-0-to-centred-35"]
    assert ["digits/real-to-synthetic", "digits/synthetic-to-real", *moons] == EMBEDDED
    assert {"mnist-to-usps", "usps-to-mnist"} < set(names())
    amazon = [name for name in names() if name.startswith("office31/amazon-to-")]
    assert amazon == ["office31/amazon-to-dslr", "office31/amazon-to-webcam"]


@pytest.mark.parametrize("name", names())
def test_every_name_is_a_task_between_two_domains(name):
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
def test_names_are_read(name, source, target):
    task = spec(name)
    assert (task.source, task.target, task.name) == (source, target, name)


def test_endings_are_read():
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
def test_a_task_has_one_name(name, known):
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
@pytest.mark.parametrize("ask", [load, present])
def test_unknown_name_is_told_the_nearest(ask, name, message):
    with pytest.raises(UserError, match=message):
        ask(name)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_tasks_need_no_files(name, monkeypatch):
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


def test_read_only_and_named_by_its_data():
    there, back = load("digits/synthetic-to-real"), load("digits/real-to-synthetic")
    np.testing.assert_array_equal(there.source.train.inputs, back.target.train.inputs)
    assert there.classes == tuple("0123456789")
    assert there.fingerprint != back.fingerprint
    for array in (*there.source.train, *there.target.test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_transductive_target_is_adapted_on_and_scored_whole():
    task, other = load("digits/synthetic-to-real@transductive"), load("digits/synthetic-to-real")
    assert len(task.target.train.labels) == 1797
    assert task.target.train.inputs is task.target.test.inputs
    assert len(task.source.train.labels) == 0.9 * 5500
    assert task.protocol == "transductive"
    assert task.fingerprint != other.fingerprint


def test_absent_files_are_not_present_and_named(tmp_path, monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    assert not present("mnist-to-usps")
    assert not present("mnist-to-usps", tmp_path)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz.*DA_BENCH_DATA"):
        load("mnist-to-usps")
    with pytest.raises(UserError, match=r"usps\.bz2, usps\.t\.bz2 \(to get them: https://"):
        load("usps-to-mnist", tmp_path)


def test_an_unknown_family_may_be_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no family is called 'digitz'; did you mean 'digits'\?"):
        load("digitz/synthetic-to-real", tmp_path)


def table(data_folder, shift):
    data_folder.mkdir(parents=True, exist_ok=True)
    for name in "ab":
        np.savez(data_folder / f"{name}.npz", inputs=np.arange(20.0).reshape(10, 2) + shift, labels=np.arange(10) % 2)


def test_files_that_changed_are_read_again(tmp_path, monkeypatch):
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


def test_images_that_changed_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    write_domains(tmp_path / "mine")
    first, again = (load("mine/photos-to-sketches", tmp_path, View(pixels=28)) for _ in range(2))
    assert first is again
    os.utime(tmp_path / "mine/photos/ant/0.png", ns=(0, 1))
    assert load("mine/photos-to-sketches", tmp_path, View(pixels=28)).fingerprint == first.fingerprint
    image(99).save(tmp_path / "mine/photos/ant/0.png")
    assert load("mine/photos-to-sketches", tmp_path, View(pixels=28)).fingerprint != first.fingerprint


def test_a_family_does_not_stand_in_for_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    write_domains(tmp_path / "my_digits", ("mnist", "usps"))
    task = load("my_digits/mnist-to-usps", tmp_path, View(pixels=28))
    assert task.classes == ("ant", "bee", "cow")
    assert task.target.train.inputs.shape[1:] == (32, 32, 3)


def test_present_opens_no_file(tmp_path):
    for name in ("mnist", "usps"):
        (tmp_path / name).mkdir()
        for file in FAMILIES[name].files(name):
            (tmp_path / name / file.removesuffix(".gz")).write_bytes(b"")
    assert present("mnist-to-usps", tmp_path)
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        load("mnist-to-usps", tmp_path)


def whole(names, rows_each=4, width=2):
    labels = np.repeat(np.arange(len(names), dtype=np.int32), rows_each)
    inputs = (10 * labels[:, None] + np.arange(width)).astype(np.float32)
    return DomainData(Examples(inputs, labels, tuple(names)), {"all": np.arange(len(labels))})


def united(ending, source, target):
    task = spec(f"table/mine/a-to-b{ending}")
    return tasks._unite_classes(task, whole(source), whole(target))


def names_by_row(one, classes):
    rows = one.parts["all"]
    return [(classes[one.examples.labels[row]], one.examples.inputs[row, 0]) for row in rows]


def test_class_index_is_the_sorted_name_over_both_domains():
    source, target, classes = united("", ["zebra", "ant", "cow"], ["cow", "zebra", "ant"])
    assert classes == ("ant", "cow", "zebra")
    assert set(names_by_row(source, classes)) == {("zebra", 0), ("ant", 10), ("cow", 20)}
    assert set(names_by_row(target, classes)) == {("cow", 0), ("zebra", 10), ("ant", 20)}


def test_classes_that_differ_must_be_declared():
    message = "only 'table/mine/a' has ant; only 'table/mine/b' has bee; both have 1.*'table/mine/a-to-b.shared'"
    with pytest.raises(UserError, match=message):
        united("", ["ant", "cow"], ["bee", "cow"])


@pytest.mark.parametrize(("ours", "theirs"), [("Bus", "bus"), ("caf\u00e9", "cafe\u0301")])
def test_classes_that_look_alike_are_pointed_out(ours, theirs):
    message = f"both have 1 ({ours!a} and {theirs!a} look alike: rename one). Correct"
    with pytest.raises(UserError, match=re.escape(message)):
        united("", [ours, "cow"], [theirs, "cow"])


def test_a_class_without_an_example_is_a_class_that_is_missing():
    task, full = spec("table/mine/a-to-b"), whole(["ant", "cow"])
    empty = dataclasses.replace(full, examples=full.examples._replace(labels=np.zeros(8, np.int32)))
    with pytest.raises(UserError, match="only 'table/mine/a' has cow"):
        tasks._unite_classes(task, full, empty)


def test_shared_leaves_the_rest_out():
    source, target, classes = united("+shared", ["ant", "cow"], ["bee", "cow"])
    assert classes == ("cow",)
    assert names_by_row(source, classes) == [("cow", 10)] * 4
    assert names_by_row(target, classes) == [("cow", 10)] * 4


def test_partial_keeps_the_source_whole():
    source, target, classes = united("+partial", ["ant", "bee", "cow"], ["cow", "ant"])
    assert classes == ("ant", "bee", "cow")
    assert len(source.parts["all"]) == 12
    assert set(names_by_row(target, classes)) == {("cow", 0), ("ant", 10)}
    with pytest.raises(UserError, match="do not fit"):
        united("+partial", ["ant"], ["ant", "bee"])


def test_open_scores_what_the_source_does_not_know_as_one_class():
    source, target, classes = united("+open", ["bee", "cow"], ["ant", "bee", "cow", "dog"])
    assert classes == ("bee", "cow", "unknown")
    assert set(names_by_row(source, classes)) == {("bee", 0), ("cow", 10)}
    assert set(names_by_row(target, classes)) == {("unknown", 0), ("bee", 10), ("cow", 20), ("unknown", 30)}


def test_features_of_other_widths_are_refused():
    task = spec("table/mine/a-to-b")
    with pytest.raises(UserError, match=r"'table/mine/a' are float32 \(3,\), of 'table/mine/b' float32 \(2,\)"):
        tasks._check_shapes(task, np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32))


def test_import_is_cheap():
    heavy = "print([name for name in ('PIL', 'sklearn', 'matplotlib', 'scipy') if name in sys.modules])"
    code = f"import sys; import da_bench.data.tasks; {heavy}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
