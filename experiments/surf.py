"""Do the classical methods give the accuracies on Office-Caltech10's SURF histograms that tables print of them?

Command: `da-bench reproduce surf --data-root DIR`, where DIR holds office_caltech10/surf/.
Histograms of 800 visual words, each divided by its sum, then every column of either domain of mean 0 and variance 1.
All rows of the source train, all of the target adapt, without labels, and are scored. Subspaces of five sizes, of which
the printed tables took the best by target labels; and three C of the SVM, which they do not tell.
Expect: the nearest neighbour to the last digit, of the others 4 of 72: what else they were made with is not printed.
"""

from da_bench.baselines import published

import da_bench as da
from da_bench.classical import Gfk, Jda, NearestNeighbour, Pca, ShallowCoral, SubspaceAlignment, Svm, Tca

DIMENSIONS = (20, 40, 60, 80, 100)
CS = (1e-4, 1e-3, 1e-2)
SCALED = {"normalise": "l1", "scaling": "each"}


def methods() -> list:
    """Every method at every size of its subspace; none is random."""
    of_sizes = [
        cls(dimensions=k, normalise="l1") for cls in (Pca, SubspaceAlignment, Gfk, Tca, Jda) for k in DIMENSIONS
    ]
    of_cs = [one for c in CS for one in (Svm(c=c, **SCALED), ShallowCoral(c=c, classifier="svm", normalise="l1"))]
    return [NearestNeighbour(**SCALED), *of_cs, *of_sizes]


def pair(task: str) -> list[da.Experiment]:
    """Each method on one pair."""
    return [da.Experiment(task=f"{task}@whole", method=one) for one in methods()]


PAPER = da.reproduction.Paper(
    title="Office-Caltech10, SURF: classical methods",
    citation=published.SURF.citation,
    protocol="histograms divided by their sums, then z-scored in each domain; all source rows train, all target rows "
    "adapt and are scored; the nearest neighbour classifies, but for the SVM and CORAL",
    selection="dimensions by target labels",
    rule="oracle",
    label_free={"svm": "last", "shallow_coral": "last"},
    cells=da.reproduction.printed(published.SURF),
    differences=(
        "JDA's contrasts are the paper's; the authors' code multiplies that of the domains by the number of classes, "
        "and keeps half of that of a class that is guessed nowhere",
        "what the tables do not tell: the sizes of subspaces and the C of the SVM are searched, penalties are 1",
        "C = 1 was tried first, on nine pairs, and left out after its accuracy was seen: it was below and slow",
        "the SVM is one against the rest, with a squared hinge loss",
        "of the SVM and CORAL there is no honest number: margins grow with C, and with them what a rule without labels "
        "says of them",
        "what the honest rule asks of held-out source rows it asks of those that trained, as none are held out",
    ),
    cost="384 runs, 14 minutes on two busy CPU cores",
)
EXPERIMENTS = [one for task in published.OFFICE_CALTECH10 for one in pair(task)]
NEAREST = {place: value for place, value in PAPER.cells.items() if place[0] == "nearest_neighbour"}
QUICK = da.reproduction.Quick(
    experiments=[one for one in EXPERIMENTS if isinstance(one.method, NearestNeighbour)],
    within={place: (value - 5e-4, value + 5e-4) for place, value in NEAREST.items()},
)
