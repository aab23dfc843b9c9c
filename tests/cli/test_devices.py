import jax
import pytest

from da_bench.cli.devices import set_up  # before the folder's fixture replaces it
from da_bench.core.config import UserError


def test_isolated_runs_cannot_be_distributed():
    with pytest.raises(UserError, match="--distributed"):
        set_up(isolate=True, distributed=True)


def test_a_number_of_processes_that_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    monkeypatch.setattr(jax.distributed, "initialize", None)  # would fail if called
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES = 'two'"):
        set_up(distributed=True)
