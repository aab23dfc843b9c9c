"""Reverse validation: do the pseudo-labels of the target lead back to the labels of the source?"""

import numpy as np

from da_bench.evaluation.validators.base import ValidatorInputs, per_checkpoint, register

RIDGE_PENALTY = 1.0  # of the head's squared weights, on features with variance 1


@register("reverse validation", "reverse_predictions")
def reverse_validation(inputs: ValidatorInputs) -> np.ndarray:
    """Source accuracy of a reverse model that is trained from the pseudo-labelled target to the unlabelled source.

    The reverse model has the same method and settings, and its labels are the predictions of the checkpoint that source
    validation chooses; see `da_bench.studies.reverse_validation`. So one checkpoint of a run has a score: this rule
    chooses between settings, and within a run it stops early as source validation does.

    Args:
        inputs: inputs of a run; uses `reverse_predictions` and `validation_labels`.

    Returns:
        Scores [e]: the accuracy in [0, 1] on the validation split of the source; NaN for other checkpoints.

    References:
        Zhong, Fan, Yang, Verscheure and Ren, Cross Validation Framework to Choose amongst Models and Datasets for
        Transfer Learning, ECML PKDD 2010. Ganin et al., JMLR 2016, Section 5.1.2.
    """
    labels = np.asarray(inputs.validation_labels)
    predictions = np.asarray(inputs.reverse_predictions, np.float64)
    return per_checkpoint(lambda predicted: float(np.mean(predicted == labels)), predictions)


@register("reverse (features)", "features")
def reverse_features(inputs: ValidatorInputs) -> np.ndarray:
    """Source accuracy of a linear head that is fitted to the target's features and pseudo-labels.

    The circular validation of the papers trains the whole method again from the pseudo-labelled target to the source,
    as `reverse_validation` does. Here the features of the checkpoint stay fixed, and only the head is fitted again, by
    ridge regression to one-hot pseudo-labels.

    Args:
        inputs: inputs of a run; uses `features`, `target_logits` and `validation_labels`.

    Returns:
        Scores [e]: the accuracy in [0, 1] on the validation split of the source.

    References:
        Bruzzone and Marconcini, Domain Adaptation Problems: A DASVM Classification Technique and a Circular Validation
        Strategy, IEEE TPAMI 2010, Section 4. Ganin et al., JMLR 2016, Section 5.1.2.
    """
    labels = np.asarray(inputs.validation_labels)

    def accuracy(target: np.ndarray, logits: np.ndarray, validation: np.ndarray) -> float:
        pseudo_labels = np.eye(logits.shape[1])[logits.argmax(axis=1)]
        predicted = fit_ridge_and_predict(target, pseudo_labels, validation).argmax(axis=1)
        return float(np.mean(predicted == labels[: len(validation)]))

    target, logits = inputs.target_features_and_logits()
    return per_checkpoint(accuracy, target, logits, inputs.require_features().validation)


def fit_ridge_and_predict(features: np.ndarray, responses: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Predictions of a ridge regression with an unpenalised intercept, on standardised features.

    Args:
        features: training features [u, d].
        responses: training responses [u, c].
        queries: features to predict for [v, d].

    Returns:
        The predictions [v, c].
    """
    features = np.asarray(features, np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    features, queries = (features - mean) / scale, (queries - mean) / scale
    n, d = features.shape
    intercept = responses.mean(axis=0)
    if n < d:  # the dual problem has the same solution and is smaller
        dual = np.linalg.solve(features @ features.T + RIDGE_PENALTY * np.eye(n), responses - intercept)
        weights = features.T @ dual
    else:
        gram = features.T @ features + RIDGE_PENALTY * np.eye(d)
        weights = np.linalg.solve(gram, features.T @ (responses - intercept))
    predictions: np.ndarray = intercept + queries @ weights
    return predictions
