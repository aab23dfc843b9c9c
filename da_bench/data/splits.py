"""Which rows of a domain train, validate and test: seeded, named and hashed."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.family import UNSPLIT, random_stream

SPLIT = "da_bench split 1"  # name of the rules below; it changes if they do
TEST, VALIDATION = 0.2, 0.1  # shares: of a domain without an official split; of the remaining training rows

Protocol = Literal["inductive", "transductive", "whole"]
Role = Literal["source", "target"]


class SplitRows(NamedTuple):
    """Rows of each split, int64, in seeded random order, so that the order of the files has no influence.

    Attributes:
        train: rows that train; of the target, without labels.
        validation: rows for model selection.
        test: rows that are scored.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(domain: str, parts: Mapping[str, np.ndarray], protocol: Protocol, role: Role) -> SplitRows:
    """Split the rows of a domain. Labels are not used: splits are not stratified.

    Args:
        domain: full name; part of the random seed.
        parts: rows of each published part: {"all": ...}, or "train", "test" and perhaps "validation".
        protocol: "inductive": the three splits never overlap. The published test part is the test split, otherwise a
            fifth of all rows; the published validation part is the validation split, otherwise a tenth of the rest.
            "transductive", the custom of most papers: all target rows train (without labels), validate (without labels)
            and are scored; of the source, a tenth validates and also takes the place of a test split, and the rest
            trains. "whole", the custom of the classical papers: as "transductive", but all source rows train too, so
            that held-out source rows are rows that trained.
        role: whether the domain is the source or the target.

    Raises:
        UserError: fewer than 3 rows.
    """
    shuffled = {part: random_stream(SPLIT, domain, part).permutation(rows) for part, rows in parts.items()}
    if sum(map(len, shuffled.values())) < 3:
        raise UserError(f"domain '{domain}' has fewer than 3 examples, too few for a train, validation and test split")
    if protocol == "inductive":
        return _split_inductive(shuffled)
    rows = random_stream(SPLIT, domain).permutation(np.concatenate(list(shuffled.values())))
    if role == "target" or protocol == "whole":
        return SplitRows(rows, rows, rows)
    train, validation = _hold_out(rows, VALIDATION)
    return SplitRows(train, validation, validation)


def _split_inductive(parts: Mapping[str, np.ndarray]) -> SplitRows:
    if UNSPLIT in parts:
        train, test = _hold_out(parts[UNSPLIT], TEST)
    else:
        train, test = parts["train"], parts["test"]
    if "validation" in parts:
        return SplitRows(train, parts["validation"], test)
    return SplitRows(*_hold_out(train, VALIDATION), test)


def _hold_out(rows: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (the remaining rows, the first `share` of the rows, at least one)."""
    count = max(1, round(share * len(rows)))
    return rows[count:], rows[:count]
