"""Every figure is written as a whole, with equal bytes for equal records."""

from da_bench.reporting.plots import write
from da_bench.reporting.plots.write import write_plots
from tests.helpers import fake


def test_figures_are_written_and_equal_each_time(tmp_path, monkeypatch):
    records = [
        record
        for record in fake.suite(seeds=2) + fake.sweep(seeds=2)
        if record.config["method"]["name"] in ("source_only", "dann")
    ]
    paths = write_plots(records, tmp_path / "first")
    names = [
        f"{name}.{kind}"
        for name in ("accuracy", "curves", "sweep", "cost", "heat_map", "validators", "selection")
        for kind in ("png", "svg")
    ]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == sorted(names)
    monkeypatch.setattr(write, "FORMATS", ("svg",))
    for path in write_plots(records, tmp_path / "second"):
        content = path.read_bytes()
        assert content == (tmp_path / "first" / path.name).read_bytes()
        assert b"<dc:date>" not in content


def test_skipped_runs_alone_are_a_figure_too(tmp_path):
    assert write_plots([fake.record(status="skipped", reason="no")], tmp_path)
