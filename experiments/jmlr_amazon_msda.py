"""Does an SVM on reviews whose words mSDA has put together reach what the second half of the paper's table has?

Command: `da-bench reproduce jmlr_amazon_msda --data-root DIR`, where DIR holds amazon_reviews/.
The SVM's column of the paper's table 1 (b): the inputs are 30000 columns, counts of words and five layers of mSDA,
learned once a pair and kept in the cache, a gigabyte and more each; C is by the paper's search and rule. The networks
on the same columns are experiments/jmlr_amazon_msda_networks.py.
Expect 10 of 12 numbers to a point, the other two 2.5 and 3.1 points above. Of books to dvd, the one that is equal as
printed, two C have the same score, and the larger is 0.7 points below.
"""

from da_bench.baselines import on_reviews, published

import da_bench as da

MSDA = da.Msda(layers=5, corruption=0.5)
PAPER = da.reproduction.Paper(
    title="Ganin et al., JMLR 2016, Table 1: reviews, mSDA",
    citation="Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand and Lempitsky, Domain-Adversarial "
    "Training of Neural Networks, JMLR 17(59), 2016, section 5.1.4, and the authors' code.",
    protocol="five layers of mSDA with corruption 0.5 of both domains' rows, beside the counts; then as without: 2000 "
    "labelled source rows, the target's test part is scored; one run a cell",
    selection="C by reverse validation, pair by pair",
    rule="reverse_validation",
    label_free=on_reviews.LABEL_FREE_RULES,
    cells=da.reproduction.printed(published.GANIN_AMAZON_MSDA_SVM),
    differences=(
        "mSDA is of the counts as they are, and adds 1e-5 to the diagonal as the authors' code does",
        "a tenth of each domain's 2000 rows, of which mSDA learns, trains no machine, forward or in reverse",
    ),
    cost="120 runs, forward and in reverse, and twelve representations: an hour of a CPU core",
)
EXPERIMENTS = [one for task in published.AMAZON for one in on_reviews.machines(task, msda=MSDA)]
