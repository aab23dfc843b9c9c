import pytest

from da_bench.models import MODELS, Lenet
from da_bench.pretrained import convert
from tests.helpers import published


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """Two small networks, and an empty folder of weights."""
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(tmp_path / "imported"))
    things = {"lenet": Lenet, "small_net": published.SmallNet, "other_net": published.OtherNet}
    monkeypatch.setattr(MODELS, "_entries", things)
    yield
    convert._names.cache_clear()
