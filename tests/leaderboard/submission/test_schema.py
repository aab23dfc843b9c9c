"""The schema accepts the records of runs and nothing else."""

import copy

import pytest

from da_bench.core.strict_json import StrictError
from da_bench.leaderboard.submission import schema
from tests.helpers.synthetic_runs import predicted_run


@pytest.fixture(scope="module")
def record():
    return predicted_run("coral", 0).record


@pytest.mark.parametrize("part", schema.PARTS)
def test_a_record_fits(record, part):
    value = getattr(record, part)
    assert schema.validate(schema.PARTS[part], value, part) == value


@pytest.mark.parametrize("part", schema.PARTS)
def test_a_field_too_many_or_too_few_does_not_fit(record, part):
    value = getattr(record, part)
    with pytest.raises(StrictError, match="more"):
        schema.validate(schema.PARTS[part], {**value, "more": 1}, part)
    for name in value:
        with pytest.raises(StrictError, match=name):
            schema.validate(schema.PARTS[part], {key: field for key, field in value.items() if key != name}, part)


def leaves(tree, path=()):
    if isinstance(tree, (dict, list)):
        for key, inner in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(inner, (*path, key))
    else:
        yield path


@pytest.mark.parametrize("value", [float("nan"), {}, b"x", True], ids=["nan", "object", "bytes", "bool"])
def test_no_number_may_be_anything_else(record, value):
    """Each number of a result in turn, but not free text or free fields."""
    tried = 0
    for path in leaves(record.result):
        number = record.result
        for key in path:
            number = number[key]
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        wrong = copy.deepcopy(record.result)
        inner = wrong
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        with pytest.raises(StrictError):
            schema.validate(schema.Result, wrong, "result")
        tried += 1
    assert tried > 20
