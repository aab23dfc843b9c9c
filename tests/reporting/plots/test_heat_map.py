"""Heat map of gains, by hand."""

from da_bench.reporting.plots.heat_map import plot_heat_map
from tests.helpers import fake
from tests.reporting.tables.test_pair_tables import study


def test_a_heat_map_by_hand():
    records = study({"dann": [0.1, -0.2]}, ["a/x", "a/y"], noise=1e-6)
    other = study({"mcc": [0.05, 0.05]}, ["a/x", "a/y"], noise=1e-6)
    records += [record for record in other if record.config["task"] == "a/x"][3:]
    records += fake.runs([0.5, 0.5, 0.5], task="a/z", method="source_only")
    records += fake.runs([0.6] * 3, task="a/z", method="mcc")
    axes = plot_heat_map(records).axes[0]
    cells = {tuple(reversed(text.get_position())): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "+10.0", (0, 1): "-20.0▼", (0, 2): "×", (1, 0): "+5.0", (1, 1): "×", (1, 2): "+10.0"}
    assert [text.get_text() for text in axes.get_xticklabels()] == ["x", "y", "z"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["dann", "mcc"]


def test_a_family_and_a_protocol_that_all_pairs_share_are_in_the_title():
    tasks = ["office31/amazon-to-dslr@transductive", "office31/dslr-to-amazon@transductive"]
    axes = plot_heat_map(study({"dann": [0.1, 0.2]}, tasks, noise=1e-6)).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["amazon → dslr", "dslr → amazon"]
    assert axes.get_title("left").endswith("office31 (transductive)")
