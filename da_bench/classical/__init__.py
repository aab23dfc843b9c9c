"""Classical methods in scikit-learn's form, and reference classifiers without adaptation.

Importing this package registers them. `da_bench.methods.load_plugins()` does so through the entry point
"da_bench.methods", by which other packages register their methods, too.
"""

# isort: off
# The order of registration is the order of rows in tables and of runs in experiments.
from da_bench.classical.components import Bda, Jda, Tca
from da_bench.classical.nearest_neighbour import NearestNeighbour
from da_bench.classical.reweighting import DensityRatio, KernelMeanMatching
from da_bench.classical.svm import Svm
from da_bench.classical.logistic_regression import LogisticRegression
from da_bench.classical.coral import ShallowCoral
from da_bench.classical.subspaces import Gfk, Pca, SubspaceAlignment
from da_bench.classical.transport import EmdOt, LinearOt, SinkhornOt

# isort: on
from da_bench.classical.a_distance import proxy_a_distance
from da_bench.classical.base import Alignment, AlignmentMethod, FittedClassifier

__all__ = [
    "Alignment",
    "AlignmentMethod",
    "Bda",
    "DensityRatio",
    "EmdOt",
    "FittedClassifier",
    "Gfk",
    "Jda",
    "KernelMeanMatching",
    "LinearOt",
    "LogisticRegression",
    "NearestNeighbour",
    "Pca",
    "ShallowCoral",
    "SinkhornOt",
    "SubspaceAlignment",
    "Svm",
    "Tca",
    "proxy_a_distance",
]
