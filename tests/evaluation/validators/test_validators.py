"""Every validator against a calculation of another kind, and what it says where the answer is known."""

import dataclasses

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy, norm
from sklearn.cluster import KMeans
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, adjusted_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from da_bench.evaluation.validators import VALIDATORS, Evidence, Features, scores
from da_bench.evaluation.validators.interpolation import SHARE, consistency
from da_bench.evaluation.validators.neighbourhoods import mixing
from da_bench.evaluation.validators.ratio import density_ratio
from da_bench.evaluation.validators.reverse import refitted
from da_bench.evaluation.validators.weighting import dev_risk

CHECKPOINTS, ROWS, CLASSES, D = 2, 24, 3, 4


def clusters(rng, shift=0.0):
    """Features [e, n, d], close about their classes at the second checkpoint, and labels [n]."""
    labels = rng.integers(0, CLASSES, ROWS)
    noise = np.array([3.0, 0.3])[:, None, None] * rng.normal(size=(CHECKPOINTS, ROWS, D))
    return noise + 4 * np.eye(D)[labels] + shift, labels


@pytest.fixture
def evidence(rng):
    (train, _), (validation, labels), (target, _) = (clusters(rng, shift) for shift in (0.0, 0.0, 0.5))
    weights = rng.normal(size=(D, CLASSES)) + 2 * np.eye(D)[:, :CLASSES]
    logits = target @ weights
    mixed = (SHARE * target + (1 - SHARE) * np.roll(target, -1, axis=1)) @ weights
    back = np.stack([np.roll(labels, 1), labels]).astype(float)
    return Evidence(validation @ weights, labels, logits, mixed, Features(train, validation, target), back)


def of_target(evidence, i):
    return evidence.features.target[i], evidence.target_logits[i].argmax(axis=1), softmax(evidence.target_logits[i], 1)


def target_entropy(evidence, i):
    logs = log_softmax(evidence.target_logits[i], axis=1)
    return np.mean(np.sum(np.exp(logs) * logs, axis=1))


def diversity(evidence, i):
    return entropy(of_target(evidence, i)[2].mean(axis=0))


def information_maximisation(evidence, i):
    """As the mean divergence of a row's prediction from the mean prediction."""
    _, _, p = of_target(evidence, i)
    return np.mean([entropy(row, p.mean(axis=0)) for row in p])


def bnm(evidence, i):
    """Singular values as roots of eigenvalues of P^T P."""
    _, _, p = of_target(evidence, i)
    return np.sqrt(np.linalg.eigvalsh(p.T @ p)).sum() / ROWS


def snd(evidence, i):
    _, _, p = of_target(evidence, i)
    rows = []
    for j, one in enumerate(p):
        others = np.delete(p, j, axis=0)
        cosines = others @ one / (np.linalg.norm(others, axis=1) * np.linalg.norm(one))
        rows.append(entropy(softmax(cosines / 0.05)))
    return np.mean(rows)


def knn(evidence, i):
    """With each row left out in turn."""
    rows = np.concatenate([evidence.features.train[i], evidence.features.target[i]])
    domain, shares = np.repeat([0, 1], ROWS), [[], []]
    for j in range(len(rows)):
        others = np.delete(rows, j, axis=0), np.delete(domain, j)
        shares[domain[j]].append(KNeighborsClassifier(1).fit(*others).predict(rows[j : j + 1])[0] == domain[j])
    return -np.mean([np.mean(one) for one in shares])


def mmd(evidence, i):
    source, target = evidence.features.train[i], evidence.features.target[i]
    rows = np.concatenate([source, target])
    median = np.median([np.sum((a - b) ** 2) for j, a in enumerate(rows) for b in rows[:j]])

    def k(xs, ys, skip):
        pairs = [(x, y) for j, x in enumerate(xs) for m, y in enumerate(ys) if not (skip and j == m)]
        return np.mean([np.exp(-np.sum((x - y) ** 2) / (2 * median)) for x, y in pairs])

    return -(k(source, source, True) + k(target, target, True) - 2 * k(source, target, False))


