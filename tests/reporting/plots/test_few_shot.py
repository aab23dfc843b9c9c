"""Figure of the accuracy over the number of target labels."""

import numpy as np

from da_bench.reporting.plots.few_shot import plot_few_shot
from tests.helpers import fake


def few_shot_runs(labels_from, shots, targets):
    """Runs as an experiment with `labels_from` and `shots` leaves them."""
    records = fake.runs(targets, method="source_only", labels_from=labels_from)
    for record in records:
        record.config["shots"] = shots
    return records


def test_lines_with_and_without_source_labels_are_drawn():
    records = fake.runs([0.4, 0.5], method="source_only")
    for labels_from in ("both", "target"):
        for shots in (10, 1, 3):
            records += few_shot_runs(labels_from, shots, [0.5 + 0.01 * shots, 0.6 + 0.01 * shots])
    (axes,) = plot_few_shot(records).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "3", "10"]
    names = [text.get_text().replace("\n", " ") for text in axes.get_legend().get_texts()]
    assert sorted(names) == [
        "source only",
        "source_only, source and target labels",
        "source_only, target labels only",
    ]
    means = [line.get_ydata() for line in axes.get_lines() if len(line.get_xdata()) == 3]
    assert any(np.allclose(mean, [56, 58, 65]) for mean in means)
    assert plot_few_shot(fake.suite()) is None
