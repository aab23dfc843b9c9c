"""Choosing a backbone: better features come first, and no target label is read."""

import numpy as np
import pytest

from da_bench import pretrained as weights
from da_bench.core.config import UserError
from da_bench.core.types import Domain, Splits, Task
from da_bench.data.transforms import View
from da_bench.reporting import backbone_ranking as rank


def task(noise, shift, target_labels=None):
    """Three classes around the corners of a triangle in 6 dimensions, the target's moved."""
    generator = np.random.default_rng(0)
    centres = 4 * np.eye(6)[:3]

    def splits(shift, labels=None):
        domains = []
        for rows in (90, 30, 30):
            true = np.arange(rows) % 3
            inputs = centres[true] + noise * generator.normal(size=(rows, 6)) + shift
            domains.append(
                Domain(inputs.astype(np.float32), true.astype(np.int32) if labels is None else labels[:rows])
            )
        return Splits(*domains)

    return Task("office31/amazon-to-webcam", ("a", "b", "c"), splits(0), splits(shift, target_labels))


@pytest.fixture
def features(monkeypatch):
    """By weights: how noisy features are, and how far apart the domains."""
    tasks = {"good-a": task(0.5, 0.5), "noisy-b": task(4.0, 0.5), "moved-c": task(0.5, 20.0)}
    monkeypatch.setattr(weights, "view", lambda name, **_: View(pixels=8, augment="none"))
    monkeypatch.setattr(rank, "load", lambda name, root, view: None)
    monkeypatch.setattr(rank, "extract_features", lambda _, trunk: tasks[trunk.weights])
    return tasks


def order(table):
    return [row[0].text for row in table.rows]


def column(table, key):
    place = [one.key for one in table.columns].index(key)
    return {row[0].text: row[place].raw[0] for row in table.rows}


@pytest.mark.parametrize("by", ["linear", *rank.FIT_SCORES])
def test_noisy_features_come_last(by, features):
    assert order(rank.rank_backbones("office31/amazon-to-webcam", ["noisy-b", "good-a"], by)) == ["good-a", "noisy-b"]


@pytest.mark.parametrize("by", list(rank.DISTANCES))
def test_domains_that_are_apart_come_last(by, features):
    assert order(rank.rank_backbones("office31/amazon-to-webcam", ["moved-c", "good-a"], by)) == ["good-a", "moved-c"]


def test_no_target_label_is_read(features):
    before = rank.rank_backbones("office31/amazon-to-webcam", list(features))
    features["good-a"] = task(0.5, 0.5, np.zeros(90, np.int32))
    after = rank.rank_backbones("office31/amazon-to-webcam", list(features))
    for key in ("linear", *rank.FIT_SCORES, *rank.DISTANCES):
        assert column(before, key) == column(after, key)


def test_wrong_words(features):
    with pytest.raises(UserError, match="unknown score 'logm'; did you mean 'logme'"):
        rank.rank_backbones("office31/amazon-to-webcam", ["good-a", "noisy-b"], "logm")
    with pytest.raises(UserError, match="nothing to choose between 1 backbones"):
        rank.rank_backbones("office31/amazon-to-webcam", ["good-a"])
