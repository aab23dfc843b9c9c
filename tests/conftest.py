"""Strict by default: eight CPU devices, no silent broadcasting, a warm cache of compiled programs."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent.parent / ".cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
os.environ["MPLBACKEND"] = "agg"


# held against numpy or for what they do, not for how their programs round
FOLDERS = ("methods", "models", "baselines")
QUICKLY_COMPILED = {*FOLDERS, "test_execute", "test_view", "test_cli", "test_cli_new", "test_reverse"}


@pytest.fixture(scope="module", autouse=True)
def programs_of_one_file(request):
    """Compiled well but where that proves nothing, and forgotten, as the system limits how much memory is mapped."""
    quickly = not QUICKLY_COMPILED.isdisjoint({request.path.parent.name, request.path.stem})
    jax.config.update("jax_disable_most_optimizations", quickly)
    yield
    jax.clear_caches()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def x64():
    """Double precision within one test."""
    with jax.enable_x64(True):
        yield
