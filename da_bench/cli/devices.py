"""JAX's devices and cache of compiled programs, as the commands that make runs use them."""

import os
from typing import Any

import jax

from da_bench.core.config import UserError
from da_bench.core.storage import cache_folder
from da_bench.studies.options import ISOLATE_DISTRIBUTED_CONFLICT


def set_up(isolate: bool = False, distributed: bool = False) -> None:
    """Use one CPU device a core, as runs are spread over devices, and keep compiled programs in the cache folder.

    Must be called before JAX is first used.

    Args:
        isolate: leave accelerators to the processes of the runs, since this one would reserve most of their memory.
        distributed: connect to the other processes.

    Raises:
        UserError: both, or a variable that describes the processes is not a number.
    """
    if isolate and distributed:  # before it waits for the other processes
        raise UserError(ISOLATE_DISTRIBUTED_CONFLICT)
    if isolate:
        jax.config.update("jax_platforms", "cpu")
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder("programs")))
    if distributed:
        variables = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}
        # what is not given here, the cluster's scheduler provides
        jax.distributed.initialize(**{name: _number(key) for name, key in variables.items() if key in os.environ})


def _number(variable: str) -> Any:
    """The value of an environment variable as a whole number."""
    text = os.environ[variable]
    if not text.isdecimal():
        raise UserError(f"{variable} = '{text}': give a whole number, or unset the variable")
    return int(text)