def silhouette(evidence, i):
    features, predicted, _ = of_target(evidence, i)
    found = []
    for row, own in zip(features, predicted, strict=True):
        distances = np.linalg.norm(features - row, axis=1)
        alike = (predicted == own).sum() - 1
        a = distances[predicted == own].sum() / max(alike, 1)
        b = min(distances[predicted == c].mean() for c in set(predicted) - {own})
        found.append((b - a) / max(a, b) if alike else 0.0)
    return np.mean(found)


def weighed(evidence, i):
    weights = density_ratio(evidence.features.train[i], evidence.features.target[i], evidence.features.validation[i])
    return weights, (evidence.validation_logits[i].argmax(axis=1) != evidence.validation_labels).astype(float)


def importance_weighted(evidence, i):
    weights, wrong = weighed(evidence, i)
    return -(weights @ wrong) / len(wrong)


def dev(evidence, i, scale=lambda weights: weights):
    """As the intercept of the regression of w l on w, at w = 1."""
    weights, wrong = weighed(evidence, i)
    slope, intercept = np.polyfit(scale(weights), scale(weights) * wrong, 1)
    return -(intercept + slope)


def devn(evidence, i):
    return dev(evidence, i, lambda weights: weights / weights.max())


def reverse_validation(evidence, i):
    return accuracy_score(evidence.validation_labels, evidence.reversed[i])


def reverse_features(evidence, i):
    features, predicted, _ = of_target(evidence, i)
    scaler = StandardScaler().fit(features)
    head = Ridge(1.0).fit(scaler.transform(features), np.eye(CLASSES)[predicted])
    found = head.predict(scaler.transform(evidence.features.validation[i])).argmax(axis=1)
    return np.mean(found == evidence.validation_labels)


def mixval(evidence, i):
    predicted, mixed = evidence.target_logits[i].argmax(axis=1), evidence.mixed_logits[i].argmax(axis=1)
    groups = {True: [], False: []}
    for j in range(ROWS):
        groups[predicted[j] == predicted[(j + 1) % ROWS]].append(mixed[j] == predicted[j])
    return (np.mean(groups[True]) + np.mean(groups[False])) / 2


def class_ami(evidence, i):
    """Only where clusters are plain do two k-means agree."""
    features, predicted, _ = of_target(evidence, i)
    return adjusted_mutual_info_score(predicted, KMeans(CLASSES, n_init=20, random_state=1).fit_predict(features))


