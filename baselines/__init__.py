"""Recipes that use da_bench's public API: reference methods, sets of methods, and the protocols of papers.

da_bench loads this package through its entry point ("da_bench.methods" in pyproject.toml) and never imports it by name.
"""

from da_bench.baselines import ganin_reviews, published, tllib
from da_bench.baselines.fine_tuning import (
    StagedFineTuning,
    feature_extraction,
    fine_tuned,
    full_fine_tuning,
    staged_fine_tuning,
)
from da_bench.baselines.method_sets import all_methods_on_features, classic_methods, deep_methods
from da_bench.baselines.target_only import held_out_target_only, target_only

__all__ = [
    "StagedFineTuning",
    "all_methods_on_features",
    "classic_methods",
    "deep_methods",
    "feature_extraction",
    "fine_tuned",
    "full_fine_tuning",
    "ganin_reviews",
    "held_out_target_only",
    "published",
    "staged_fine_tuning",
    "target_only",
    "tllib",
]
