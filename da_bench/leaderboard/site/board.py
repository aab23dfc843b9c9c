"""The whole leaderboard, and what it shows of an entry by a selection rule."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from da_bench.leaderboard.site.entries import Entry, Rank, interval
from da_bench.reporting.stats.paired import PairedTest
from da_bench.reporting.tables.cells import gain_over_source_only, percent


class Board(NamedTuple):
    """The whole leaderboard.

    Attributes:
        entries: all entries.
        ranks: rule -> index of an entry -> its rank.
        rule: the selection rule that is shown first.
    """

    entries: Sequence[Entry]
    ranks: Mapping[str, Mapping[int, Rank]]
    rule: str

    def where(self, **values: str) -> list[int]:
        """Indices of the entries whose properties, such as `task`, have these values."""
        return [
            i
            for i, entry in enumerate(self.entries)
            if all(getattr(entry, name) == value for name, value in values.items())
        ]


class Standing(NamedTuple):
    """What the cells that depend on the selection rule show, each followed by its sort key."""

    rank: str
    rank_key: float | None
    accuracy: str
    accuracy_key: float | None
    gain: str
    gain_key: float | None


def standing(board: Board, i: int, rule: str) -> Standing:
    """Rank, accuracy and gain of entry `i` by a rule."""
    entry = board.entries[i]
    rank, scores = board.ranks.get(rule, {}).get(i), entry.row.scores(rule)
    gain = gain_over_source_only(entry.row, entry.rows, rule) if scores else None
    mean = interval(entry, rule)[0] if scores else None
    return Standing(
        rank=_rank_text(rank),
        rank_key=None if rank is None else round((rank.best + rank.worst) / 2 - (mean or 0) / 10, 4),
        accuracy=accuracy_text(entry, rule),
        accuracy_key=None if mean is None else round(mean, 6),
        gain=_gain_text(entry, gain),
        gain_key=None if gain is None or entry.row.is_source_only else round(gain.mean, 6),
    )


def _rank_text(rank: Rank | None) -> str:
    """The ranks left open: "2" or "1–4"; a dash without a rank."""
    if rank is None:
        return "–"
    return f"{rank.best}" if rank.best == rank.worst else f"{rank.best}–{rank.worst}"


def accuracy_text(entry: Entry, rule: str) -> str:
    """Percent: "71.2 ± 1.3"; "n/a" without a score by this rule."""
    if not entry.row.scores(rule):
        return "n/a"
    mean, half_width, _ = interval(entry, rule)
    return percent(mean) if half_width is None else f"{percent(mean)} ± {percent(half_width)}"


def _gain_text(entry: Entry, gain: PairedTest | None) -> str:
    """Percentage points: "+3.1 [+1.0, +5.2]"; a dash for source only itself."""
    if entry.row.is_source_only or gain is None:
        return "–"
    if np.isnan(gain.half_width):
        return f"{100 * gain.mean:+.1f}"
    low, high = 100 * (gain.mean - gain.half_width), 100 * (gain.mean + gain.half_width)
    return f"{100 * gain.mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def sort_key(board: Board, i: int) -> tuple[bool, str, float, float]:
    """Sort key within a task: by network, classical methods last, then by rank, then by accuracy."""
    entry, rank = board.entries[i], board.ranks[board.rule].get(i)
    scores = entry.row.scores(board.rule)
    mean = float(np.mean(list(scores.values()))) if scores else 0.0
    is_classical = entry.record.config["model"] is None
    return is_classical, entry.backbone, (rank.best + rank.worst) / 2 if rank else np.inf, -mean
