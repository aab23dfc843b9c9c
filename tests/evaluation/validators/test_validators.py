"""Every validator against an independent calculation, and its score where the answer is known."""

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

from da_bench.evaluation.validators import VALIDATORS, CheckpointFeatures, ValidatorInputs, score_checkpoints
from da_bench.evaluation.validators.density_ratio import density_ratio
from da_bench.evaluation.validators.neighbourhoods import MIXVAL_WEIGHT, domain_mixing, mixture_consistency
from da_bench.evaluation.validators.reverse import fit_ridge_and_predict
from da_bench.evaluation.validators.source import dev_risk

CHECKPOINTS, ROWS, CLASSES, D = 2, 24, 3, 4


def clusters(rng, shift=0.0):
    """Features [e, n, d] and labels [n]; at the second checkpoint the features are close to their class centres."""
    labels = rng.integers(0, CLASSES, ROWS)
    noise = np.array([3.0, 0.3])[:, None, None] * rng.normal(size=(CHECKPOINTS, ROWS, D))
    return noise + 4 * np.eye(D)[labels] + shift, labels


@pytest.fixture
def inputs(rng):
    (train, _), (validation, labels), (target, _) = (clusters(rng, shift) for shift in (0.0, 0.0, 0.5))
    weights = rng.normal(size=(D, CLASSES)) + 2 * np.eye(D)[:, :CLASSES]
    logits = target @ weights
    mixed = (MIXVAL_WEIGHT * target + (1 - MIXVAL_WEIGHT) * np.roll(target, -1, axis=1)) @ weights
    reverse = np.stack([np.roll(labels, 1), labels]).astype(float)
    return ValidatorInputs(
        validation @ weights, labels, logits, mixed, CheckpointFeatures(train, validation, target), reverse
    )


def target_arrays(inputs, i):
    return inputs.features.target[i], inputs.target_logits[i].argmax(axis=1), softmax(inputs.target_logits[i], 1)


def target_entropy(inputs, i):
    logs = log_softmax(inputs.target_logits[i], axis=1)
    return np.mean(np.sum(np.exp(logs) * logs, axis=1))


def diversity(inputs, i):
    return entropy(target_arrays(inputs, i)[2].mean(axis=0))


def information_maximisation(inputs, i):
    """As the mean KL divergence of the predictions from the mean prediction."""
    _, _, p = target_arrays(inputs, i)
    return np.mean([entropy(row, p.mean(axis=0)) for row in p])


def bnm(inputs, i):
    """With singular values as roots of the eigenvalues of P^T P."""
    _, _, p = target_arrays(inputs, i)
    return np.sqrt(np.linalg.eigvalsh(p.T @ p)).sum() / ROWS


def snd(inputs, i):
    _, _, p = target_arrays(inputs, i)
    entropies = []
    for j, row in enumerate(p):
        others = np.delete(p, j, axis=0)
        cosines = others @ row / (np.linalg.norm(others, axis=1) * np.linalg.norm(row))
        entropies.append(entropy(softmax(cosines / 0.05)))
    return np.mean(entropies)


def knn(inputs, i):
    """By leaving out one row after another."""
    rows = np.concatenate([inputs.features.train[i], inputs.features.target[i]])
    domain, shares = np.repeat([0, 1], ROWS), [[], []]
    for j in range(len(rows)):
        others = np.delete(rows, j, axis=0), np.delete(domain, j)
        shares[domain[j]].append(KNeighborsClassifier(1).fit(*others).predict(rows[j : j + 1])[0] == domain[j])
    return -np.mean([np.mean(share) for share in shares])


def mmd(inputs, i):
    source, target = inputs.features.train[i], inputs.features.target[i]
    rows = np.concatenate([source, target])
    median = np.median([np.sum((a - b) ** 2) for j, a in enumerate(rows) for b in rows[:j]])

    def k(xs, ys, skip):
        pairs = [(x, y) for j, x in enumerate(xs) for m, y in enumerate(ys) if not (skip and j == m)]
        return np.mean([np.exp(-np.sum((x - y) ** 2) / (2 * median)) for x, y in pairs])

    return -(k(source, source, True) + k(target, target, True) - 2 * k(source, target, False))


def silhouette(inputs, i):
    features, predicted, _ = target_arrays(inputs, i)
    coefficients = []
    for row, own in zip(features, predicted, strict=True):
        distances = np.linalg.norm(features - row, axis=1)
        same_class = (predicted == own).sum() - 1
        a = distances[predicted == own].sum() / max(same_class, 1)
        b = min(distances[predicted == c].mean() for c in set(predicted) - {own})
        coefficients.append((b - a) / max(a, b) if same_class else 0.0)
    return np.mean(coefficients)


