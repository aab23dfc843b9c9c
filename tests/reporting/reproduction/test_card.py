"""Reproduction cards from made-up records: what is picked, what counts as reproduced, what the page says."""

import itertools
import json

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.reporting.reproduction.card import (
    Disagreement,
    Paper,
    build_card,
    printed,
    reproduction_verdict,
    select_runs,
    selected_accuracies,
)
from da_bench.reporting.stats.bayesian import probability_better, probability_better_on_most
from da_bench.reporting.tables import published
from da_bench.reporting.tables.published import publish_form
from tests.helpers import fake

TASK = "moons/35"


def paper(cells, rule="last", **more):
    return Paper(title="A paper, Table 1", citation="c", protocol="p", selection="s", rule=rule, cells=cells, **more)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        # mean .72, s .02, t(.975, 2) = 4.302653: .72 -+ 4.302653 * .02 * sqrt(4 / 3) = [.620635, .819365]
        ([0.70, 0.72, 0.74], 0.6202, "reproduced"),
        ([0.70, 0.72, 0.74], 0.6200, "off by +10.0"),
        ([0.70, 0.72, 0.74], 0.8198, "reproduced"),
        ([0.70, 0.72, 0.74], 0.8200, "off by -10.0"),
        ([0.4996], 0.5, "reproduced"),
        ([0.51], 0.5, "off by +1.0"),
        ([1.0, 1.0], 1.0, "reproduced"),
    ],
)
def test_reproduced_is_within_the_interval_of_one_more_run(ours, theirs, said):
    assert reproduction_verdict(ours, theirs) == said


def test_the_mean_of_several_runs_has_the_narrower_interval_of_their_mean():
    # as above with sqrt(1 / 3 + 1 / 3): .72 -+ .070262, and ROUNDING
    ours = [0.70, 0.72, 0.74]
    assert reproduction_verdict(ours, 0.6493, runs=3) == reproduction_verdict(ours, 0.7907, runs=3) == "reproduced"
    assert reproduction_verdict(ours, 0.6491, runs=3) == "off by +7.1"
    runs = fake.runs(ours, task=TASK) + fake.runs(ours, task=TASK, method="coral")
    cells = {("dann", TASK): 0.64, ("coral", TASK): 0.64}
    ranges, verdicts = zip(*((row[4].text, row[-1].text) for row in of(cells, runs, {"dann": 3})), strict=True)
    assert ranges == ("65.0 to 79.0 (mean of 3)", "62.1 to 81.9")
    assert verdicts == ("off by +8.0", "reproduced")


def of(cells, records, averaged):
    return build_card(paper(cells, averaged=averaged), "q", records).tables[0].rows


def swept(scores_by_weight, rule="im"):
    """One run a weight, of target accuracy .5, .6, ... and the given score at the checkpoint that the rule chose."""
    found = []
    for i, (weight, score) in enumerate(scores_by_weight.items()):
        (record,) = fake.runs([0.5 + 0.1 * i], task=TASK, weight=weight)
        record.curves["validators"][rule][record.result["rules"][rule]["evaluation"]] = score
        found.append(record)
    return found


def test_among_settings_the_rules_score_decides_and_not_the_target():
    runs = swept({0.1: 0.3, 1.0: 0.9, 6.0: None})
    assert selected_accuracies(runs, "im") == {0: pytest.approx(0.6)}
    assert selected_accuracies(runs, "oracle") == {0: pytest.approx(0.7)}
    assert select_runs(runs, "im")[0].config["method"]["weight"] == 1.0


def test_a_method_that_the_paper_chose_otherwise_has_a_rule_of_its_own():
    cells = {("dann", TASK): 0.6, ("coral", TASK): 0.6}
    others = fake.runs([0.55], task=TASK, method="coral")
    found = build_card(paper(cells, rules={"dann": "im"}), "q", [*swept({0.1: 0.3, 1.0: 0.9}), *others])
    assert [row[3].raw[0] for row in found.tables[0].rows] == [pytest.approx(0.6), pytest.approx(0.55)]
    assert dict(found.head)["Selection of the paper"] == "s; here: last step; dann: IM + source-val floor"
    with pytest.raises(UserError, match=r"1 runs of 'coral', as .*, were not judged by 'dev'"):
        build_card(paper(cells, rules={"coral": "dev"}), "q", [*fake.runs([0.5], task=TASK), *without_dev(others)])


