"""`da-bench plot`."""


def test_plots_of_a_folder(study, command, tmp_path):
    code, out, _ = command("plot", "--results", str(study / "results"), "--out", str(tmp_path / "figures"))
    assert code == 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{kind}" for name in ("accuracy", "curves", "validators") for kind in ("png", "svg")
    }
    assert "accuracy.png" in out
