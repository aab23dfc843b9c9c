import io

import numpy as np
import pytest
from matplotlib import image

from da_bench.core.config import UserError
from da_bench.reporting.plots.canvas import render_figure
from da_bench.reporting.plots.plots import plot_accuracy, plot_curves, plot_sweep, row_curves, write_plots
from da_bench.reporting.tables.rows import build_rows
from tests.helpers import fake


def labels(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def caption(figure):
    return " ".join(text.get_text() for text in figure.texts)


def test_accuracy_has_a_panel_for_each_task_and_a_line_for_each_row():
    figure = plot_accuracy(fake.suite(), "im")
    assert [axes.get_title("left") for axes in figure.axes] == ["digits/synthetic-to-real", "mnist/to-usps"]
    assert labels(figure.axes[0]) == [
        "source_only",
        "dann (1†)",
        *list(fake.METHODS)[2:],
        "shot (skipped)",
        "target only (upper bound)",
    ]
    for part in ("5 seeds a row", "IM + source-val floor", "quickstart.py", "abc1234", "†"):
        assert part in caption(figure)


def test_accuracy_shows_each_seed():
    figure = plot_accuracy(fake.runs([0.5, 0.6, 0.7]))
    (seeds,) = (one for one in figure.axes[0].collections if len(one.get_offsets()) == 3)
    assert sorted(seeds.get_offsets()[:, 0]) == pytest.approx([50, 60, 70])


def test_an_interval_beyond_100_percent_does_not_stretch_the_panel():
    figure = plot_accuracy(fake.runs([0.1, 0.9]))
    assert figure.axes[0].get_xlim() == (-2, 102)


def test_curves_by_hand():
    (row,) = build_rows(fake.runs([0.4, 0.8]))
    steps, values = row_curves(row, "target_accuracy")
    assert values.shape == (2, len(steps)) == (2, 10)
    assert values[1] == pytest.approx(2 * values[0])
    figure = plot_curves(fake.runs([0.4, 0.8]))
    (line,) = figure.axes[0].lines
    assert line.get_ydata() == pytest.approx(100 * values.mean(axis=0))


def test_a_curve_ends_where_a_run_diverged():
    records = fake.runs([0.4, 0.8])
    records[1].curves["target_accuracy"][6:] = [None] * 4
    (line,) = plot_curves(records).axes[0].lines
    assert np.isfinite(line.get_ydata()).tolist() == [True] * 6 + [False] * 4


def test_curves_leave_out_a_sweep_where_there_are_too_many_lines():
    few, many = fake.sweep(seeds=2), fake.sweep(seeds=2, weights=(0.0, 0.1, 0.3, 1.0, 3.0, 6.0))
    many = many + fake.runs([0.5, 0.6], task="moons/0-to-35", method="mcc")
    assert len(plot_curves(few).axes[0].lines) == 8
    figure = plot_curves(many)
    assert [line.get_label() for line in figure.axes[0].lines] == ["source_only", "mcc", "target only (upper bound)"]
    assert "sweep are left out" in caption(figure)


def test_curves_of_many_methods_are_those_of_the_best():
    records = [fake.record(method=f"method_{i}", target=0.3 + i / 50) for i in range(12)]
    figure = plot_curves([*records, fake.record(method="source_only", target=0.2)])
    drawn = [line.get_label() for line in figure.axes[0].lines]
    assert drawn == ["source_only", *(f"method_{i}" for i in range(4, 12))]
    assert "all but the 8 best" in caption(figure).replace("\n", " ")


def test_sweep_shows_zero_and_the_references():
    (axes,) = plot_sweep(fake.suite() + fake.sweep(seeds=4)).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.1", "0.3", "1", "3", "6"]
    assert [text.get_text().replace("\n", " ") for text in axes.get_legend().get_texts()] == [
        "target only (upper bound)",
        "source only",
        "target accuracy",
    ]


def test_no_sweep_in_two_values_two_fields_or_whole_numbers():
    two = [fake.record(weight=weight) for weight in (1.0, 2.0)]
    fields = [fake.record(weight=weight, rate=2 * weight) for weight in (1.0, 2.0, 3.0)]
    whole = [fake.record(layers=layers) for layers in (1, 2, 3)]
    for records in (two, fields, whole):
        assert plot_sweep(records) is None


def test_a_sweep_of_training_has_no_single_reference():
    records = [
        fake.record(method=method, training={"learning_rate": rate}, seed=seed)
        for method in ("source_only", "dann")
        for rate in (0.1, 0.01, 0.001)
        for seed in (0, 1)
    ]
    figure = plot_sweep(records)
    assert [axes.get_title("left").split(": ")[1] for axes in figure.axes] == ["source_only", "dann"]
    assert all(len(axes.get_legend().get_texts()) == 1 for axes in figure.axes)


def test_images_are_written_whole_and_the_same_each_time(tmp_path):
    every = fake.suite(seeds=2) + fake.sweep(seeds=2)
    records = [one for one in every if one.config["method"]["name"] in ("source_only", "dann")]
    first, second = (write_plots(records, tmp_path / name) for name in "ab")
    names = [
        f"{name}.{kind}"
        for name in ("accuracy", "curves", "sweep", "cost", "heat_map", "validators", "selection")
        for kind in ("png", "svg")
    ]
    assert [path.name for path in first] == names
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(names)
    svg = [(a, b) for a, b in zip(first, second, strict=True) if a.suffix == ".svg"]
    assert all(a.read_bytes() == b.read_bytes() and b"<dc:date>" not in a.read_bytes() for a, b in svg)


@pytest.mark.parametrize("name", ["$x_{$ and _y", r"\$ $", "_hidden", "a\nb", "<b>&", "long " * 40])
def test_hostile_names_are_drawn_as_they_are(name):
    records = fake.runs([0.5, 0.6], method=name) + fake.runs([0.5, 0.6], method="source_only")
    for figure in (plot_accuracy(records), plot_curves(records)):
        assert image.imread(io.BytesIO(render_figure(figure, "png"))).ndim == 3
        render_figure(figure, "svg")
    assert len(plot_curves(records).axes[1].get_legend().get_texts()) == 2


def test_nothing_but_skipped_runs_is_still_a_plot(tmp_path):
    assert write_plots([fake.record(status="skipped", reason="no")], tmp_path)


def test_user_errors():
    with pytest.raises(UserError, match="unknown rule"):
        plot_accuracy([fake.record()], "best")
    with pytest.raises(UserError, match="no records"):
        plot_curves([])
