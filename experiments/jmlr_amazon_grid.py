"""What does DANN gain on reviews with the paper's full search, its settings chosen without target labels?

Command: `da-bench reproduce jmlr_amazon_grid --data-root DIR`, where DIR holds amazon_reviews/; preferably as an array
of jobs, `--shard 1/24` ... `--shard 24/24`, then once without `--shard`.
Protocol: that of experiments/jmlr_amazon.py with the paper's nine lambdas and two widths.
Cost: 1320 runs, 25 to 40 hours of a CPU core (not measured).
Expected: not run yet; the printed numbers are `published.GANIN_AMAZON`.
"""

import numpy as np
from da_bench.baselines import ganin_reviews, published

import da_bench as da

SEEDS = 5
WIDTHS = (50, 100)
LAMBDAS = np.logspace(-2, 0, 9).tolist()
TRAINING = ganin_reviews.sgd_training(passes=200, evaluations=40)


def experiments(task: str) -> list[da.Experiment]:
    """Every setting of the three methods on one task; the SVM is deterministic."""
    methods = [da.methods.SourceOnly(), *map(ganin_reviews.shallow_dann, LAMBDAS)]
    networks = [
        da.Experiment(task=task, method=method, model=da.models.Mlp(hidden=(width,)), training=TRAINING)
        for width in WIDTHS
        for method in methods
    ]
    return [*da.over_seeds(networks, SEEDS), *ganin_reviews.svm_experiments(task)]


PAPER = da.reproduction.Paper(
    title="Ganin et al., JMLR 2016, Table 1: reviews, with the paper's search",
    citation="Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand and Lempitsky, Domain-Adversarial "
    "Training of Neural Networks, JMLR 17(59), 2016, section 5.1.3, and the authors' code.",
    protocol="2000 labelled source rows and 2000 target rows, a tenth of which validates; the target's test split is "
    "scored; stochastic gradient descent with one row of each domain for each step, at most 200 passes; one run for "
    "each cell",
    selection="early stopping on a tenth of the source; lambda, width and C by reverse validation for each pair",
    rule="reverse_validation",
    label_free=ganin_reviews.LABEL_FREE_RULES,
    cells=da.reproduction.printed(published.GANIN_AMAZON, published.GANIN_AMAZON_SVM),
    better=published.GANIN_AMAZON_BETTER,
    differences=(
        "always 200 passes and the best of 40 checkpoints, for forward and reverse models",
        "1800 target rows adapt; the authors' code adapts all 2000",
        "rows are shuffled; target rows are drawn without replacement",
    ),
    cost="1320 runs and their reverse runs, 860 million steps: 25 to 40 hours of a CPU core at the speed of "
    "jmlr_amazon (not measured)",
)
EXPERIMENTS = [experiment for task in published.AMAZON for experiment in experiments(task)]
