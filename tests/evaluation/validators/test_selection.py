"""How rules select a checkpoint, and the validators `im` and `source_validation` that depend on the whole run."""

import dataclasses

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from da_bench.evaluation.validators import (
    RULES,
    VALIDATORS,
    CheckpointFeatures,
    ValidatorInputs,
    last_argmax,
    score_checkpoints,
    select_checkpoints,
)
from da_bench.evaluation.validators.confidence import SOURCE_ACCURACY_MARGIN, im
from da_bench.evaluation.validators.source import source_validation

ZEROS = np.zeros(100, int)  # labels of `logits_with_accuracy`


def random_inputs(rng, checkpoints=4, rows=20, classes=3):
    return ValidatorInputs(
        rng.normal(size=(checkpoints, rows, classes)),
        rng.integers(0, classes, rows),
        3 * rng.normal(size=(checkpoints, rows, classes)),
    )


def selected(inputs, target_accuracy):
    return select_checkpoints(score_checkpoints(inputs), np.array(target_accuracy))


def logits_with_accuracy(accuracy, rows=100, classes=3):
    """Logits [rows, classes] with this accuracy if all labels are 0."""
    return np.eye(classes)[np.where(np.arange(rows) < accuracy * rows, 0, 1)]


def test_im_equals_its_definition(rng, monkeypatch):
    monkeypatch.setattr("da_bench.evaluation.validators.confidence.SOURCE_ACCURACY_MARGIN", 1.0)
    inputs = random_inputs(rng)
    for score, logits in zip(im(inputs), inputs.target_logits, strict=True):
        p = softmax(logits, axis=1)
        assert score == pytest.approx(entropy(p.mean(axis=0)) - np.mean([entropy(row) for row in p]), rel=1e-12)


def test_im_by_hand():
    """Certain and balanced predictions score log 3; certain predictions of one class and uncertain ones score 0."""
    balanced = 1000 * np.eye(3)[np.arange(9) % 3]
    one_class = 1000 * np.eye(3)[np.zeros(9, int)]
    target = np.stack([balanced, one_class, np.zeros((9, 3))])
    validation = np.stack([logits_with_accuracy(1.0)] * 3)
    scores = im(ValidatorInputs(validation, ZEROS, target))
    np.testing.assert_allclose(scores, [np.log(3), 0.0, 0.0], atol=1e-12)


def test_im_never_selects_a_checkpoint_below_the_source_accuracy_bound():
    certain, uncertain = 1000 * np.eye(3)[np.arange(9) % 3], np.zeros((9, 3))
    bound = 0.9 - SOURCE_ACCURACY_MARGIN
    below = ValidatorInputs(
        np.stack([logits_with_accuracy(0.9), logits_with_accuracy(bound - 0.01)]), ZEROS, np.stack([uncertain, certain])
    )
    assert selected(below, [0.0, 1.0])["im"] == 0
    above = np.stack([logits_with_accuracy(0.9), logits_with_accuracy(bound + 0.01)])
    assert selected(dataclasses.replace(below, validation_logits=above), [0.0, 1.0])["im"] == 1


def test_source_validation_is_accuracy():
    validation = np.stack([logits_with_accuracy(0.25), logits_with_accuracy(0.5)])
    inputs = ValidatorInputs(validation, ZEROS, np.zeros((2, 5, 3)))
    np.testing.assert_allclose(source_validation(inputs), [0.25, 0.5])


def test_only_the_oracle_depends_on_target_accuracy(rng):
    inputs = random_inputs(rng)
    first, second = selected(inputs, [0.9, 0, 0, 0]), selected(inputs, [0, 0, 0.9, 0])
    assert (first.pop("oracle"), second.pop("oracle")) == (0, 2)
    assert first == second
    assert first["last"] == 3


def test_every_rule_with_its_inputs_selects_a_checkpoint_and_has_a_title(rng):
    minimal = random_inputs(rng)
    complete = dataclasses.replace(
        minimal,
        mixed_logits=minimal.target_logits,
        features=CheckpointFeatures(*(rng.normal(size=(4, 20, 5)) for _ in range(3))),
        reverse_predictions=np.zeros((4, 20)),
    )
    assert list(selected(complete, np.zeros(4))) == list(RULES)
    assert list(RULES) == ["last", *VALIDATORS, "oracle"]
    with_optional_inputs = {name for name, validator in VALIDATORS.items() if validator.needs}
    assert set(RULES) - set(selected(minimal, np.zeros(4))) == with_optional_inputs
    assert {"dev", "mixval"} <= with_optional_inputs


@pytest.mark.parametrize(
    ("values", "index"),
    [([1, 2, 3], 2), ([3, 2, 3], 2), ([np.nan, 1, np.nan], 1), ([np.inf, 0.0], 1), ([-np.inf, -np.inf], 1)],
)
def test_last_argmax_is_the_last_of_the_largest_finite_values(values, index):
    assert last_argmax(np.array(values, float)) == index