def weights_and_losses(inputs, i):
    weights = density_ratio(inputs.features.train[i], inputs.features.target[i], inputs.features.validation[i])
    return weights, (inputs.validation_logits[i].argmax(axis=1) != inputs.validation_labels).astype(float)


def importance_weighted(inputs, i):
    weights, losses = weights_and_losses(inputs, i)
    return -(weights @ losses) / len(losses)


def dev(inputs, i, scale=lambda weights: weights):
    """As the value at w = 1 of a linear regression of w l on w."""
    weights, losses = weights_and_losses(inputs, i)
    slope, intercept = np.polyfit(scale(weights), scale(weights) * losses, 1)
    return -(intercept + slope)


def devn(inputs, i):
    return dev(inputs, i, lambda weights: weights / weights.max())


def reverse_validation(inputs, i):
    return accuracy_score(inputs.validation_labels, inputs.reverse_predictions[i])


def reverse_features(inputs, i):
    features, predicted, _ = target_arrays(inputs, i)
    scaler = StandardScaler().fit(features)
    head = Ridge(1.0).fit(scaler.transform(features), np.eye(CLASSES)[predicted])
    predicted = head.predict(scaler.transform(inputs.features.validation[i])).argmax(axis=1)
    return np.mean(predicted == inputs.validation_labels)


def mixval(inputs, i):
    predicted, mixed = inputs.target_logits[i].argmax(axis=1), inputs.mixed_logits[i].argmax(axis=1)
    groups = {True: [], False: []}
    for j in range(ROWS):
        groups[predicted[j] == predicted[(j + 1) % ROWS]].append(mixed[j] == predicted[j])
    return (np.mean(groups[True]) + np.mean(groups[False])) / 2


def class_ami(inputs, i):
    """Two k-means implementations agree only if the clusters are clear."""
    features, predicted, _ = target_arrays(inputs, i)
    return adjusted_mutual_info_score(predicted, KMeans(CLASSES, n_init=20, random_state=1).fit_predict(features))


REFERENCES = [
    *(target_entropy, diversity, information_maximisation, bnm, snd, knn, mmd, silhouette),
    *(importance_weighted, dev, devn, reverse_features, reverse_validation, mixval),
]


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: reference.__name__)
def test_validator_equals_an_independent_calculation(reference, inputs):
    scores = VALIDATORS[reference.__name__].score(inputs)
    expected = [reference(inputs, i) for i in range(CHECKPOINTS)]
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-12)
    assert scores[0] != scores[1]


def test_class_ami_of_clear_clusters(inputs):
    assert VALIDATORS["class_ami"].score(inputs)[1] == pytest.approx(class_ami(inputs, 1), abs=1e-12)


def test_every_validator_has_a_reference_calculation():
    own = {"source_validation", "im", "class_ami"}
    assert {reference.__name__ for reference in REFERENCES} | own == set(VALIDATORS)


def test_validators_of_cluster_structure_prefer_dense_and_separate_classes(inputs):
    scores = score_checkpoints(inputs)
    for name in ("snd", "silhouette", "class_ami", "target_entropy", "bnm", "reverse_features"):
        assert scores[name][1] > scores[name][0], name


def test_a_checkpoint_that_is_not_finite_scores_nan_and_leaves_the_others_unchanged(inputs):
    predicted = inputs.target_logits, inputs.mixed_logits, inputs.reverse_predictions
    damaged = [np.array(leaf) for leaf in (*inputs.features, *predicted)]
    for leaf in damaged:
        leaf[0].flat[0] = np.nan
    *features, target, mixed, reverse = damaged
    expected, source = score_checkpoints(inputs), (inputs.validation_logits, inputs.validation_labels)
    scores = score_checkpoints(ValidatorInputs(*source, target, mixed, CheckpointFeatures(*features), reverse))
    for name in VALIDATORS:
        assert not np.isfinite(scores[name][0]), name
        assert scores[name][1] == expected[name][1], name


