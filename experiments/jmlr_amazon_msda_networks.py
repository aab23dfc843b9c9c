"""Does DANN gain on mSDA representations of reviews, as in the second half of the paper's table?

Command: `da-bench reproduce jmlr_amazon_msda_networks --data-root DIR`, where DIR holds amazon_reviews/.
Protocol: all of Table 1 (b). The SVM is that of experiments/jmlr_amazon_msda.py, whose existing records are reused. The
networks have the settings of experiments/jmlr_amazon.py with the paper's smaller learning rate.
Cost: 240 runs with reverse runs; the networks need a GPU (not measured).
Expected: not run yet; the printed numbers are `published.GANIN_AMAZON_MSDA`.
"""

from da_bench.baselines import ganin_reviews, published

import da_bench as da

SEEDS = 5
PASSES = 200
MSDA = da.Msda(layers=5, corruption=0.5)
TRAINING = ganin_reviews.sgd_training(PASSES, evaluations=40, learning_rate=0.0001)


def experiments(task: str) -> list[da.Experiment]:
    """The network without adaptation, DANN and the SVM on one task."""
    networks = ganin_reviews.network_experiments(task, TRAINING, SEEDS, msda=MSDA)
    return [*networks, *ganin_reviews.svm_experiments(task, msda=MSDA)]


PAPER = da.reproduction.Paper(
    title="Ganin et al., JMLR 2016, Table 1: reviews, mSDA, with the networks",
    citation="Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand and Lempitsky, Domain-Adversarial "
    "Training of Neural Networks, JMLR 17(59), 2016, section 5.1.4, and the authors' code.",
    protocol="five layers of mSDA with corruption 0.5, learned on the rows of both domains and appended to the counts; "
    "then as without mSDA: 2000 labelled source rows and 2000 target rows, the target's test split is scored; one run "
    "for each cell",
    selection="early stopping on a tenth of the source; lambda, width and C by reverse validation for each pair",
    rule="reverse_validation",
    label_free=ganin_reviews.LABEL_FREE_RULES,
    cells=da.reproduction.printed(published.GANIN_AMAZON_MSDA, published.GANIN_AMAZON_MSDA_SVM),
    better=published.GANIN_AMAZON_MSDA_BETTER,
    differences=(
        "a single setting of the networks: width 50, lambda 0.1",
        f"always {PASSES} passes and the best of 40 checkpoints, for forward and reverse models",
        "mSDA uses the raw counts, and adds 1e-5 to the diagonal like the authors' code",
        "1800 target rows adapt; the authors' code adapts all 2000, from which mSDA learns here as well",
        "rows are shuffled; target rows are drawn without replacement",
    ),
    cost="120 runs of the SVM, an hour of a CPU core; 120 of the networks with reverse runs, 86 million steps of 7 ms "
    "on that core: needs a GPU (not measured)",
)
EXPERIMENTS = [experiment for task in published.AMAZON for experiment in experiments(task)]
