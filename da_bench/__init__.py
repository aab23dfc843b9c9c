"""Domain adaptation benchmarks in JAX: one file a method, no target labels, every number with its record.

    import da_bench as da
    da.run(da.methods.Dann(weight=0.5), task="digits/synthetic-to-real", seeds=5).table()

Everything is imported when it is first used, so that `import da_bench` and `da-bench --help` cost nothing.
"""

import importlib
from typing import Any

from da_bench.version import __version__

_PLACES = {
    "Experiment": "experiment",
    "Training": "train",
    "View": "view",
    "Msda": "msda",
    "UserError": "settings",
    "Options": "job",
    "check_method": "conformance",
    "over_seeds": "execute",
    "run": "execute",
    "study": "execute",
    "load_task": "data.tasks:load",
    "Splits": "types",
    "Domain": "types",
    "Task": "types",
}
_ROOMS = (
    "methods",
    "models",
    "losses",
    "conformance",
    "transferability",
    "evaluate",
    "select",
    "report",
    "search",
    "weights",
    "reproduce",
    "look",
)

__all__ = ["__version__", *_PLACES, *_ROOMS]  # noqa: PLE0604  (one list, not two)


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _ROOMS:
        return importlib.import_module(f"da_bench.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'da_bench' has no attribute '{name}'")
    module, _, attribute = _PLACES[name].partition(":")
    value = getattr(importlib.import_module(f"da_bench.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
