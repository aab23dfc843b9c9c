import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data.splits import split_rows

UNSPLIT = {"all": np.arange(1000)}
OFFICIAL = {"train": np.arange(700), "test": np.arange(700, 1000)}


def test_inductive_cuts_a_fifth_and_a_tenth_of_the_rest():
    rows = split_rows("office31/amazon", UNSPLIT, "inductive", "target")
    assert [len(one) for one in rows] == [720, 80, 200]
    assert sorted(np.concatenate(rows)) == list(range(1000))


@pytest.mark.parametrize("role", ["source", "target"])
def test_published_test_part_stays_whole(role):
    train, validation, test = split_rows("mnist", OFFICIAL, "inductive", role)
    assert sorted(test) == list(range(700, 1000))
    assert len(validation) == 70
    assert sorted([*train, *validation]) == list(range(700))


def test_published_validation_part_stays_whole():
    train, validation, test = split_rows("x", {**OFFICIAL, "validation": np.arange(1000, 1010)}, "inductive", "source")
    assert (sorted(train), sorted(validation)) == (list(range(700)), list(range(1000, 1010)))
    assert sorted(test) == list(range(700, 1000))


def test_transductive_adapts_on_what_it_scores():
    target = split_rows("office31/webcam", OFFICIAL, "transductive", "target")
    assert all(sorted(one) == list(range(1000)) for one in target)
    train, validation, test = split_rows("office31/amazon", UNSPLIT, "transductive", "source")
    assert sorted([*train, *validation]) == list(range(1000))
    assert len(validation) == 100
    np.testing.assert_array_equal(validation, test)


@pytest.mark.parametrize("role", ["source", "target"])
@pytest.mark.parametrize("parts", [UNSPLIT, OFFICIAL])
def test_whole_trains_on_all_rows_of_either_domain(parts, role):
    assert [sorted(one) for one in split_rows("office31/webcam", parts, "whole", role)] == [list(range(1000))] * 3


def test_the_cut_is_a_function_of_the_name_alone():
    first, again = (split_rows("office31/amazon", UNSPLIT, "inductive", role) for role in ("source", "target"))
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = split_rows("office31/dslr", UNSPLIT, "inductive", "source")
    assert set(other.test) != set(first.test)


def test_the_order_of_files_reaches_nobody():
    """Files come sorted by class; every split is in random order: row numbers and ranks are uncorrelated."""
    for rows in split_rows("office31/amazon", UNSPLIT, "inductive", "target"):
        assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 4 / np.sqrt(len(rows))


def test_two_examples_are_too_few():
    with pytest.raises(UserError, match="'tiny/a' has fewer than 3 examples"):
        split_rows("tiny/a", {"all": np.arange(2)}, "inductive", "source")


def test_three_examples_are_one_each():
    assert [len(rows) for rows in split_rows("tiny/a", {"all": np.arange(3)}, "inductive", "source")] == [1, 1, 1]
