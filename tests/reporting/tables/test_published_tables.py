import numpy as np
import pytest

from da_bench.data import tasks
from da_bench.methods import METHODS, load_plugins
from da_bench.reporting.stats.intervals import prediction_interval
from da_bench.reporting.tables.published import FORMS, NUMBERS, Source, publish
from da_bench.reporting.tables.published_tables import published_tables
from tests.helpers import fake

load_plugins()

# What the sources print as the mean over their pairs, to their own rounding.
AVERAGES = {
    ("TLlib", "source_only"): 79.5, ("TLlib", "dann"): 86.1, ("TLlib", "adda"): 87.3, ("TLlib", "bsp"): 87.8,
    ("TLlib", "mmd"): 83.7, ("TLlib", "jan"): 87.0, ("TLlib", "cdan"): 87.7, ("TLlib", "mcd"): 85.4,
    ("TLlib", "afn"): 88.6, ("TLlib", "mdd"): 89.6, ("TLlib", "mcc"): 89.6, ("TLlib", "fix_match"): 86.4,
    ("SHOT", "source_only"): 79.3, ("SHOT", "shot"): 88.6,
    ("original papers", "source_only"): 76.1, ("original papers", "mmd"): 80.4, ("original papers", "dann"): 82.2,
    ("original papers", "jan"): 84.3, ("original papers", "dsan"): 88.4,
    ("DeepDA", "source_only"): 82.03, ("DeepDA", "mmd"): 83.72, ("DeepDA", "coral"): 81.92, ("DeepDA", "dann"): 83.89,
    ("DeepDA", "dsan"): 88.62,
    ("Ganin et al. 2016, reviews", "source_only"): 76.1, ("Ganin et al. 2016, reviews", "dann"): 76.3,
    ("Ganin et al. 2016, reviews, SVM", "svm"): 76.0,
    ("classical, SURF", "nearest_neighbour"): 31.4, ("classical, SURF", "pca"): 43.6, ("classical, SURF", "tca"): 46.2,
    ("classical, SURF", "gfk"): 43.1,
    ("classical, SURF", "jda"): 46.8, ("classical, SURF", "shallow_coral"): 48.8,
    ("classical, DeCAF6", "nearest_neighbour"): 71.1, ("classical, DeCAF6", "svm"): 82.0,
    ("classical, DeCAF6", "pca"): 81.7,
    ("classical, DeCAF6", "tca"): 85.6, ("classical, DeCAF6", "gfk"): 81.5, ("classical, DeCAF6", "jda"): 88.2,
    ("classical, DeCAF6", "shallow_coral"): 84.7,
    ("deep, AlexNet", "source_only"): 86.1, ("deep, AlexNet", "ddc"): 88.2, ("deep, AlexNet", "mmd"): 90.1,
}  # fmt: skip


@pytest.mark.parametrize("key", AVERAGES, ids=" ".join)
def test_published_numbers_have_the_mean_that_their_source_prints(key):
    (number,) = (number for number in NUMBERS if (number.source.name, number.method) == key)
    assert 100 * np.mean(list(number.accuracy.values())) == pytest.approx(AVERAGES[key], abs=0.051)


def test_published_numbers_name_registered_methods_and_tasks():
    for number in NUMBERS:
        assert number.method in {*METHODS, *FORMS, "target_only"}
        assert [tasks.spec(task).name for task in number.accuracy] == list(number.accuracy)


def result(table, method, source):
    return next(row for row in table.rows if (row[0].text, row[1].text) == (method, source))


def on_office(targets, network="resnet50", protocol="transductive", **more):
    task = "office31/amazon-to-webcam" + ("@transductive" if protocol == "transductive" else "")
    records = fake.runs(targets, task=task, **more)
    for record in records:
        record.config["model"] = {"name": network}
        record.result["protocol"] = protocol
    return records


def test_a_cell_has_the_measured_and_the_published_number():
    (table,) = published_tables(on_office([0.90, 0.92, 0.91]))
    row = result(table, "dann", "TLlib")
    assert row[2].text == "91.0 ± 2.5 (91.4)"
    assert row[2].raw == (pytest.approx(0.91), 0.914)
    assert (row[2].mark, row[3].text, row[4].text) == ("", "1 of 1", "neither network nor protocol")
    assert result(table, "dann", "original papers")[3].text == "0 of 1"  # 82.0
    assert any("best epoch on labelled target images" in note for note in table.notes)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"network": "small_cnn"}, "network: resnet50 published, small_cnn here"),
        ({"protocol": "inductive"}, "protocol: transductive published, inductive here"),
    ],
)
def test_a_number_of_another_experiment_is_not_a_target(arguments, expected):
    (table,) = published_tables(on_office([0.90, 0.92, 0.91], **arguments))
    row = result(table, "dann", "TLlib")
    assert (row[2].mark, row[3].text, row[4].text) == ("other", "–", expected)
    assert "*91.0 ± 2.5 (91.4)*" in table.markdown()


def test_the_upper_bound_is_compared_with_published_ones():
    bound = fake.runs([0.95, 0.96], task="mnist-to-mnist_m", method="source_only", labels_from="target")
    (table,) = published_tables(bound)
    assert [row[1].text for row in table.rows] == ["Ganin et al. 2016, digits"]


def test_without_published_numbers_there_is_no_table():
    assert published_tables(fake.runs([0.5], task="moons/35")) == []


def test_prediction_interval_by_hand():
    # mean 2, s = 1, t(0.975, 2) = 4.302653: 4.302653 * sqrt(4 / 3) = 4.968276
    assert prediction_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.968276, 2 + 4.968276), abs=1e-5)
    with pytest.raises(ValueError, match="two or more"):
        prediction_interval([0.5])
    # of the mean of three: 4.302653 * sqrt(1 / 3 + 1 / 3) = 3.513101
    assert prediction_interval([1.0, 2.0, 3.0], 3) == pytest.approx((2 - 3.513101, 2 + 3.513101), abs=1e-5)


def test_prediction_interval_covers_the_next_value():
    values = np.random.default_rng(0).normal(0.7, 0.02, (10_000, 8))
    for more in (1, 3):
        result = [(prediction_interval(sample[:5], more), sample[5 : 5 + more].mean()) for sample in values]
        assert np.mean([low <= mean <= high for (low, high), mean in result]) == pytest.approx(0.95, abs=0.01)


def test_inside_allows_for_the_rounding_of_published_numbers():
    """TLlib prints 91.4, the mean of three; source only's 75.8 is of one run."""
    up = 0.03 * 4.302653 * np.sqrt(2 / 3)  # from the mean to the end of the interval
    for offset, expected in ((0.0004, "1 of 1"), (0.0006, "0 of 1")):
        mean = 0.914 - up - offset
        (table,) = published_tables(on_office([mean - 0.03, mean, mean + 0.03]))
        assert result(table, "dann", "TLlib")[3].text == expected


def test_wrong_tables_are_refused():
    source = Source("x", "x", "x", "x", "x", "x")
    with pytest.raises(ValueError, match=r"\[0, 100\]"):
        publish(source, ["a"], {"dann": [101.0]})
    with pytest.raises(ValueError, match="argument"):
        publish(source, ["a", "b"], {"dann": [50.0]})
    assert not any(number.source is source for number in NUMBERS)
