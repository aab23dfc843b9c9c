"""The child process of `subprocess`: computes the one run that its standard input describes."""

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
from da_bench.studies.executors.subprocess import OUT_OF_MEMORY
from da_bench.studies.experiment_files import from_config
from da_bench.studies.options import Options
from da_bench.studies.study import study


def main() -> int:
    """Compute the run and return an exit code that `subprocess` interprets; 128 plus the signal that stopped it."""
    message = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        run_described(message)
    except UserError as error:
        print(f"da-bench: {error}", file=sys.stderr)
        return error.code
    except Stopped as stopped:
        return 128 + stopped.signal
    except Exception as error:
        traceback.print_exc()
        # the last line is recorded, and JAX ends a traceback with advice
        print(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}", file=sys.stderr)
        return OUT_OF_MEMORY if _is_out_of_memory(error) else 1
    return 0


def _end_with_parent() -> None:
    """Save and end when the standard input ends: the parent never closes it, so EOF means that the parent died."""
    while os.read(0, 1):  # not through sys.stdin, whose lock a thread must not hold when the process ends
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def run_described(message: dict[str, Any]) -> None:
    """Compute a run on as many devices as the parent would use; its record names the parent's command.

    Args:
        message: the JSON object of `subprocess.describe_run`.
    """
    sys.argv = message["argv"]
    jax.config.update("jax_num_cpu_devices", message["cpu_devices"])
    jax.config.update("jax_compilation_cache_dir", message["cache"])
    for source in message["sources"]:
        if source.endswith(".py"):
            runpy.run_path(source)
        else:
            importlib.import_module(source)
    study([from_config(message["config"])], Options(**message["options"]))


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


if __name__ == "__main__":
    sys.exit(main())
