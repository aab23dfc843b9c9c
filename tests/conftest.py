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


@pytest.fixture(scope="module", autouse=True)
def forgotten_programs():
    """A process that holds many thousand compiled programs runs into the system's limit of mapped memory."""
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
