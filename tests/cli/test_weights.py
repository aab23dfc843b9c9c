"""`da-bench weights`."""

import functools
import json

import pytest

from da_bench.models import MODELS
from da_bench.pretrained import info
from tests.helpers import published


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(tmp_path / "imported"))
    monkeypatch.setattr(MODELS, "_entries", {"small_net": published.SmallNet})
    (tmp_path / "some.pth").write_bytes(published.torch_zip(published.arrays()))
    return tmp_path / "some.pth"


@pytest.fixture
def weights(command):
    """Runs one of the commands on weights."""
    return functools.partial(command, "weights")


def test_help_names_every_command(weights):
    code, out, _ = weights()
    assert code == 0
    assert all(f"• {verb} " in out for verb in ("sources", "import", "list", "show", "verify", "classify"))
    assert weights("--help")[1] == out
    assert weights("lisst")[2] == "da-bench: unknown command 'da-bench weights lisst'; did you mean 'list'?\n"


def test_from_a_file_to_weights_that_are_listed_shown_and_verified(weights, file):
    assert "none in" in weights("list")[1]
    code, out, err = weights("import", file, "--arch", "small_net", "--preprocessing", "inception")
    assert (code, err) == (0, "")
    name = out.split()[0]
    assert "mean (0.5, 0.5, 0.5)" in out
    assert weights("show", name)[1] == out
    assert weights("list")[1] == f"{name}  some.pth\n"
    (one,) = json.loads(weights("list", "--json")[1])
    assert one["name"] == name
    assert one["digest"] == info(name).digest
    assert weights("verify", name)[:2] == (
        0,
        f"'{name}' is sound; its outputs here differ from those at its import by 0.0e+00\n",
    )


def test_refusals_are_one_message(weights, file):
    file.write_bytes(file.read_bytes()[:-400])
    for arguments in (("import", file, "--arch", "small_net"), ("show", "x"), ("verify", "x")):
        code, out, err = weights(*arguments)
        assert code == 2
        assert not out
        assert err.count("\n") == 1
        assert err.startswith("da-bench: ")


def test_sources_say_where_and_on_what_terms(weights):
    _, out, _ = weights("sources", "--arch", "resnet50")
    assert "https://download.pytorch.org/models/resnet50-11ad3fa6.pth" in out
    assert "BSD-3-Clause" in out
    assert {one["arch"] for one in json.loads(weights("sources", "--json")[1])} > {"resnet50", "vgg16"}
    assert weights("sources", "--arch", "resnet51")[0] == 2


def test_a_run_may_name_its_weights(command, file):
    code, _, err = command("run", "source_only", "--task", "moons/35", "--weights", "none")
    assert code == 2
    assert "none are imported" in err
