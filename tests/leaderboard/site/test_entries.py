"""Ranks with their uncertainty, badges, and file names."""

import numpy as np
import pytest

from da_bench.leaderboard.site.entries import BADGES, Rank, Source, backbone_names, entries_of, ranks, slug
from da_bench.leaderboard.submission.findings import Finding
from tests.helpers.fake import record, runs
from tests.helpers.payloads import PAYLOADS


def source(records, recomputed=True, **options):
    ids = frozenset(record.id for record in records) if recomputed else frozenset()
    fields = {"manifest": None, "rerun": frozenset(), "audited": frozenset(), "flags": ()} | options
    return Source(records=list(records), recomputed=ids, **fields)


def board(means, spread, seeds=5):
    noise = np.random.default_rng(0).normal(0, spread, (len(means), seeds))
    named = zip(("source_only", "dann", "coral", "mmd"), means, noise, strict=False)
    return [run for name, mean, offsets in named for run in runs(mean + offsets, method=name)]


def test_methods_that_differ_have_one_rank_each():
    entries = entries_of([source(board([0.5, 0.6, 0.7, 0.8], 0.002))])
    by_entry = ranks(entries, "last")
    assert {entries[i].method: rank for i, rank in by_entry.items()} == {
        "source_only": Rank(4, 4), "dann": Rank(3, 3), "coral": Rank(2, 2), "mmd": Rank(1, 1),
    }  # fmt: skip


def test_methods_within_noise_share_all_ranks():
    by_entry = ranks(entries_of([source(board([0.7, 0.7, 0.7], 0.03))]), "last")
    assert set(by_entry.values()) == {Rank(1, 3)}


def test_one_seed_cannot_be_told_apart():
    by_entry = ranks(entries_of([source(board([0.5, 0.9], 0.0, seeds=1))]), "last")
    assert set(by_entry.values()) == {Rank(1, 2)}


def test_the_oracle_bounds_claimed_and_flagged_entries_have_no_rank():
    bound = runs([0.9] * 5, method="source_only", labels_from="target")
    honest, claimed = board([0.6, 0.7], 0.01), runs([0.99] * 5, method="coral")
    flagged = runs([0.98] * 5, method="mmd")
    flags = (Finding("flagged", "copied", flagged[0].id, "x"),)
    entries = entries_of([source([*honest, *bound]), source(claimed, recomputed=False), source(flagged, flags=flags)])
    assert ranks(entries, "oracle") == {}
    assert {entries[i].method for i in ranks(entries, "last")} == {"source_only", "dann"}


def test_entries_of_other_networks_are_not_compared():
    records = board([0.5, 0.9], 0.001)
    for other in records[5:]:
        other.config["model"] = {"name": "mlp", "hidden": [8]}
    by_entry = ranks(entries_of([source(records)]), "last")
    assert set(by_entry.values()) == {Rank(1, 1)}


def test_networks_of_one_name_are_named_with_their_differences():
    records = [record(seed=seed) for seed in range(4)]
    records[1].config["model"] = {"name": "small_cnn", "width": 64}
    records[2].config["model"] = None
    records[3].config["features"] = "resnet50-timm-0123456789ab"
    assert set(backbone_names(records).values()) == {
        "small_cnn (width=32)",
        "small_cnn (width=64)",
        "none (classical)",
        "small_cnn on resnet50-timm-0123456789ab",
    }


def test_badges_state_what_was_checked():
    records = runs([0.7] * 2, method="coral")
    (entry,) = entries_of([source(records, rerun=frozenset({records[1].id}), audited=frozenset({"coral"}))])
    assert entry.badges == ("recomputed", "re-run", "audited", "preliminary")
    (other,) = entries_of([source(records, recomputed=False)])
    assert other.badges == ("claimed", "preliminary")
    assert set(entry.badges) | set(other.badges) <= set(BADGES)


def test_different_names_have_different_portable_file_names():
    names = [*PAYLOADS, "a/b", "a-b", "a b", "A_b", "a_b", "a.b", "é", "e", "x" * 500, "x" * 501, "", "con"]
    files = [slug(name) for name in names]
    assert len(set(files)) == len(set(names))
    assert all(len(file) <= 60 and set(file) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-") for file in files)


@pytest.mark.parametrize("rule", ["last", "im"])
def test_ranks_do_not_depend_on_the_order_of_records(rule):
    records = board([0.5, 0.6, 0.62, 0.61], 0.02)
    entries, reversed_entries = (entries_of([source(order)]) for order in (records, records[::-1]))
    as_named = lambda entries: {entries[i].method: rank for i, rank in ranks(entries, rule).items()}  # noqa: E731
    assert as_named(entries) == as_named(reversed_entries)
