"""Figure of training curves: means by hand, and which methods are drawn."""

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.reporting.plots.curves import plot_curves, row_curves
from da_bench.reporting.tables.rows import build_rows
from tests.helpers import fake
from tests.reporting.plots.test_canvas import caption


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


def test_the_settings_of_a_sweep_are_left_out_if_there_are_too_many_lines():
    few, many = fake.sweep(seeds=2), fake.sweep(seeds=2, weights=(0.0, 0.1, 0.3, 1.0, 3.0, 6.0))
    many = many + fake.runs([0.5, 0.6], task="moons/0-to-35", method="mcc")
    assert len(plot_curves(few).axes[0].lines) == 8
    figure = plot_curves(many)
    assert [line.get_label() for line in figure.axes[0].lines] == ["source_only", "mcc", "target only (upper bound)"]
    assert "left out" in caption(figure)


def test_only_the_best_of_many_methods_are_drawn():
    records = [fake.record(method=f"method_{i}", target=0.3 + i / 50) for i in range(12)]
    figure = plot_curves([*records, fake.record(method="source_only", target=0.2)])
    drawn = [line.get_label() for line in figure.axes[0].lines]
    assert drawn == ["source_only", *(f"method_{i}" for i in range(4, 12))]
    assert "8 best" in caption(figure)


def test_no_records_are_an_error():
    with pytest.raises(UserError, match="no records"):
        plot_curves([])
