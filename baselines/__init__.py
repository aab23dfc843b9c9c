"""Recipes against da_bench's public API: what every method is read against, and the protocols of papers.

da_bench finds this package by its entry point ("da_bench.methods" in pyproject.toml) and never imports it by name.
"""

from da_bench.baselines import on_reviews, published, tllib
from da_bench.baselines.fine_tuning import (
    StagedFineTuning,
    feature_extraction,
    fine_tuned,
    full_fine_tuning,
    staged_fine_tuning,
)
from da_bench.baselines.on_digits import classics
from da_bench.baselines.on_features import deep_methods, every_method
from da_bench.baselines.target_only import held_out_target_only, target_only

__all__ = [
    "StagedFineTuning",
    "classics",
    "deep_methods",
    "every_method",
    "feature_extraction",
    "fine_tuned",
    "full_fine_tuning",
    "held_out_target_only",
    "on_reviews",
    "published",
    "staged_fine_tuning",
    "target_only",
    "tllib",
]
