"""Domain adaptation benchmarks in JAX: one file a method, no target labels, every number with its record.

    import da_bench as da
    da.run(da.methods.Dann(weight=0.5), task="digits/synthetic-to-real", seeds=5).table()

Everything is imported when it is first used, so that `import da_bench` and `da-bench --help` cost nothing.
"""

import importlib
from pathlib import Path
from typing import Any

from da_bench.core.version import __version__

# A wheel has `baselines` and `experiments` inside this package; in a checkout they are next to it.
if not (Path(__file__).parent / "baselines").is_dir():
    __path__.append(str(Path(__file__).parents[1]))

_NAMES = {
    "Experiment": "studies.experiment",
    "Training": "training",
    "View": "data.transforms",
    "Msda": "pretrained.representations",
    "UserError": "core.config",
    "Options": "studies.options",
    "check_method": "testing",
    "over_seeds": "studies.study",
    "run": "studies.study",
    "study": "studies.study",
    "load_task": "data.tasks:load",
    "Splits": "core.types",
    "Domain": "core.types",
    "Task": "core.types",
}
_MODULES = {
    "baselines": "baselines",
    "classical": "classical",
    "inspect": "reporting.inspect",
    "losses": "losses",
    "methods": "methods",
    "metrics": "evaluation.metrics",
    "models": "models",
    "pretrained": "pretrained",
    "reporting": "reporting",
    "reproduction": "reporting.reproduction",
    "search": "studies.search",
    "testing": "testing",
    "transferability": "evaluation.transferability",
    "validators": "evaluation.validators",
}

__all__ = ["__version__", *_NAMES, *_MODULES]  # noqa: PLE0604  (one list, not two)


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"da_bench.{_MODULES[name]}")
    if name not in _NAMES:
        raise AttributeError(f"module 'da_bench' has no attribute '{name}'")
    module, _, attribute = _NAMES[name].partition(":")
    value = getattr(importlib.import_module(f"da_bench.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
