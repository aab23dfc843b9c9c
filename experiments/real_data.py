"""Do the quickstart's methods gain anything on photographs, reviews and histograms, with small networks from scratch?

Command: `da-bench run experiments/real_data.py --data-root DIR`, where DIR holds office31/, amazon_reviews/ and
office_caltech10/surf/. `da-bench data list` says what is there, `da-bench data about office31` where to get it.
Protocol: inductive; nothing was tuned. The photographs are seen at 32 pixels by a network that has seen no others: it
tests the path from files to a table, and is no match for pretrained networks.
"""

import da_bench as da
from baselines import LogisticRegression, ShallowCoral, target_only

SEEDS = 3
DEEP = [da.methods.SourceOnly(), da.methods.Dann(), da.methods.Coral(), da.methods.Mmd()]
SHALLOW = [LogisticRegression(), ShallowCoral()]


def compared(task: str, methods: list, **settings: object) -> list[da.Experiment]:
    """Every method and the upper bound on one pair, with the same seeds; what is deterministic runs once."""
    runs = [da.Experiment(task=task, method=method, **settings) for method in methods]
    return da.over_seeds([*runs, target_only(runs[0])], SEEDS)


def once(task: str) -> list[da.Experiment]:
    """The methods without a network."""
    return [da.Experiment(task=task, method=method) for method in SHALLOW]


PHOTOGRAPHS = {"training": da.Training(steps=400, evaluations=4, batch_size=32), "view": da.View(pixels=32)}
FEATURES = {"training": da.Training(steps=600, evaluations=6, batch_size=64)}
EXPERIMENTS = [
    *compared("office31/amazon-to-webcam", DEEP, **PHOTOGRAPHS),
    *compared("amazon_reviews/books-to-dvd", DEEP, **FEATURES),
    *compared("office_caltech10_surf/caltech10-to-amazon", DEEP, **FEATURES),
    *once("office_caltech10_surf/caltech10-to-amazon"),
]
