"""Figure of accuracy over cost: the front, the numbers, and methods that fail."""

import numpy as np
import pytest

from da_bench.reporting.plots.cost import accuracy_axis_start, pareto_front, plot_cost
from tests.reporting.plots.test_critical_difference import STEPS, TWELVE
from tests.reporting.tables.test_pair_tables import study


def test_the_front_consists_of_the_points_that_no_other_beats():
    points = np.array([[1.0, 5.0], [2.0, 4.0], [2.0, 7.0], [3.0, 7.0], [0.5, 1.0], [9.0, 8.0]])
    beaten = [
        any(cost <= point[0] and gain >= point[1] and (cost, gain) != tuple(point) for cost, gain in points)
        for point in points
    ]
    assert sorted(pareto_front(points)) == np.flatnonzero(~np.array(beaten)).tolist()
    assert pareto_front(points).tolist() == [4, 0, 2, 5]


def test_each_method_is_a_numbered_point():
    figure = plot_cost(study({"dann": STEPS[:6], "mcc": STEPS[:6] - 0.1}, TWELVE[:6]))
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [name.split()[1] for name in names] == ["dann", "source_only", "mcc"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("accuracies", "start"), [([80, 75, 70], 70), ([80, 75, 70, 3], 72.5 - 4 * 7.5), ([80, 80, 80, 3], 70), ([50], 50)]
)
def test_the_axis_ends_above_methods_that_would_flatten_the_others(accuracies, start):
    assert accuracy_axis_start(np.array(accuracies, float)) == start


def test_a_method_below_the_axis_has_its_accuracy_in_the_legend():
    figure = plot_cost(study({"dann": STEPS[:6], "mcc": STEPS[:6], "bsp": STEPS[:6] - 0.5}, TWELVE[:6]))
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [name for name in names if name.endswith("%)")] == [names[-1]]
    assert "bsp" in names[-1]
    low, _ = figure.axes[0].get_ylim()
    assert low > 20


def test_only_the_best_methods_are_drawn_if_there_are_too_many():
    figure = plot_cost(study({f"method_{i}": STEPS[:6] + i / 1000 for i in range(70)}, TWELVE[:6], noise=1e-6))
    names = [text.get_text().split()[1] for text in figure.axes[0].get_legend().get_texts()]
    assert names == [f"method_{i}" for i in range(69, 9, -1)]


def test_numbers_do_not_overlap():
    same = {f"method_{i}": STEPS[:6] for i in range(12)}
    figure = plot_cost(study(same, TWELVE[:6], noise=1e-3))
    axes = figure.axes[0]
    places = np.array(
        [axes.transData.transform(text.xy) + np.array(text.xyann) * figure.dpi / 72 for text in axes.texts]
    )
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)[~np.eye(len(places), dtype=bool)]
    assert distances.min() > 8
