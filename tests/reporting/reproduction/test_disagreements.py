"""Probabilities that one method is better than another, and their table."""

import pytest

from da_bench.reporting.reproduction.card import build_card
from da_bench.reporting.reproduction.disagreements import FILE_NAME, Disagreement, read_disagreements
from da_bench.reporting.reproduction.paper import Paper
from da_bench.reporting.reproduction.run import write_card
from da_bench.reporting.stats.bayesian import probability_better, probability_better_on_most
from tests.helpers import fake


def comparison(better, records, disagreements=()):
    paper = Paper(title="t", citation="c", protocol="p", selection="s", rule="last", cells={}, better=better)
    card = build_card(paper, "?", records, disagreements)
    return card, card.tables[1].rows[0]


def test_the_table_has_the_papers_probability_the_one_by_seed_and_the_gain_over_pairs():
    tasks = [f"amazon_reviews/{i}" for i in range(6)]
    records, disagreements = [], []
    for i, task in enumerate(tasks):
        records += fake.runs([0.70 + 0.01 * i] * 2, task=task) + fake.runs([0.70] * 2, task=task, method="source_only")
        disagreements += [Disagreement("dann", "source_only", task, seed, 10 + seed, 10) for seed in (0, 1)]
    _, row = comparison({("dann", "source_only"): 0.87}, records, disagreements)
    high = probability_better_on_most([probability_better(11, 10)] * 6)
    assert row[2].text == "0.87"
    assert row[3].raw == pytest.approx(((0.5 + high) / 2, 0.5, high))
    assert row[4].raw[3] == pytest.approx(0.025)
    assert row[6].text == "5 of 6"


def test_a_pair_whose_runs_all_failed_is_not_counted():
    tasks = [f"moons/{angle}" for angle in (10, 20, 30, 40, 50, 60, 70)]
    records = [run for task in tasks[:6] for run in fake.runs([0.5, 0.6], task=task)]
    records += [run for task in tasks for run in fake.runs([0.4, 0.5], task=task, method="coral")]
    records.append(fake.record(tasks[6], seed=0, status="failed", reason="killed"))
    _, row = comparison({("dann", "coral"): 0.9}, records)
    assert row[-1].text == "6 of 6"


def test_disagreements_are_written_next_to_the_card_and_read_back(tmp_path):
    disagreements = [Disagreement("dann", "source_only", "moons/35", 0, 3, 1)]
    card, _ = comparison({("dann", "source_only"): 0.87}, fake.runs([0.7], task="moons/35"), disagreements)
    assert read_disagreements(tmp_path) == []
    assert tmp_path / FILE_NAME in write_card(card, disagreements, tmp_path)
    assert read_disagreements(tmp_path) == disagreements
