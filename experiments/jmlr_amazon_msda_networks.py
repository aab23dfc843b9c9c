"""Does DANN gain on reviews whose words mSDA has put together already, as the second half of the paper's table has it?

Command: `da-bench reproduce jmlr_amazon_msda_networks --data-root DIR`, where DIR holds amazon_reviews/.
All of the paper's table 1 (b): the SVM as in experiments/jmlr_amazon_msda.py, whose runs are taken where they are on
record; the networks at one setting, that of experiments/jmlr_amazon.py, with the paper's smaller learning rate.
Not made here: the printed numbers are all there is to expect, those of `published.GANIN_AMAZON_MSDA`.
"""

from da_bench.baselines import on_reviews, published

import da_bench as da

SEEDS = 5
PASSES = 200
MSDA = da.Msda(layers=5, corruption=0.5)
TRAINING = on_reviews.row_by_row(PASSES, evaluations=40, learning_rate=0.0001)


def pair(task: str) -> list[da.Experiment]:
    """The network without adaptation, DANN and the SVM."""
    return [*on_reviews.networks(task, TRAINING, SEEDS, msda=MSDA), *on_reviews.machines(task, msda=MSDA)]


PAPER = da.reproduction.Paper(
    title="Ganin et al., JMLR 2016, Table 1: reviews, mSDA, with the networks",
    citation="Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand and Lempitsky, Domain-Adversarial "
    "Training of Neural Networks, JMLR 17(59), 2016, section 5.1.4, and the authors' code.",
    protocol="five layers of mSDA with corruption 0.5 of both domains' rows, beside the counts; then as without: 2000 "
    "labelled source and 2000 target rows, the target's test part is scored; one run a cell",
    selection="early stopping on a tenth of the source; lambda, width and C by reverse validation, pair by pair",
    rule="reverse_validation",
    label_free=on_reviews.LABEL_FREE_RULES,
    cells=da.reproduction.printed(published.GANIN_AMAZON_MSDA, published.GANIN_AMAZON_MSDA_SVM),
    better=published.GANIN_AMAZON_MSDA_BETTER,
    differences=(
        "one setting of the networks, width 50 and lambda 0.1",
        f"{PASSES} passes always, of which the best of 40 checkpoints is taken, forward and in reverse",
        "mSDA is of the counts as they are, and adds 1e-5 to the diagonal as the authors' code does",
        "1800 target rows adapt, where the authors' code adapts all 2000, of which mSDA learns here, too",
        "rows are shuffled, the target's without replacement",
    ),
    cost="the SVM's 120 runs, an hour of a CPU core; the networks' 120, forward and in reverse, 86 million steps of "
    "7 ms there: an accelerator (not measured)",
)
EXPERIMENTS = [one for task in published.AMAZON for one in pair(task)]
