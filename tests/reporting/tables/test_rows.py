"""Names of rows, and the rows that they are compared with."""

from da_bench.reporting.tables.naming import row_names
from da_bench.reporting.tables.rows import build_rows, reference_row
from tests.helpers import fake


def test_a_name_has_only_the_settings_that_vary():
    records = [fake.record(weight=weight, steps_d=1, seed=seed) for weight in (1.0, 6.0) for seed in (0, 1)]
    assert row_names(records) == ["dann (weight=1)", "dann (weight=6)"]
    elsewhere = fake.record(weight=1.0, steps_d=1, task="b-to-c")
    assert row_names([*records[:2], elsewhere]) == ["dann"]


def test_training_and_other_methods_fields():
    records = [
        fake.record(weight=1.0),
        fake.record(weight=1.0, training={"learning_rate": 0.1}),
        fake.record(method="coral", weight=9.0),
    ]
    assert row_names(records)[1:] == ["dann (learning_rate=0.1)", "coral"]


def test_gains_are_over_source_only_even_if_another_reference_comes_first():
    other = fake.runs([0.3, 0.31], method="staged_fine_tuning")
    for record in other:
        record.result["adapts"] = False
    records = [*other, *fake.runs([0.6, 0.62], method="source_only"), *fake.runs([0.7, 0.72], method="dann")]
    (dann,) = (row for row in build_rows(records) if row.name == "dann")
    assert reference_row(dann, build_rows(records)).name == "source_only"


def test_a_classical_method_is_compared_with_its_own_classifier():
    names = ("nearest_neighbour", "svm", "logistic_regression")
    records = [fake.record(method=name, target=0.1 * i) for i, name in enumerate(names, 5)]
    for record in records:
        record.result["adapts"] = False
    wanted = {"1nn": "nearest_neighbour", "svm": "svm", "logistic": "logistic_regression"}
    records += [fake.record(method=f"map_{kind}", target=0.9, classifier=kind) for kind in wanted]
    records.append(fake.record(method="weighted", target=0.9))  # has no such field: by a logistic regression
    for record in records:
        record.config["training"] = record.config["model"] = None
    rows = build_rows(records)
    result = {row.name: reference_row(row, rows).name for row in rows if not row.is_source_only}
    assert result == {**{f"map_{kind}": name for kind, name in wanted.items()}, "weighted": "logistic_regression"}
