"""Every figure is written as a whole, with equal bytes for equal records."""

from da_bench.reporting.plots.write import write_plots
from tests.helpers import fake


def test_figures_are_written_and_equal_each_time(tmp_path):
    records = [
        record
        for record in fake.suite(seeds=2) + fake.sweep(seeds=2)
        if record.config["method"]["name"] in ("source_only", "dann")
    ]
    first, second = (write_plots(records, tmp_path / name) for name in "ab")
    names = [
        f"{name}.{kind}"
        for name in ("accuracy", "curves", "sweep", "cost", "heat_map", "validators", "selection")
        for kind in ("png", "svg")
    ]
    assert [path.name for path in first] == names
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(names)
    svg_files = [(a, b) for a, b in zip(first, second, strict=True) if a.suffix == ".svg"]
    assert all(a.read_bytes() == b.read_bytes() and b"<dc:date>" not in a.read_bytes() for a, b in svg_files)


def test_skipped_runs_alone_are_a_figure_too(tmp_path):
    assert write_plots([fake.record(status="skipped", reason="no")], tmp_path)
