"""Classical methods, in scikit-learn's form, and the reference classifiers that they are read against."""

from da_bench.classical.components import Bda, Jda, Tca
from da_bench.classical.knn import NearestNeighbour
from da_bench.classical.reweighting import DensityRatio, KernelMeanMatching
from da_bench.classical.shallow import LogisticRegression, ShallowCoral
from da_bench.classical.subspaces import Gfk, Pca, SubspaceAlignment
from da_bench.classical.svm import Svm
from da_bench.classical.transport import EmdOt, LinearOt, SinkhornOt

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
    "SubspaceAlignment",
    "Svm",
    "Tca",
]
