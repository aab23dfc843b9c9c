import io

import numpy as np
import pytest
from matplotlib import image

from da_bench.core.config import UserError
from da_bench.reporting.plots.canvas import lowest, render_figure
from da_bench.reporting.plots.labels import plot_shots
from da_bench.reporting.plots.over_pairs import front, plot_cost, plot_critical_difference, plot_heat_map
from da_bench.reporting.plots.scores import plot_validators
from tests.helpers import fake
from tests.reporting.tables.test_pairs import study

PLOTS = (plot_heat_map, plot_critical_difference, plot_cost)
STEPS = np.linspace(0.05, 0.1, 12)
TWELVE = [f"pair/{i}" for i in range(12)]


def caption(figure):
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def bars(figure):
    """The names that each bar joins, by the dots on it."""
    axes = figure.axes[0]
    named = {}
    for line in axes.lines:
        if len(line.get_xdata()) == 3 and line.get_marker() == "None":
            x, _, _ = line.get_xdata()
            y = line.get_ydata()[-1]
            side = line.get_xdata()[-1]
            (name,) = (one.get_text() for one in axes.texts if one.get_position() == (side, y))
            named[x] = name.split()[0]
    return [[named[x] for x in line.get_xdata()] for line in axes.lines if line.get_marker() == "o"]


def test_critical_difference_by_hand():
    # far: above all on every pair, so p = 2 / 2^12 against each; the other two differ by nothing but noise
    shifts = {"far": 0.3 + STEPS, "one": STEPS, "other": STEPS + 0.001 * np.resize([1, -1, 1], 12)}
    records = study(shifts, TWELVE, noise=1e-4)
    figure = plot_critical_difference(records)
    # Six tests: 6 * 2 / 4096 < .05, so source only, far and the two differ; the two are joined
    assert sorted(map(sorted, bars(figure))) == [["one", "other"]]
    ranks = {
        one.get_text().split()[0]: one.get_text().split()[1] for one in figure.axes[0].texts if "(" in one.get_text()
    }
    assert (ranks["far"], ranks["source_only"]) == ("(1.0)", "(4.0)")
    assert "Holm" in caption(figure)
    assert "too few pairs" not in caption(figure)


def test_a_bar_passes_over_who_differs_from_its_members():
    # near and steady do not differ from each other; spoiler, ranked between, beats one of them by a hair on every pair
    jump = np.resize([0.05, -0.04], 12)
    shifts = {"near": STEPS + jump, "spoiler": STEPS, "steady": STEPS - 0.0005}
    joined = bars(plot_critical_difference(study(shifts, TWELVE, noise=1e-6)))
    assert any(set(one) == {"near", "steady"} for one in joined)
    assert not any({"spoiler", "steady"} <= set(one) for one in joined)


def test_no_critical_difference_below_six_pairs_and_a_word_where_none_is_possible():
    assert plot_critical_difference(study({"dann": [0.1] * 5}, TWELVE[:5])) is None
    figure = plot_critical_difference(study({"dann": STEPS[:6], "mcc": STEPS[:6] + 0.1}, TWELVE[:6]))
    assert "too few pairs for any two to differ" in caption(figure)
    assert len(bars(figure)) == 1


def test_heat_map_by_hand():
    records = study({"dann": [0.1, -0.2]}, ["a/x", "a/y"], noise=1e-6)
    records += [one for one in study({"mcc": [0.05, 0.05]}, ["a/x", "a/y"], noise=1e-6) if one.config["task"] == "a/x"][
        3:
    ]
    records += fake.runs([0.5, 0.5, 0.5], task="a/z", method="source_only") + fake.runs(
        [0.6] * 3, task="a/z", method="mcc"
    )
    axes = plot_heat_map(records).axes[0]
    cells = {tuple(reversed(one.get_position())): one.get_text() for one in axes.texts}
    assert cells == {(0, 0): "+10.0", (0, 1): "-20.0▼", (0, 2): "×", (1, 0): "+5.0", (1, 1): "×", (1, 2): "+10.0"}
    assert [one.get_text() for one in axes.get_xticklabels()] == ["x", "y", "z"]
    assert [one.get_text() for one in axes.get_yticklabels()] == ["dann", "mcc"]


