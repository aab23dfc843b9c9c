"""Every figure is written as a whole, with equal bytes for equal records."""

import pytest

from da_bench.reporting.plots import write
from da_bench.reporting.plots.write import write_plots
from tests.helpers import fake


@pytest.mark.artefacts
def test_figures_are_equal_each_time(tmp_path, monkeypatch):
    records = [
        record
        for record in fake.suite(seeds=2) + fake.sweep(seeds=2)
        if record.config["method"]["name"] in ("source_only", "dann")
    ]
    monkeypatch.setattr(write, "FORMATS", ("svg",))
    first, second = (write_plots(records, tmp_path / name) for name in ("first", "second"))
    names = ("accuracy", "curves", "sweep", "cost", "heat_map", "validators", "selection")
    assert [path.name for path in first] == [f"{name}.svg" for name in names]
    for path, again in zip(first, second, strict=True):
        assert path.read_bytes() == again.read_bytes()
        assert b"<dc:date>" not in path.read_bytes()


def test_each_figure_is_a_png_and_an_svg_and_skipped_runs_are_shown_too(tmp_path):
    paths = write_plots([fake.record(status="skipped", reason="no")], tmp_path)
    assert sorted(path.name for path in paths) == ["accuracy.png", "accuracy.svg", "curves.png", "curves.svg"]
    assert sorted(paths) == sorted(tmp_path.iterdir())