def test_the_last_step_cannot_choose_a_setting():
    with pytest.raises(
        UserError, match=r"2 settings of 'dann' on 'moons/35', and the rule 'last' chooses between none"
    ):
        select_runs(swept({0.1: 0.3, 1.0: 0.9}), "last")


def test_runs_without_a_result_are_left_out():
    runs = [*fake.runs([0.5], task=TASK), fake.record(TASK, seed=1, status="failed", reason="killed")]
    assert selected_accuracies(runs, "last") == {0: 0.5}


def test_a_card_says_what_was_printed_what_came_out_and_how_many_agree():
    cells = {("dann", TASK): 0.72, ("source_only", TASK): 0.9, ("mcd", TASK): 0.5}
    records = fake.runs([0.7, 0.72, 0.74], task=f"{TASK}@transductive")
    records += fake.runs([0.6, 0.61, 0.62], task=TASK, method="source_only") + fake.runs([0.5], task=TASK, method="svm")
    found = build_card(paper(cells), "Does it?", records)
    (table,) = found.tables
    assert found.reproduced == (1, 2)
    assert [row[-1].text for row in table.rows] == ["reproduced", "off by -29.0", "not run", "not printed"]
    dann = table.rows[0]
    assert dann[3].text == "72.0 ± 5.0"
    assert dann[4].text == "62.1 to 81.9"
    assert dict(found.head)["Result"] == (
        "1 of 2 printed numbers reproduced; mean absolute difference 14.50 points, mean difference -14.50; "
        "median half width of one run's interval 7.5 points"  # of t s sqrt(4 / 3) with s = .02 and .01
    )
    assert "commit abc1234" in dict(found.head)["Made by"]
    assert dict(found.head)["Cost"] == "7 runs, 14 s, and 4 s to compile them"  # 10 s and 3 s for five of them together
    assert json.loads(json.dumps(found.data(), allow_nan=False))["reproduced"] == 1
    assert "| dann | moons/35 | 72.0 | 72.0 ± 5.0 | 62.1 to 81.9 |" in found.markdown()


def without_dev(records):
    for record in records:
        del record.result["rules"]["dev"]
    return records


def test_a_rule_that_judged_no_run_is_said_before_anything_is_called_not_run():
    records = without_dev(fake.runs([0.7, 0.72], task=TASK))
    with pytest.raises(UserError, match=r"2 runs of 'dann', as .*, were not judged by 'dev'.*--validators all"):
        build_card(paper({("dann", TASK): 0.7}, rule="dev"), "?", records)


def test_one_run_that_the_rule_did_not_judge_is_no_less_than_all():
    records = [*fake.runs([0.7], task=TASK), *without_dev(fake.runs([0.72], task=TASK, weight=2.0))]
    with pytest.raises(UserError, match=r"1 runs of 'dann', as "):
        build_card(paper({("dann", TASK): 0.7}, rule="dev"), "?", records)


def test_a_form_that_is_printed_by_itself_has_a_line_of_its_own(monkeypatch):
    monkeypatch.setattr(published, "FORMS", {})
    publish_form("dann+", "dann", schedule="constant")
    records = [*fake.runs([0.7], task=TASK), *fake.runs([0.5], task=TASK, schedule="constant")]
    rows = build_card(paper({("dann", TASK): 0.7, ("dann+", TASK): 0.6}), "?", records).tables[0].rows
    assert [(row[0].text, row[-1].text) for row in rows] == [("dann", "reproduced"), ("dann+", "off by -10.0")]


def test_the_honest_number_of_a_method_may_have_a_rule_of_its_own():
    runs = [*swept({0.1: 0.3, 1.0: 0.9}), *fake.runs([0.55], task=TASK, method="coral")]
    cells = {("dann", TASK): 0.6, ("coral", TASK): 0.6}
    found = build_card(paper(cells, rule="im", honest={"dann": "last"}), "q", runs).tables[0]
    assert found.columns[5].title == "Honest:\nIM + source-val floor; dann: last step"
    assert [row[5].text for row in found.rows] == ["n/a", "55.0"]
    for wrong in ({"honest": {"dann": "oracle"}}, {"honest": {"dann": "lasst"}}):
        with pytest.raises(UserError, match=r"needs no target label|unknown rule"):
            paper(cells, **wrong)
    with pytest.raises(UserError, match="needs no target label"):
        build_card(paper(cells, rule="im"), "q", runs, honest="oracle")


