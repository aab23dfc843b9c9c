"""Figure of sweeps: what counts as one, and its reference lines."""

from da_bench.reporting.plots.sweep import plot_sweep
from tests.helpers import fake


def test_a_sweep_shows_zero_and_the_references():
    (axes,) = plot_sweep(fake.suite() + fake.sweep(seeds=4)).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.1", "0.3", "1", "3", "6"]
    assert [text.get_text().replace("\n", " ") for text in axes.get_legend().get_texts()] == [
        "target only (upper bound)",
        "source only",
        "target accuracy",
    ]


def test_two_values_two_fields_or_integers_are_not_a_sweep():
    two = [fake.record(weight=weight) for weight in (1.0, 2.0)]
    fields = [fake.record(weight=weight, rate=2 * weight) for weight in (1.0, 2.0, 3.0)]
    integers = [fake.record(layers=layers) for layers in (1, 2, 3)]
    for records in (two, fields, integers):
        assert plot_sweep(records) is None


def test_a_sweep_of_training_has_no_single_reference():
    records = [
        fake.record(method=method, training={"learning_rate": rate}, seed=seed)
        for method in ("source_only", "dann")
        for rate in (0.1, 0.01, 0.001)
        for seed in (0, 1)
    ]
    figure = plot_sweep(records)
    assert [axes.get_title("left").split(", ")[1] for axes in figure.axes] == ["source_only", "dann"]
    assert all(len(axes.get_legend().get_texts()) == 1 for axes in figure.axes)
