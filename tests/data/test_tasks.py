import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from da_bench.data import tasks
from da_bench.data.digits import CLASSES
from da_bench.data.tasks import DOMAINS, TASKS, TaskSpec, load, present
from da_bench.settings import UserError

EMBEDDED = [name for name, spec in TASKS.items() if not (DOMAINS[spec.source].files or DOMAINS[spec.target].files)]


def test_the_tasks():
    assert list(TASKS) == [
        "digits/synthetic-to-real",
        "digits/real-to-synthetic",
        "mnist-to-usps",
        "usps-to-mnist",
        "moons/35",
    ]
    assert EMBEDDED == ["digits/synthetic-to-real", "digits/real-to-synthetic", "moons/35"]


@pytest.mark.parametrize("name", DOMAINS)
def test_every_domain_says_what_it_is(name):
    spec = DOMAINS[name]
    assert spec.name == name
    assert spec.citation
    assert spec.terms
    assert bool(spec.files) == bool(spec.folder) == (spec.source_of_files != "embedded")


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_tasks_need_no_files(name, monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    assert present(name)
    task = load(name)
    assert task.name == name
    assert task.protocol == "inductive"
    for splits, domain in ((task.source, TASKS[name].source), (task.target, TASKS[name].target)):
        assert tuple(len(split.labels) for split in splits) == DOMAINS[domain].counts
        for split in splits:
            assert split.inputs.dtype == np.float32
            assert np.isfinite(split.inputs).all()
            assert split.labels.dtype == np.int32
            assert set(split.labels.tolist()) == set(range(len(task.classes)))


def test_loaded_once_and_read_only():
    there, back = load("digits/synthetic-to-real"), load("digits/real-to-synthetic")
    assert there.source.train.inputs is back.target.train.inputs
    assert there.classes == CLASSES
    assert there.fingerprint() != back.fingerprint()
    with pytest.raises(ValueError, match="read-only"):
        there.source.train.inputs[0] = 1


@pytest.mark.parametrize("ask", [load, present])
def test_unknown_name_is_told_the_nearest(ask):
    with pytest.raises(UserError, match=r"unknown task 'moons/53'; did you mean 'moons/35'\?"):
        ask("moons/53")


def test_absent_files_are_not_present_and_named(tmp_path, monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    assert not present("mnist-to-usps")
    assert not present("mnist-to-usps", tmp_path)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz.*DA_BENCH_DATA"):
        load("mnist-to-usps")
    with pytest.raises(UserError, match=r"usps\.bz2, usps\.t\.bz2 \(to get them: https://"):
        load("usps-to-mnist", tmp_path)


def test_present_opens_no_file(tmp_path):
    for name in ("mnist", "usps"):
        (tmp_path / name).mkdir()
        for file in DOMAINS[name].files:
            (tmp_path / name / file.removesuffix(".gz")).write_bytes(b"")
    assert present("mnist-to-usps", tmp_path)
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        load("mnist-to-usps", tmp_path)


@pytest.mark.parametrize(("target", "what"), [("moons/35", "classes"), ("mnist", "shape")])
def test_domains_that_do_not_fit_are_refused(target, what):
    spec = TaskSpec(name="odd", source="digits/real", target=target, citation="", model="mlp")
    splits = load("digits/real-to-synthetic").source
    wide = splits._replace(train=splits.train._replace(inputs=np.zeros((1, 28, 28, 1), np.float32)))
    with pytest.raises(UserError, match=rf"task 'odd': {what} .* of 'digits/real', .* of '{target}'"):
        tasks._check_fit(spec, splits, wide)


def test_domain_of_other_counts_than_declared_is_refused():
    spec = dataclasses.replace(DOMAINS["digits/real"], counts=(1, 2, 3))
    with pytest.raises(UserError, match=r"\(898, 180, 719\) examples where it declares \(1, 2, 3\)"):
        tasks._splits(spec, None)


def test_import_is_cheap():
    heavy = "print([name for name in ('PIL', 'sklearn', 'matplotlib') if name in sys.modules])"
    code = f"import sys; import da_bench.data.tasks; {heavy}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
