"""The child process of `subprocess`: executes the one run that the standard input describes."""

import importlib
import json
import os
import runpy
import signal
import sys
import threading
import traceback
from typing import Any

import jax

from da_bench.core.config import UserError
from da_bench.core.shutdown import Stopped
from da_bench.studies.executors import subprocess as isolate
from da_bench.studies.experiment import from_config
from da_bench.studies.options import Options
from da_bench.studies.study import study


def main() -> int:
    """Make the run; the exit code is one of `isolate`'s, or 128 and the signal that stopped it."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        make(asked)
    except UserError as error:
        print(f"da-bench: {error}", file=sys.stderr)
        return error.code
    except Stopped as stopped:
        return 128 + stopped.signal
    except Exception as error:
        traceback.print_exc()
        # the last line is what is recorded; JAX ends a traceback with advice
        print(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}", file=sys.stderr)
        return isolate.OUT_OF_MEMORY if _of_memory(error) else 1
    return 0


def _end_with_parent() -> None:
    """The parent never closes the standard input, so its end is the parent's: save, as nobody waits any more."""
    while os.read(0, 1):  # not through sys.stdin, whose lock a thread must not hold when the process ends
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def make(asked: dict[str, Any]) -> None:
    """The run, on as many devices as the parent would use; its record names the parent's command."""
    sys.argv = asked["argv"]
    jax.config.update("jax_num_cpu_devices", asked["cpu_devices"])
    jax.config.update("jax_compilation_cache_dir", asked["cache"])
    for source in asked["sources"]:
        if source.endswith(".py"):
            runpy.run_path(source)
        else:
            importlib.import_module(source)
    study([from_config(asked["config"])], Options(**asked["options"]))


def _of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


if __name__ == "__main__":
    sys.exit(main())