def test_a_pair_whose_runs_all_failed_is_no_pair():
    tasks = [f"moons/{angle}" for angle in (10, 20, 30, 40, 50, 60, 70)]
    records = [one for task in tasks[:6] for one in fake.runs([0.5, 0.6], task=task)]
    records += [one for task in tasks for one in fake.runs([0.4, 0.5], task=task, method="coral")]
    records.append(fake.record(tasks[6], seed=0, status="failed", reason="killed"))
    cells = {(method, task): 0.5 for method in ("dann", "coral") for task in tasks}
    better = {("dann", "coral"): 0.9}
    (_, table) = build_card(paper(cells, better=better), "?", records).tables
    assert table.rows[0][-1].text == "6 of 6"


@pytest.mark.parametrize("fault", [{"rule": "lasst"}, {"cells": {("dann", TASK): 72.0}}])
def test_a_wrong_paper_is_refused(fault):
    with pytest.raises(UserError, match=r"unknown rule 'lasst'; did you mean 'last'|an accuracy is in \[0, 1\]"):
        paper(**{"cells": {}, **fault})


def test_chance_to_be_better_by_hand_and_by_drawing():
    # P(Beta(2, 1) > 1/2) = 1 - (1/2)^2, P(Beta(3, 1) > 1/2) = 1 - (1/2)^3
    assert probability_better(1, 0) == pytest.approx(0.75)
    assert probability_better(2, 0) == pytest.approx(0.875)
    assert probability_better(7, 7) == pytest.approx(0.5)
    assert probability_better(30, 20) + probability_better(20, 30) == pytest.approx(1.0)
    drawn = np.random.default_rng(0).dirichlet([31, 21, 951], 200_000)
    assert probability_better(30, 20) == pytest.approx(np.mean(drawn[:, 0] > drawn[:, 1]), abs=0.004)


@pytest.mark.parametrize("chances", [[0.3], [0.2, 0.9], [0.1, 0.5, 0.8], [0.5] * 4, [0.9, 0.6, 0.4, 0.3, 0.8, 0.55]])
def test_most_of_them_against_every_outcome(chances):
    expected = 0.0
    for outcome in itertools.product((0, 1), repeat=len(chances)):
        chance = np.prod([p if won else 1 - p for p, won in zip(chances, outcome, strict=True)])
        expected += chance * (1.0 if 2 * sum(outcome) > len(chances) else 0.5 * (2 * sum(outcome) == len(chances)))
    assert probability_better_on_most(chances) == pytest.approx(expected)


def test_which_is_better_has_the_papers_chance_ours_by_seed_and_the_gain_over_pairs():
    tasks = [f"amazon_reviews/{i}" for i in range(6)]
    records, discords = [], []
    for i, task in enumerate(tasks):
        records += fake.runs([0.70 + 0.01 * i] * 2, task=task) + fake.runs([0.70] * 2, task=task, method="source_only")
        discords += [Disagreement("dann", "source_only", task, seed, 10 + seed, 10) for seed in (0, 1)]
    given = paper({}, better={("dann", "source_only"): 0.87})
    _, table = build_card(given, "?", records, discords).tables
    (row,) = table.rows
    high = probability_better_on_most([probability_better(11, 10)] * 6)
    assert row[2].text == "0.87"
    assert row[3].raw == pytest.approx(((0.5 + high) / 2, 0.5, high))
    assert row[4].raw[3] == pytest.approx(0.025)
    assert row[6].text == "5 of 6"


def test_printed_numbers_are_those_of_the_one_place():
    from da_bench.baselines import published

    found = printed(published.GANIN_AMAZON, published.GANIN_AMAZON_SVM)
    assert len(found) == 36
    assert found["svm", "amazon_reviews/books-to-dvd"] == pytest.approx(0.799)
    assert {method for method, _ in found} == {"source_only", "dann", "svm"}
