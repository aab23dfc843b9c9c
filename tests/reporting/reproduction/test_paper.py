"""Declarations of papers: what is refused, and the printed numbers they take from published tables."""

import pytest

from da_bench.core.config import UserError
from da_bench.reporting.reproduction.paper import Paper, printed

CELL = ("dann", "moons/35")


def paper(**fields):
    required = {"title": "t", "citation": "c", "protocol": "p", "selection": "s", "rule": "last", "cells": {}}
    return Paper(**{**required, **fields})


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"rule": "lasst"}, r"'lasst'.*'last'"),
        ({"rules": {"dann": "lasst"}}, r"'lasst'.*'last'"),
        ({"label_free": {"dann": "lasst"}}, r"'lasst'.*'last'"),
        ({"label_free": {"dann": "oracle"}}, "oracle"),
        ({"cells": {CELL: 72.0}}, r"dann on moons/35 is 72.0.*\[0, 1\]"),
        ({"cells": {CELL: -0.1}}, r"dann on moons/35 is -0.1.*\[0, 1\]"),
    ],
)
def test_a_wrong_declaration_is_refused(fault, named):
    with pytest.raises(UserError, match=named):
        paper(**fault)


def test_rules_by_method_and_in_words():
    declared = paper(rule="last", rules={"dann": "im"}, label_free={"svm": "last"})
    assert (declared.rule_of("dann"), declared.rule_of("coral")) == ("im", "last")
    assert declared.describe_rules() == "last step; dann: IM + source-val floor"
    assert declared.describe_label_free("im") == "IM + source-val floor; svm: last step"


def test_printed_numbers_are_those_of_the_published_tables():
    from da_bench.baselines import published

    cells = printed(published.GANIN_AMAZON, published.GANIN_AMAZON_SVM)
    assert len(cells) == 36
    assert cells["svm", "amazon_reviews/books-to-dvd"] == pytest.approx(0.799)
    assert {method for method, _ in cells} == {"source_only", "dann", "svm"}
    tasks = ["amazon_reviews/books-to-dvd"]
    assert set(printed(published.GANIN_AMAZON, tasks=tasks, methods=["dann"])) == {("dann", tasks[0])}
