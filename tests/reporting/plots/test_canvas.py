"""What all figures share: captions, scales and hostile names."""

import io

import numpy as np
import pytest
from matplotlib import image

from da_bench.core.config import UserError
from da_bench.reporting.plots.accuracy import plot_accuracy
from da_bench.reporting.plots.canvas import gain_axis_start, render_figure, task_title
from da_bench.reporting.plots.cost import plot_cost
from da_bench.reporting.plots.critical_difference import plot_critical_difference
from da_bench.reporting.plots.curves import plot_curves
from da_bench.reporting.plots.heat_map import plot_heat_map
from tests.helpers import fake
from tests.reporting.tables.test_pair_tables import study

OVER_PAIRS = (plot_heat_map, plot_critical_difference, plot_cost)


def caption(figure):
    """The caption of a figure on one line."""
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


@pytest.mark.parametrize(
    ("task", "title"),
    [
        ("moons/35", "moons: 35"),
        ("office31/amazon-to-webcam@transductive", "office31: amazon → webcam (transductive)"),
        ("plain", "plain"),
        ("$a/b-to-c", r"\$a: b → c"),
    ],
)
def test_tasks_have_titles_for_people(task, title):
    assert task_title(task) == title


@pytest.mark.parametrize(
    ("gains", "start"), [([-82.0, 4.0], -20.0), ([-82.0, 30.0], -60.0), ([-8.0, 4.0], -8.0), ([1.0, np.nan], 1.0)]
)
def test_an_axis_of_gains_ends_above_methods_that_would_flatten_the_others(gains, start):
    assert gain_axis_start(np.array(gains)) == start


def test_a_png_has_a_palette_and_the_resolution_of_print():
    from PIL import Image

    file = Image.open(io.BytesIO(render_figure(plot_accuracy(fake.runs([0.5, 0.6])), "png")))
    assert file.mode == "P"
    assert round(file.info["dpi"][0]) == 150
    assert file.width == 8 * 150


@pytest.mark.parametrize("name", ["$x_{$ and _y", r"\$ $", "_hidden", "a\nb", "<b>&", "long " * 40])
def test_hostile_names_are_drawn_as_they_are(name):
    records = fake.runs([0.5, 0.6], method=name) + fake.runs([0.5, 0.6], method="source_only")
    for figure in (plot_accuracy(records), plot_curves(records)):
        assert image.imread(io.BytesIO(render_figure(figure, "png"))).ndim == 3
        render_figure(figure, "svg")
    assert len(plot_curves(records).axes[1].get_legend().get_texts()) == 2


@pytest.mark.parametrize("name", ["$x_{$", "long " * 40])
def test_hostile_names_are_drawn_over_pairs(name):
    records = study({name: np.linspace(0.05, 0.07, 6)}, [f"pair/{i}" for i in range(6)])
    for plot in OVER_PAIRS:
        assert image.imread(io.BytesIO(render_figure(plot(records), "png"))).ndim == 3


def test_one_pair_has_no_figure_over_pairs_and_user_errors_are_raised():
    for plot in OVER_PAIRS:
        assert plot(fake.runs([0.5, 0.6])) is None
        with pytest.raises(UserError, match="no records"):
            plot([])
        with pytest.raises(UserError, match="best"):
            plot(fake.suite(), "best")
