"""Critical differences, by hand."""

import numpy as np

from da_bench.reporting.plots.critical_difference import plot_critical_difference
from tests.reporting.plots.test_canvas import caption
from tests.reporting.tables.test_pair_tables import study

STEPS = np.linspace(0.05, 0.1, 12)
TWELVE = [f"pair/{i}" for i in range(12)]


def bars(figure):
    """The names of the methods that each bar connects, by the dots on it."""
    axes = figure.axes[0]
    names = {}
    for line in axes.lines:
        if len(line.get_xdata()) == 3 and line.get_marker() == "None":
            rank, _, side = line.get_xdata()
            y = line.get_ydata()[-1]
            (name,) = (text.get_text() for text in axes.texts if text.get_position() == (side, y))
            names[rank] = name.split()[0]
    return [[names[x] for x in line.get_xdata()] for line in axes.lines if line.get_marker() == "o"]


def test_critical_difference_by_hand():
    # far: above all on every pair, so p = 2 / 2^12 against each; the other two differ by nothing but noise
    shifts = {"far": 0.3 + STEPS, "one": STEPS, "other": STEPS + 0.001 * np.resize([1, -1, 1], 12)}
    records = study(shifts, TWELVE, noise=1e-4)
    figure = plot_critical_difference(records)
    # Six tests: 6 * 2 / 4096 < .05, so source only, far and the two differ; the two are connected
    assert sorted(map(sorted, bars(figure))) == [["one", "other"]]
    labels = [text.get_text().split() for text in figure.axes[0].texts if "(" in text.get_text()]
    ranks = {words[0]: words[1] for words in labels}
    assert (ranks["far"], ranks["source_only"]) == ("(1.0)", "(4.0)")
    assert "Holm" in caption(figure)
    assert "too few pairs" not in caption(figure)


def test_a_bar_skips_a_method_that_differs_from_its_members():
    # near and steady do not differ from each other; spoiler, ranked between, beats one of them by a hair on every pair
    jump = np.resize([0.05, -0.04], 12)
    shifts = {"near": STEPS + jump, "spoiler": STEPS, "steady": STEPS - 0.0005}
    connected = bars(plot_critical_difference(study(shifts, TWELVE, noise=1e-6)))
    assert any(set(bar) == {"near", "steady"} for bar in connected)
    assert not any({"spoiler", "steady"} <= set(bar) for bar in connected)


def test_no_diagram_is_drawn_below_six_pairs_and_a_note_is_added_if_no_difference_is_possible():
    assert plot_critical_difference(study({"dann": [0.1] * 5}, TWELVE[:5])) is None
    figure = plot_critical_difference(study({"dann": STEPS[:6], "mcc": STEPS[:6] + 0.1}, TWELVE[:6]))
    assert "too few pairs" in caption(figure)
    assert len(bars(figure)) == 1
