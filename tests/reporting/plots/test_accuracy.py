"""Figure of accuracies: every task, every row, every seed."""

import pytest

from da_bench.core.config import UserError
from da_bench.reporting.plots.accuracy import plot_accuracy
from tests.helpers import fake
from tests.reporting.plots.test_canvas import caption


def test_there_is_a_panel_for_each_task_and_a_line_for_each_row():
    figure = plot_accuracy(fake.suite(), "im")
    assert [axes.get_title("left") for axes in figure.axes] == ["digits: synthetic → real", "mnist: to-usps"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "source_only",
        "dann (1†)",
        *list(fake.METHODS)[2:],
        "shot (skipped)",
        "target only (upper bound)",
    ]
    for part in ("5 seeds", "IM + source-val floor", "quickstart.py", "abc1234", "†"):
        assert part in caption(figure)


def test_each_seed_is_a_dot():
    figure = plot_accuracy(fake.runs([0.5, 0.6, 0.7]))
    (seeds,) = (dots for dots in figure.axes[0].collections if len(dots.get_offsets()) == 3)
    assert sorted(seeds.get_offsets()[:, 0]) == pytest.approx([50, 60, 70])


def test_an_interval_beyond_100_percent_does_not_stretch_the_panel():
    figure = plot_accuracy(fake.runs([0.1, 0.9]))
    assert figure.axes[0].get_xlim() == (-2, 102)


def test_an_unknown_rule_is_an_error():
    with pytest.raises(UserError, match="best"):
        plot_accuracy([fake.record()], "best")
