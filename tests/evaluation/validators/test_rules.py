import dataclasses

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from da_bench.evaluation import validators as select
from da_bench.evaluation.validators import RULES, VALIDATORS, Evidence, latest_best
from da_bench.evaluation.validators.certainty import FLOOR, im
from da_bench.evaluation.validators.source import source_validation


def evidence(rng, checkpoints=4, rows=20, classes=3):
    return Evidence(
        rng.normal(size=(checkpoints, rows, classes)),
        rng.integers(0, classes, rows),
        3 * rng.normal(size=(checkpoints, rows, classes)),
    )


def features(rng, checkpoints=4, rows=20):
    return select.Features(*(rng.normal(size=(checkpoints, rows, 5)) for _ in range(3)))


def checkpoints(evidence, target_accuracy):
    return select.checkpoints(select.scores(evidence), target_accuracy)


def right(share, rows=100, classes=3):
    """Logits [rows, classes] for labels 0 of which `share` are right."""
    return np.eye(classes)[np.where(np.arange(rows) < share * rows, 0, 1)]


def test_information_equals_its_definition(rng, monkeypatch):
    monkeypatch.setattr("da_bench.evaluation.validators.certainty.FLOOR", 1.0)
    found = evidence(rng)
    for score, logits in zip(im(found), found.target_logits, strict=True):
        p = softmax(logits, axis=1)
        assert score == pytest.approx(entropy(p.mean(axis=0)) - np.mean([entropy(row) for row in p]), rel=1e-12)


def test_information_by_hand():
    """Sure and balanced: log 3. Sure of one class: 0. Unsure: 0."""
    sure = 1000 * np.eye(3)[np.arange(9) % 3]
    one = 1000 * np.eye(3)[np.zeros(9, int)]
    target = np.stack([sure, one, np.zeros((9, 3))])
    validation = np.stack([right(1.0)] * 3)
    found = im(Evidence(validation, np.zeros(100, int), target))
    np.testing.assert_allclose(found, [np.log(3), 0.0, 0.0], atol=1e-12)


def test_a_checkpoint_below_the_source_floor_is_never_chosen():
    sure, unsure = 1000 * np.eye(3)[np.arange(9) % 3], np.zeros((9, 3))
    validation = np.stack([right(0.9), right(0.9 - FLOOR - 0.01)])
    found = Evidence(validation, np.zeros(100, int), np.stack([unsure, sure]))
    assert checkpoints(found, np.array([0.0, 1.0]))["im"] == 0
    just_above = dataclasses.replace(found, validation_logits=np.stack([right(0.9), right(0.9 - FLOOR + 0.01)]))
    assert checkpoints(just_above, np.array([0.0, 1.0]))["im"] == 1


def test_source_validation_is_accuracy():
    validation = np.stack([right(0.25), right(0.5)])
    found = Evidence(validation, np.zeros(100, int), np.zeros((2, 5, 3)))
    np.testing.assert_allclose(source_validation(found), [0.25, 0.5])


def test_only_the_oracle_follows_target_accuracy(rng):
    found = evidence(rng)
    first, second = (checkpoints(found, np.array(accuracies)) for accuracies in ([0.9, 0, 0, 0], [0, 0, 0.9, 0]))
    assert (first.pop("oracle"), second.pop("oracle")) == (0, 2)
    assert first == second
    assert first["last"] == 3


def test_every_rule_that_has_what_it_needs_has_a_choice_and_every_one_a_name(rng):
    predictions = evidence(rng)
    given = {"mixed_logits": predictions.target_logits, "features": features(rng), "reversed": np.zeros((4, 20))}
    everything = dataclasses.replace(predictions, **given)
    assert list(checkpoints(everything, np.zeros(4))) == list(RULES)
    assert list(RULES) == ["last", *VALIDATORS, "oracle"]
    needy = {name for name, one in VALIDATORS.items() if one.needs}
    assert set(RULES) - set(checkpoints(predictions, np.zeros(4))) == needy
    assert {"dev", "mixval"} <= needy


@pytest.mark.parametrize(
    ("values", "index"),
    [([1, 2, 3], 2), ([3, 2, 3], 2), ([np.nan, 1, np.nan], 1), ([np.inf, 0.0], 1), ([-np.inf, -np.inf], 1)],
)
def test_the_latest_of_the_best_finite_scores_wins(values, index):
    assert latest_best(np.array(values, float)) == index
