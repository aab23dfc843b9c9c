"""What every method is read against, written against da_bench's public API exactly as a third party would.

da_bench finds this package by its entry point ("da_bench.methods" in pyproject.toml) and never imports it by name.
"""

from baselines import on_reviews, published, tllib
from baselines.components import Bda, Jda, Tca
from baselines.fine_tuning import StagedFineTuning, feature_extraction, fine_tuned, full_fine_tuning, staged_fine_tuning
from baselines.knn import NearestNeighbour
from baselines.on_digits import classics
from baselines.on_features import deep_methods, every_method
from baselines.reweighting import DensityRatio, KernelMeanMatching
from baselines.shallow import LogisticRegression, ShallowCoral
from baselines.subspaces import Gfk, Pca, SubspaceAlignment
from baselines.svm import Svm
from baselines.target_only import held_out_target_only, target_only
from baselines.transport import EmdOt, LinearOt, SinkhornOt

__all__ = [
    "Bda",
    "DensityRatio",
    "EmdOt",
    "Gfk",
    "Jda",
    "KernelMeanMatching",
    "LinearOt",
    "LogisticRegression",
    "NearestNeighbour",
    "Pca",
    "ShallowCoral",
    "SinkhornOt",
    "StagedFineTuning",
    "SubspaceAlignment",
    "Svm",
    "Tca",
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
