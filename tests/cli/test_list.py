"""`da-bench list`."""

import json

import pytest

from da_bench.data import tasks
from da_bench.evaluation.validators import VALIDATORS
from da_bench.methods import METHODS
from da_bench.models import MODELS


@pytest.mark.parametrize(
    ("kind", "names"), [("methods", METHODS), ("tasks", tasks.names()), ("models", MODELS), ("validators", VALIDATORS)]
)
def test_list_names_everything_for_people_and_for_programs(kind, names, command):
    _, text, _ = command("list", kind)
    _, out, _ = command("list", kind, "--json")
    assert [thing["name"] for thing in json.loads(out)] == list(names)
    assert [line.split()[0] for line in text.splitlines()] == list(names)
    assert all(thing["summary"] for thing in json.loads(out))