@pytest.mark.parametrize(
    ("gains", "begins"), [([-82.0, 4.0], -20.0), ([-82.0, 30.0], -60.0), ([-8.0, 4.0], -8.0), ([1.0, np.nan], 1.0)]
)
def test_a_scale_of_gains_ends_where_one_would_flatten_the_rest(gains, begins):
    assert lowest(np.array(gains)) == begins


def test_front_is_those_whom_nobody_beats():
    points = np.array([[1.0, 5.0], [2.0, 4.0], [2.0, 7.0], [3.0, 7.0], [0.5, 1.0], [9.0, 8.0]])
    beaten = [
        any((cost <= mine[0]) and (gain >= mine[1]) and (cost, gain) != tuple(mine) for cost, gain in points)
        for mine in points
    ]
    assert sorted(front(points)) == np.flatnonzero(~np.array(beaten)).tolist()
    assert front(points).tolist() == [4, 0, 2, 5]


def test_cost_has_a_numbered_point_for_each_method():
    figure = plot_cost(study({"dann": STEPS[:6], "mcc": STEPS[:6] - 0.1}, TWELVE[:6]))
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [name.split()[1] for name in names] == ["dann", "source_only", "mcc"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "3"]


def test_numbers_do_not_lie_on_each_other():
    same = {f"method_{i}": STEPS[:6] for i in range(12)}
    figure = plot_cost(study(same, TWELVE[:6], noise=1e-3))
    axes = figure.axes[0]
    places = np.array(
        [axes.transData.transform(text.xy) + np.array(text.xyann) * figure.dpi / 72 for text in axes.texts]
    )
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)[~np.eye(len(places), dtype=bool)]
    assert apart.min() > 8


def few(labels_from, shots, targets):
    """Runs as an experiment with `labels_from` and `shots` leaves them."""
    found = fake.runs(targets, method="source_only", labels_from=labels_from)
    for one in found:
        one.config["shots"] = shots
    return found


def test_shots_are_a_curve_with_and_one_without_the_source():
    records = fake.runs([0.4, 0.5], method="source_only")
    for labels_from in ("both", "target"):
        for shots in (10, 1, 3):
            records += few(labels_from, shots, [0.5 + 0.01 * shots, 0.6 + 0.01 * shots])
    (axes,) = plot_shots(records).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "3", "10"]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(names) == [
        "source only",
        "source_only, beside the source's",
        "source_only, the target's labels\nalone",
    ]
    means = [line.get_ydata() for line in axes.get_lines() if len(line.get_xdata()) == 3]
    assert any(np.allclose(one, [56, 58, 65]) for one in means)
    assert plot_shots(fake.suite()) is None


def test_validators_are_scattered_with_their_rank_correlation():
    first, second = plot_validators(fake.runs([0.5, 0.6, 0.7])).axes
    assert "rho +1.00" in first.get_xlabel()
    (points,) = first.lines
    assert len(points.get_xdata()) == 30
    assert points.get_ydata() == pytest.approx(100 * points.get_xdata())  # the fake's score is the accuracy
    assert "source validation" in second.get_xlabel()
    assert plot_validators([fake.record(status="skipped", reason="no")]) is None


@pytest.mark.parametrize("name", ["$x_{$", "long " * 40])
def test_hostile_names_are_drawn_as_they_are(name):
    records = study({name: STEPS[:6]}, TWELVE[:6])
    for plot in PLOTS:
        assert image.imread(io.BytesIO(render_figure(plot(records), "png"))).ndim == 3


def test_one_pair_has_no_such_plot_and_errors_are_one_message():
    for plot in PLOTS:
        assert plot(fake.runs([0.5, 0.6])) is None
        with pytest.raises(UserError, match="no records"):
            plot([])
        with pytest.raises(UserError, match="unknown rule"):
            plot(fake.suite(), "best")
