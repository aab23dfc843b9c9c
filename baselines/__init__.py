"""What every method is read against, written against da_bench's public API exactly as a third party would.

da_bench finds this package by its entry point ("da_bench.methods" in pyproject.toml) and never imports it by name.
"""

from baselines.shallow import LogisticRegression, ShallowCoral
from baselines.target_only import target_only

__all__ = ["LogisticRegression", "ShallowCoral", "target_only"]
