import os
from pathlib import Path

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data.families import amazon_reviews
from da_bench.data.families.amazon_reviews import DOMAINS, read

GOOD = "-1 0:3 7:84 4999:1\n1 0:1 2:1\n"


@pytest.fixture
def books(tmp_path, monkeypatch):
    """Write a miniature of books with two reviews in each part."""
    monkeypatch.setitem(amazon_reviews.DOMAINS, "books", {"train": 2, "test": 2})
    for part in ("train", "test"):
        (tmp_path / f"books_{part}.svmlight").write_text(GOOD)
    return tmp_path


def test_miniature_files_are_read(books):
    train = read(books, "books")["train"]
    expected = np.zeros((2, 5000))
    expected[0, [0, 7, 4999]] = 3, 84, 1
    expected[1, [0, 2]] = 1
    np.testing.assert_array_equal(train.inputs, expected)
    assert train.inputs.dtype == np.float32
    assert [train.classes[label] for label in train.labels] == ["negative", "positive"]


def test_both_label_codes_give_the_same_labels(books):
    (books / "books_test.svmlight").write_text(GOOD.replace("-1 ", "0 "))
    parts = read(books, "books")
    assert parts["test"].labels.tolist() == parts["train"].labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("-1 1:3 8:84 5000:1\n1 1:1 3:1\n", r"in 0\.\.4999"),  # indices from 1
        ("-1 1:3 8:84\n1 1:1 3:1\n", "indices"),  # the same, without the last index
        ("-1 0:3 -7:1\n1 0:1\n", r"in 0\.\.4999"),
        ("-1 0:nan\n1 0:1\n", "not finite"),
        ("-1 0:1e99\n1 0:1\n", "not finite"),
        ("-1 0:0.5\n1 0:1\n", "not word counts"),
        ("-1 0:-3\n1 0:1\n", "not word counts"),
        ("1 0:1\n2 0:1\n", r"labels \[1\. 2\.\], not -1 and 1 or 0 and 1"),
        ("-1 0:1\n0 0:1\n", "labels"),
        ("nan 0:1\n0 0:1\n", "not finite"),
        ("-1 0:3 7:84 4999:1\n", "holds 1, but 2 is published"),
        ("-1 0:3 7:84 4999:1\n1 0:1 2:", "get a fresh copy"),
        ("", "get a fresh copy"),
        ("<html>not found</html>\n", "get a fresh copy"),
    ],
)
def test_invalid_content_is_refused(books, content, fault):
    (books / "books_test.svmlight").write_text(content)
    with pytest.raises(UserError, match=rf"books_test\.svmlight'.*{fault}"):
        read(books, "books")


@pytest.mark.parametrize("domain", DOMAINS)
def test_real_files_have_the_published_counts(domain):
    root = os.environ.get("DA_BENCH_DATA")
    if not root or not Path(root, "amazon_reviews").is_dir():
        pytest.skip("needs the real amazon_reviews: set DA_BENCH_DATA to a folder that has amazon_reviews/")
    parts = read(Path(root, "amazon_reviews"), domain)
    # Chen et al. 2012: 2000 labelled reviews of each domain, half of them positive; the rest is the test part.
    published = {"books": 4465, "dvd": 3586, "electronics": 5681, "kitchen": 5945}
    assert {part: examples.inputs.shape for part, examples in parts.items()} == {
        "train": (2000, 5000),
        "test": (published[domain], 5000),
    }
    assert np.bincount(parts["train"].labels).tolist() == [1000, 1000]
    assert 0.45 < parts["test"].labels.mean() < 0.55
    assert max(examples.inputs.max() for examples in parts.values()) <= 84
    assert all((examples.inputs[:, -1] > 0).any() for examples in parts.values())


def test_sentiment_words_transfer_between_domains():
    # If labels did not match rows, or columns meant other words in the other domain, this would be at chance.
    root = os.environ.get("DA_BENCH_DATA")
    if not root or not Path(root, "amazon_reviews").is_dir():
        pytest.skip("needs the real amazon_reviews: set DA_BENCH_DATA to a folder that has amazon_reviews/")
    source, target = (read(Path(root, "amazon_reviews"), domain)["train"] for domain in ("electronics", "kitchen"))
    rates = np.stack([(source.inputs[source.labels == label] > 0).mean(axis=0) for label in (0, 1)])
    weights = np.log((rates[1] + 0.001) / (rates[0] + 0.001))
    scores = (target.inputs > 0) @ weights
    assert ((scores > np.median(scores)) == target.labels).mean() > 0.8  # papers report about 0.85 without adaptation