REFERENCES = [
    *(target_entropy, diversity, information_maximisation, bnm, snd, knn, mmd, silhouette),
    *(importance_weighted, dev, devn, reverse_features, reverse_validation, mixval),
]


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: reference.__name__)
def test_it_equals_an_independent_calculation(reference, evidence):
    found = VALIDATORS[reference.__name__].score(evidence)
    expected = [reference(evidence, i) for i in range(CHECKPOINTS)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert found[0] != found[1]


def test_class_ami_of_plain_clusters(evidence):
    assert VALIDATORS["class_ami"].score(evidence)[1] == pytest.approx(class_ami(evidence, 1), abs=1e-12)


def test_every_validator_is_held_to_a_reference():
    own = {"source_validation", "im", "class_ami"}
    assert {reference.__name__ for reference in REFERENCES} | own == set(VALIDATORS)


def test_dense_and_separate_classes_are_preferred_by_what_looks_for_them(evidence):
    found = scores(evidence)
    for name in ("snd", "silhouette", "class_ami", "target_entropy", "bnm", "reverse_features"):
        assert found[name][1] > found[name][0], name


def test_a_checkpoint_that_is_not_finite_scores_nan_and_the_others_as_before(evidence):
    predicted = evidence.target_logits, evidence.mixed_logits, evidence.reversed
    spoiled = [np.array(leaf) for leaf in (*evidence.features, *predicted)]
    for leaf in spoiled:
        leaf[0].flat[0] = np.nan
    *features, target, mixed, back = spoiled
    whole, given = scores(evidence), (evidence.validation_logits, evidence.validation_labels)
    found = scores(Evidence(*given, target, mixed, Features(*features), back))
    for name in VALIDATORS:
        assert not np.isfinite(found[name][0]), name
        assert found[name][1] == whole[name][1], name


@pytest.mark.parametrize("which", ["validation_logits", "target_logits"])
def test_a_checkpoint_whose_logits_alone_are_not_finite_has_no_score_and_sets_no_floor(which, evidence):
    """Of class 0, as which logits that are no numbers would count, are all held-out labels: it would be the best."""
    spoiled = np.array(getattr(evidence, which))
    spoiled[0].flat[0] = np.nan
    labels = np.zeros_like(evidence.validation_labels)
    spoiled = dataclasses.replace(evidence, validation_labels=labels, **{which: spoiled})
    found = scores(spoiled)
    for name in VALIDATORS:
        assert np.isnan(found[name][0]) or found[name][0] == -np.inf, name
    assert np.isfinite(found["im"][1])


def test_where_all_is_of_one_class_nothing_speaks_for_it(evidence):
    one = np.tile(np.eye(CLASSES)[0], (CHECKPOINTS, ROWS, 1))
    collapsed = dataclasses.replace(
        evidence,
        target_logits=one,
        mixed_logits=one[:, : evidence.mixed_logits.shape[1]],
        features=evidence.features._replace(target=np.zeros_like(evidence.features.target)),
    )
    found = scores(collapsed)
    for name in ("mixval", "class_ami", "silhouette"):
        assert np.isnan(found[name]).all(), name


def test_one_row_of_each_is_judged_without_a_word(evidence):
    logits = (evidence.validation_logits, evidence.target_logits, evidence.mixed_logits)
    validation, target, mixed = (one[:, :1] for one in logits)
    alone = Features(*(one[:, :1] for one in evidence.features))
    found = scores(Evidence(validation, evidence.validation_labels[:1], target, mixed, alone))
    undefined = {name for name, values in found.items() if np.isnan(values).all()}
    assert undefined == {"snd", "mmd", "silhouette", "mixval", "class_ami"}


def test_the_order_of_classes_does_not_matter(evidence):
    turn = np.array([2, 0, 1])
    labels = np.argsort(turn)[evidence.validation_labels]
    logits = (evidence.validation_logits, evidence.target_logits, evidence.mixed_logits)
    validation, target, mixed = (one[..., turn] for one in logits)
    back = np.argsort(turn)[evidence.reversed.astype(int)]
    turned = scores(Evidence(validation, labels, target, mixed, evidence.features, back))
    for name, values in scores(evidence).items():
        np.testing.assert_allclose(turned[name], values, rtol=1e-9, err_msg=name)


def test_density_ratio_of_two_gaussians(rng):
    """N(0, 1) and N(1, 1): log ratio x - 1/2, whatever the numbers of rows."""
    source, target = rng.normal(size=(6000, 1)), rng.normal(size=(3000, 1)) + 1
    asked = np.linspace(-1, 2, 7)[:, None]
    expected = norm.pdf(asked[:, 0], 1) / norm.pdf(asked[:, 0])
    np.testing.assert_allclose(density_ratio(source, target, asked), expected, rtol=0.12)


def test_dev_of_equal_weights_is_the_error():
    assert dev_risk(np.ones(4), np.array([1.0, 0, 0, 0])) == pytest.approx(0.25)


def test_dev_of_an_error_that_is_always_made_is_one(rng):
    """w l = w, so that R = 1 whatever the weights' mean: what the control variate is for."""
    assert dev_risk(rng.uniform(0, 5, 50), np.ones(50)) == pytest.approx(1.0)


def test_a_head_by_the_smaller_system_is_the_same(rng):
    rows, asked, wanted = rng.normal(size=(10, 30)), rng.normal(size=(5, 30)), rng.normal(size=(10, 2))
    scaler = StandardScaler().fit(rows)
    ridge = Ridge(1.0).fit(scaler.transform(rows), wanted)
    np.testing.assert_allclose(refitted(rows, wanted, asked), ridge.predict(scaler.transform(asked)), rtol=1e-9)


def test_domains_apart_are_minus_one_and_twins_zero(rng):
    rows = rng.normal(size=(20, 2))
    assert mixing(rows, rows + 100) == -1.0
    assert mixing(rows, rows + 1e-9) == 0.0


def test_interpolation_by_hand():
    """Predictions 0 0 1, partners 0 1 0: of one pair within a class the mixture stays, of two between, one does."""
    plain, mixed = np.eye(2)[[0, 0, 1]], np.eye(2)[[0, 1, 1]]
    assert consistency(plain, mixed) == (1 + 1 / 2) / 2
    assert np.isnan(consistency(plain[:1], mixed[1:2]))
