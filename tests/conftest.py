"""Strict by default: eight CPU devices, no silent broadcasting, a warm cache of compiled programs."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent.parent / ".cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)  # most programs are small and shared by many files
os.environ["MPLBACKEND"] = "agg"


def pytest_configure(config):
    """Turn off most of XLA's optimisations, as most tests run a program only once or twice.

    Optimised compilation takes longer than it saves; half of its time goes into XLA's fusion emitters.
    """
    if config.option.markexpr == "slow" or any("parity" in argument for argument in config.args):
        return
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module", autouse=True)
def programs_of_one_file():
    """Clear the compiled programs after each file, as the system limits the amount of mapped memory."""
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
