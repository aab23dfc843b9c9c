"""Choosing a backbone: better features come first, and no target label is read."""

import numpy as np
import pytest

from da_bench import pretrained
from da_bench.core.config import UserError
from da_bench.core.types import Domain, Splits, Task
from da_bench.data.transforms import View
from da_bench.reporting import backbone_ranking
from da_bench.reporting.backbone_ranking import DISTANCES, FIT_SCORES, rank_backbones


def task(noise, shift, target_labels=None):
    """Three classes around the corners of a triangle in 6 dimensions, the target's moved."""
    rng = np.random.default_rng(0)
    centres = 4 * np.eye(6)[:3]

    def splits(shift, labels=None):
        domains = []
        for rows in (90, 30, 30):
            classes = np.arange(rows) % 3
            inputs = centres[classes] + noise * rng.normal(size=(rows, 6)) + shift
            domains.append(
                Domain(inputs.astype(np.float32), classes.astype(np.int32) if labels is None else labels[:rows])
            )
        return Splits(*domains)

    return Task("office31/amazon-to-webcam", ("a", "b", "c"), splits(0), splits(shift, target_labels))


@pytest.fixture
def features(monkeypatch):
    """By weights: how noisy features are, and how far apart the domains."""
    tasks = {"good-a": task(0.5, 0.5), "noisy-b": task(4.0, 0.5), "moved-c": task(0.5, 20.0)}
    monkeypatch.setattr(pretrained, "view", lambda name, **_: View(pixels=8, augment="none"))
    monkeypatch.setattr(backbone_ranking, "load", lambda name, root, view: None)
    monkeypatch.setattr(backbone_ranking, "extract_features", lambda _, trunk: tasks[trunk.weights])
    return tasks


def order(table):
    return [row[0].text for row in table.rows]


def column(table, key):
    index = [column.key for column in table.columns].index(key)
    return {row[0].text: row[index].raw[0] for row in table.rows}


@pytest.mark.parametrize("by", ["linear", *FIT_SCORES])
def test_noisy_features_come_last(by, features):
    assert order(rank_backbones("office31/amazon-to-webcam", ["noisy-b", "good-a"], by)) == ["good-a", "noisy-b"]


@pytest.mark.parametrize("by", list(DISTANCES))
def test_features_that_separate_the_domains_come_last(by, features):
    assert order(rank_backbones("office31/amazon-to-webcam", ["moved-c", "good-a"], by)) == ["good-a", "moved-c"]


@pytest.mark.conformance
def test_no_target_label_is_read(features):
    before = rank_backbones("office31/amazon-to-webcam", list(features))
    features["good-a"] = task(0.5, 0.5, np.zeros(90, np.int32))
    after = rank_backbones("office31/amazon-to-webcam", list(features))
    for key in ("linear", *FIT_SCORES, *DISTANCES):
        assert column(before, key) == column(after, key)


def test_a_wrong_score_and_a_single_backbone_are_refused(features):
    with pytest.raises(UserError, match=r"'logm'.*'logme'"):
        rank_backbones("office31/amazon-to-webcam", ["good-a", "noisy-b"], "logm")
    with pytest.raises(UserError, match="two backbones"):
        rank_backbones("office31/amazon-to-webcam", ["good-a"])
