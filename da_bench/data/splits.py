"""Which rows train, which select and which report: seeded, named, hashed."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.family import UNSPLIT, random_stream

SPLIT = "da_bench split 1"  # the name of the rules below: another name where they change
TEST, VALIDATION = 0.2, 0.1  # of a domain that was published without a split; of what is left to train on

Protocol = Literal["inductive", "transductive", "whole"]
Role = Literal["source", "target"]


class SplitRows(NamedTuple):
    """Rows of a domain, int64, in seeded random order: the order of the files reaches nobody."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(domain: str, parts: Mapping[str, np.ndarray], protocol: Protocol, role: Role) -> SplitRows:
    """The rows of each split, from the rows of each published part.

    "inductive": what trains (of the target: without labels), what selects and what reports never overlap. The published
    test part is the test split, and where there is none, a fifth of all rows; the published validation part validates,
    and where there is none, a tenth of the rest. "transductive", the custom of most papers: all rows of the target are
    adapted on, selected with (without labels) and scored; of the source a tenth validates, which also stands in for a
    source test, and the rest trains. "whole", that of the classical papers: all rows of the source train, too, so that
    whatever asks for held-out source rows sees those that trained. No label is looked at: splits are not stratified.

    Raises:
        UserError: fewer than 3 rows.
    """
    shuffled = {part: random_stream(SPLIT, domain, part).permutation(rows) for part, rows in parts.items()}
    if sum(map(len, shuffled.values())) < 3:
        raise UserError(f"domain '{domain}' has fewer than 3 examples: it cannot train, select and report")
    if protocol == "inductive":
        return _inductive(shuffled)
    whole = random_stream(SPLIT, domain).permutation(np.concatenate(list(shuffled.values())))
    if role == "target" or protocol == "whole":
        return SplitRows(whole, whole, whole)
    train, validation = _hold_out(whole, VALIDATION)
    return SplitRows(train, validation, validation)


def _inductive(parts: Mapping[str, np.ndarray]) -> SplitRows:
    if UNSPLIT in parts:
        train, test = _hold_out(parts[UNSPLIT], TEST)
    else:
        train, test = parts["train"], parts["test"]
    if "validation" in parts:
        return SplitRows(train, parts["validation"], test)
    return SplitRows(*_hold_out(train, VALIDATION), test)


def _hold_out(rows: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """(the rest, `share` of the rows, at least one)."""
    count = max(1, round(share * len(rows)))
    return rows[count:], rows[:count]
