"""What runs cost, by hand."""

from da_bench.reporting.tables.costs import cost_tables
from tests.helpers import fake


def costs(records):
    (table,) = cost_tables(records)
    return [{column.key: cell for column, cell in zip(table.columns, row, strict=True)} for row in table.rows]


def run(seed=0, seconds=(50.0, 5), peak=(3, None), **more):
    record = fake.record(seed=seed, **more)
    record.result["seconds"] = {"compile": 7.0, "run": seconds[0], "together": seconds[1]}
    record.result["peak_bytes"] = {"host": peak[0] * 2**30, "device": None if peak[1] is None else peak[1] * 2**30}
    return record


def test_inputs_per_second_are_steps_times_labelled_rows():
    """1000 steps of 64 rows; 5 runs that took 50 s together took 10 s each."""
    (row,) = costs([run(), run(1)])
    assert row["seconds"].raw == (10.0,)
    assert row["compile"].raw == (7.0,)
    assert row["steps"].raw == (100.0,)
    assert row["inputs"].raw == (6400.0,)


def test_memory_is_the_peak_of_any_run():
    (row,) = costs([run(peak=(3, 1)), run(1, peak=(2, 4))])
    assert (row["host"].text, row["device"].text) == ("3.0 GiB", "4.0 GiB")
    (row,) = costs([run(peak=(3, None))])
    assert (row["host"].text, row["device"].text) == ("3.0 GiB", "n/a")


def test_unknown_costs_are_marked_as_missing():
    whole_domain = run(training={"batch_size": None})
    classical = run(method="svm")
    classical.config["training"] = classical.config["model"] = None
    rows = {row["method"].text: row for row in costs([whole_domain, classical])}
    assert rows["dann"]["inputs"].text == rows["svm"]["steps"].text == "n/a"
    assert rows["dann"]["steps"].raw == (100.0,)
