"""Provenance: the code, packages and machine that computed a run, without users, hosts or absolute paths."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn", "matplotlib", "pillow")
CODE = ("da_bench", "baselines", "experiments", "requirements.txt")  # changes in these make a checkout dirty


def environment(fingerprint: str, seed: int) -> dict[str, Any]:
    """Describe where and with what this process computes a run, as a record keeps it.

    Args:
        fingerprint: of the data.
        seed: of the run.
    """
    import jax

    return {
        **checkout(),
        "command": " ".join([_program(), *map(_without_folder, sys.argv[1:])]),
        "packages": {name: importlib.metadata.version(name) for name in ("da-bench", *PACKAGES)},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": jax.devices()[0].device_kind,
        "device_count": jax.device_count(),
        "data": fingerprint,
        "seed": seed,
    }


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "da-bench" if name == "__main__.py" else name  # python -m da_bench


def _without_folder(argument: str) -> str:
    """The last part of an absolute path: the folders above it are left out (privacy)."""
    return Path(argument).name if os.path.isabs(argument) else argument


@functools.cache
def checkout() -> dict[str, Any]:
    """Return the commit of the checkout that holds this package, and whether its code has changed since.

    Both are None outside a git checkout.
    """
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ("git", "-C", root, *arguments), capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", *CODE))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
