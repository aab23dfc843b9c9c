"""`da-bench new-method`."""

import jax
import pytest

from da_bench.cli import main
from da_bench.methods import METHODS

QUICK = ["--only", "is_registered_and_survives_json", "refuses_bad_fields", "documents_its_paper_and_fields"]


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is gone after it, and the tests' own devices stay."""
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    monkeypatch.setattr(jax.config, "update", lambda *_: None)


def test_a_new_method_passes_its_checks_at_once(tmp_path, capsys, registry):
    assert main(["new-method", "ClosestMeans", "--folder", str(tmp_path)]) == 0
    file = tmp_path / "closest_means.py"
    assert f"da-bench check {file}" in capsys.readouterr().out
    trained = ["takes_a_step", "lowers_what_it_says", "gains_on_moved_domains", "weight_zero_is_source_only"]
    assert main(["check", str(file), *QUICK, *trained]) == 0
    assert capsys.readouterr().out.count("  ok ") == 7
    assert len(file.read_text().splitlines()) <= 45


@pytest.mark.conformance
def test_its_experiment_makes_a_row_of_a_table(tmp_path, capsys, registry):
    main(["new-method", "ClosestMeans", "--folder", str(tmp_path)])
    file = tmp_path / "closest_means.py"
    file.write_text(file.read_text().replace("steps=500", "steps=20").replace("seeds=5", "seeds=2"))
    assert main(["run", str(file), "--results", str(tmp_path / "results")]) == 0
    assert "closest_means" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mean gap", "cannot be the name of a class"),
        ("Dann", "there is a method 'dann' already"),
        ("None", "cannot be"),
    ],
)
def test_names_that_cannot_be_are_refused(name, message, tmp_path, capsys):
    assert main(["new-method", name, "--folder", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("precious")
    assert main(["new-method", "Mine", "--folder", str(tmp_path)]) == 2
    assert (tmp_path / "mine.py").read_text() == "precious"
    assert main(["new-method", "Other", "--folder", str(tmp_path / "nowhere")]) == 2
    assert "cannot be written" in capsys.readouterr().err
