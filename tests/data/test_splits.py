import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data.splits import split_rows

UNSPLIT = {"all": np.arange(1000)}
OFFICIAL = {"train": np.arange(700), "test": np.arange(700, 1000)}


def test_inductive_holds_out_a_fifth_then_a_tenth_of_the_rest():
    rows = split_rows("office31/amazon", UNSPLIT, "inductive", "target")
    assert [len(split) for split in rows] == [720, 80, 200]
    assert sorted(np.concatenate(rows)) == list(range(1000))


@pytest.mark.parametrize("role", ["source", "target"])
def test_published_test_part_is_kept(role):
    train, validation, test = split_rows("mnist", OFFICIAL, "inductive", role)
    assert sorted(test) == list(range(700, 1000))
    assert len(validation) == 70
    assert sorted([*train, *validation]) == list(range(700))


def test_published_validation_part_is_kept():
    train, validation, test = split_rows("x", {**OFFICIAL, "validation": np.arange(1000, 1010)}, "inductive", "source")
    assert (sorted(train), sorted(validation)) == (list(range(700)), list(range(1000, 1010)))
    assert sorted(test) == list(range(700, 1000))


def test_transductive_target_uses_the_same_rows_in_every_split():
    target = split_rows("office31/webcam", OFFICIAL, "transductive", "target")
    assert all(sorted(split) == list(range(1000)) for split in target)
    train, validation, test = split_rows("office31/amazon", UNSPLIT, "transductive", "source")
    assert sorted([*train, *validation]) == list(range(1000))
    assert len(validation) == 100
    np.testing.assert_array_equal(validation, test)


@pytest.mark.parametrize("role", ["source", "target"])
@pytest.mark.parametrize("parts", [UNSPLIT, OFFICIAL])
def test_whole_uses_all_rows_in_every_split(parts, role):
    assert [sorted(split) for split in split_rows("office31/webcam", parts, "whole", role)] == [list(range(1000))] * 3


def test_split_depends_only_on_the_domain_name():
    source_split, target_split = (
        split_rows("office31/amazon", UNSPLIT, "inductive", role) for role in ("source", "target")
    )
    for first_rows, second_rows in zip(source_split, target_split, strict=True):
        np.testing.assert_array_equal(first_rows, second_rows)
    other = split_rows("office31/dslr", UNSPLIT, "inductive", "source")
    assert set(other.test) != set(source_split.test)


def test_splits_are_in_random_order():
    """Row numbers are uncorrelated with ranks, although files are sorted by class."""
    for rows in split_rows("office31/amazon", UNSPLIT, "inductive", "target"):
        assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 4 / np.sqrt(len(rows))


def test_fewer_than_three_examples_are_refused():
    with pytest.raises(UserError, match="'tiny/a' has fewer than 3 examples"):
        split_rows("tiny/a", {"all": np.arange(2)}, "inductive", "source")


def test_three_examples_give_one_row_per_split():
    assert [len(rows) for rows in split_rows("tiny/a", {"all": np.arange(3)}, "inductive", "source")] == [1, 1, 1]