@pytest.mark.parametrize("field", ["validation_logits", "target_logits"])
def test_a_checkpoint_with_infinite_logits_has_no_score_and_sets_no_accuracy_bound(field, inputs):
    """All labels are 0, the argmax of NaN logits, so without the check this checkpoint would have the best accuracy."""
    damaged = np.array(getattr(inputs, field))
    damaged[0].flat[0] = np.nan
    labels = np.zeros_like(inputs.validation_labels)
    damaged = dataclasses.replace(inputs, validation_labels=labels, **{field: damaged})
    scores = score_checkpoints(damaged)
    for name in VALIDATORS:
        assert np.isnan(scores[name][0]) or scores[name][0] == -np.inf, name
    assert np.isfinite(scores["im"][1])


def test_predicting_a_single_class_is_never_rewarded(inputs):
    one_class = np.tile(np.eye(CLASSES)[0], (CHECKPOINTS, ROWS, 1))
    collapsed = dataclasses.replace(
        inputs,
        target_logits=one_class,
        mixed_logits=one_class[:, : inputs.mixed_logits.shape[1]],
        features=inputs.features._replace(target=np.zeros_like(inputs.features.target)),
    )
    scores = score_checkpoints(collapsed)
    for name in ("mixval", "class_ami", "silhouette"):
        assert np.isnan(scores[name]).all(), name


def test_a_single_row_of_each_split_gives_no_warning(inputs):
    logits = (inputs.validation_logits, inputs.target_logits, inputs.mixed_logits)
    validation, target, mixed = (array[:, :1] for array in logits)
    features = CheckpointFeatures(*(array[:, :1] for array in inputs.features))
    scores = score_checkpoints(ValidatorInputs(validation, inputs.validation_labels[:1], target, mixed, features))
    undefined = {name for name, values in scores.items() if np.isnan(values).all()}
    assert undefined == {"snd", "mmd", "silhouette", "mixval", "class_ami"}


def test_the_order_of_classes_does_not_matter(inputs):
    order = np.array([2, 0, 1])
    labels = np.argsort(order)[inputs.validation_labels]
    logits = (inputs.validation_logits, inputs.target_logits, inputs.mixed_logits)
    validation, target, mixed = (array[..., order] for array in logits)
    reverse = np.argsort(order)[inputs.reverse_predictions.astype(int)]
    reordered = score_checkpoints(ValidatorInputs(validation, labels, target, mixed, inputs.features, reverse))
    for name, values in score_checkpoints(inputs).items():
        np.testing.assert_allclose(reordered[name], values, rtol=1e-9, err_msg=name)


def test_density_ratio_of_two_gaussians(rng):
    """N(0, 1) and N(1, 1): the log ratio is x - 1/2, whatever the numbers of rows."""
    source, target = rng.normal(size=(6000, 1)), rng.normal(size=(3000, 1)) + 1
    queries = np.linspace(-1, 2, 7)[:, None]
    expected = norm.pdf(queries[:, 0], 1) / norm.pdf(queries[:, 0])
    np.testing.assert_allclose(density_ratio(source, target, queries), expected, rtol=0.12)


def test_dev_risk_with_equal_weights_is_the_error():
    assert dev_risk(np.ones(4), np.array([1.0, 0, 0, 0])) == pytest.approx(0.25)


def test_dev_risk_is_one_if_every_row_is_wrong(rng):
    """Here w l = w, so the control variate makes R = 1 whatever the mean weight is."""
    assert dev_risk(rng.uniform(0, 5, 50), np.ones(50)) == pytest.approx(1.0)


def test_ridge_by_the_dual_problem_equals_scikit_learn(rng):
    rows, queries, responses = rng.normal(size=(10, 30)), rng.normal(size=(5, 30)), rng.normal(size=(10, 2))
    scaler = StandardScaler().fit(rows)
    ridge = Ridge(1.0).fit(scaler.transform(rows), responses)
    np.testing.assert_allclose(
        fit_ridge_and_predict(rows, responses, queries), ridge.predict(scaler.transform(queries)), rtol=1e-9
    )


def test_domain_mixing_of_distant_domains_is_minus_one_and_of_copies_zero(rng):
    rows = rng.normal(size=(20, 2))
    assert domain_mixing(rows, rows + 100) == -1.0
    assert domain_mixing(rows, rows + 1e-9) == 0.0


def test_mixture_consistency_by_hand():
    """Predictions 0 0 1, partners 0 1 0: the one intra-cluster mixture is consistent, and one of two inter-cluster."""
    logits, mixed = np.eye(2)[[0, 0, 1]], np.eye(2)[[0, 1, 1]]
    assert mixture_consistency(logits, mixed) == (1 + 1 / 2) / 2
    assert np.isnan(mixture_consistency(logits[:1], mixed[1:2]))
