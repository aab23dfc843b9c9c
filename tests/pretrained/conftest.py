import pytest

from da_bench.models import MODELS, Lenet
from da_bench.pretrained import convert
from tests.helpers import published


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """Register two tiny networks, and use an empty folder of weights."""
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(tmp_path / "imported"))
    networks = {"lenet": Lenet, "small_net": published.SmallNet, "other_net": published.OtherNet}
    monkeypatch.setattr(MODELS, "_entries", networks)
    yield
    convert._names.cache_clear()
