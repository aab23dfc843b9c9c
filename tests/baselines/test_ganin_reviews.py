"""The protocol of Ganin et al. on reviews."""

import numpy as np
from da_bench.baselines import ganin_reviews


def test_an_update_uses_one_row_of_each_domain_and_a_constant_learning_rate():
    training = ganin_reviews.sgd_training(passes=2, evaluations=4)
    assert (training.steps, training.batch_size) == (2 * 1800, 1)
    assert (training.decay_rate, training.momentum) == (0.0, 0.0)


def test_the_svm_has_the_papers_ten_values_of_c():
    """Section 5.1.2: ten values between 1e-5 and 1, equally spaced on a logarithmic scale."""
    values = [experiment.method.c for experiment in ganin_reviews.svm_experiments("amazon_reviews/books-to-dvd")]
    np.testing.assert_allclose(np.diff(np.log10(values)), 5 / 9)
    np.testing.assert_allclose([values[0], values[-1], len(values)], [1e-5, 1.0, 10])


def test_networks_are_source_only_and_shallow_dann():
    training = ganin_reviews.sgd_training(passes=1, evaluations=1)
    runs = ganin_reviews.network_experiments("amazon_reviews/books-to-dvd", training, seeds=2)
    assert {(run.method.name, run.seed) for run in runs} == {(m, s) for m in ("source_only", "dann") for s in (0, 1)}
    assert {run.model.hidden for run in runs} == {(50,)}
    (dann,) = {run.method for run in runs if run.method.name == "dann"}
    assert (dann.weight, dann.widths, dann.scaled) == (0.1, (), "both")
