"""Reproduction cards from synthetic records: what counts as reproduced, and what the page shows."""

import json

import pytest

from da_bench.core.config import UserError
from da_bench.reporting.reproduction.card import build_card, reproduction_verdict
from da_bench.reporting.reproduction.paper import Paper
from da_bench.reporting.tables import published
from da_bench.reporting.tables.published import publish_form
from tests.helpers import fake
from tests.reporting.reproduction.test_selected_runs import sweep

TASK = "moons/35"


def paper(cells, rule="last", **more):
    return Paper(title="A paper, Table 1", citation="c", protocol="p", selection="s", rule=rule, cells=cells, **more)


@pytest.mark.parametrize(
    ("accuracies", "printed", "verdict"),
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
def test_a_number_in_the_prediction_interval_of_one_run_is_reproduced(accuracies, printed, verdict):
    assert reproduction_verdict(accuracies, printed) == verdict


def test_the_mean_of_several_runs_has_a_narrower_interval():
    # as above with sqrt(1 / 3 + 1 / 3): .72 -+ .070262, and ROUNDING
    accuracies = [0.70, 0.72, 0.74]
    assert reproduction_verdict(accuracies, 0.6493, runs=3) == "reproduced"
    assert reproduction_verdict(accuracies, 0.7907, runs=3) == "reproduced"
    assert reproduction_verdict(accuracies, 0.6491, runs=3) == "off by +7.1"
    runs = fake.runs(accuracies, task=TASK) + fake.runs(accuracies, task=TASK, method="coral")
    cells = {("dann", TASK): 0.64, ("coral", TASK): 0.64}
    rows = build_card(paper(cells, averaged={"dann": 3}), "q", runs).tables[0].rows
    assert [row[4].text for row in rows] == ["65.0 to 79.0 (mean of 3)", "62.1 to 81.9"]
    assert [row[-1].text for row in rows] == ["off by +8.0", "reproduced"]


def test_a_method_may_have_its_own_selection_rule():
    cells = {("dann", TASK): 0.6, ("coral", TASK): 0.6}
    others = fake.runs([0.55], task=TASK, method="coral")
    card = build_card(paper(cells, rules={"dann": "im"}), "q", [*sweep({0.1: 0.3, 1.0: 0.9}), *others])
    assert [row[3].raw[0] for row in card.tables[0].rows] == [pytest.approx(0.6), pytest.approx(0.55)]
    assert "last step; dann: IM + source-val floor" in dict(card.head)["Selection of the paper"]
    with pytest.raises(UserError, match=r"1 runs of 'coral'.*'dev'"):
        build_card(paper(cells, rules={"coral": "dev"}), "q", [*fake.runs([0.5], task=TASK), *without_dev(others)])


def test_a_card_shows_printed_and_measured_numbers_and_how_many_agree():
    cells = {("dann", TASK): 0.72, ("source_only", TASK): 0.9, ("mcd", TASK): 0.5}
    records = fake.runs([0.7, 0.72, 0.74], task=f"{TASK}@transductive")
    records += fake.runs([0.6, 0.61, 0.62], task=TASK, method="source_only") + fake.runs([0.5], task=TASK, method="svm")
    card = build_card(paper(cells), "Does it?", records)
    (table,) = card.tables
    assert card.reproduced == (1, 2)
    assert [row[-1].text for row in table.rows] == ["reproduced", "off by -29.0", "not run", "not printed"]
    dann = table.rows[0]
    assert dann[3].text == "72.0 ± 5.0"
    assert dann[4].text == "62.1 to 81.9"
    result = dict(card.head)["Result"]
    assert "1 of 2" in result
    assert "14.50 points" in result
    assert "-14.50" in result
    assert "7.5 points" in result  # median half width: t s sqrt(4 / 3) with s = .02 and .01
    assert "commit abc1234" in dict(card.head)["Provenance"]
    assert dict(card.head)["Cost"].startswith("7 runs, 14 s, and 4 s")  # 10 s and 3 s for five of them together
    assert json.loads(json.dumps(card.data(), allow_nan=False))["reproduced"] == 1
    assert "| dann | moons/35 | 72.0 | 72.0 ± 5.0 | 62.1 to 81.9 |" in card.markdown()


def without_dev(records):
    for record in records:
        del record.result["rules"]["dev"]
    return records


def test_runs_without_a_result_by_the_papers_rule_are_refused():
    records = without_dev(fake.runs([0.7, 0.72], task=TASK))
    with pytest.raises(UserError, match=r"2 runs of 'dann'.*'dev'.*--validators all"):
        build_card(paper({("dann", TASK): 0.7}, rule="dev"), "?", records)
    records = [*fake.runs([0.7], task=TASK), *without_dev(fake.runs([0.72], task=TASK, weight=2.0))]
    with pytest.raises(UserError, match="1 runs of 'dann'"):
        build_card(paper({("dann", TASK): 0.7}, rule="dev"), "?", records)


def test_a_variant_with_its_own_published_name_has_its_own_row(monkeypatch):
    monkeypatch.setattr(published, "FORMS", {})
    publish_form("dann+", "dann", schedule="constant")
    records = [*fake.runs([0.7], task=TASK), *fake.runs([0.5], task=TASK, schedule="constant")]
    rows = build_card(paper({("dann", TASK): 0.7, ("dann+", TASK): 0.6}), "?", records).tables[0].rows
    assert [(row[0].text, row[-1].text) for row in rows] == [("dann", "reproduced"), ("dann+", "off by -10.0")]


def test_a_method_may_have_its_own_label_free_rule():
    runs = [*sweep({0.1: 0.3, 1.0: 0.9}), *fake.runs([0.55], task=TASK, method="coral")]
    cells = {("dann", TASK): 0.6, ("coral", TASK): 0.6}
    table = build_card(paper(cells, rule="im", label_free={"dann": "last"}), "q", runs).tables[0]
    assert table.columns[5].title.endswith("IM + source-val floor; dann: last step")
    assert [row[5].text for row in table.rows] == ["n/a", "55.0"]
    with pytest.raises(UserError, match="oracle"):
        build_card(paper(cells, rule="im"), "q", runs, label_free="oracle")
