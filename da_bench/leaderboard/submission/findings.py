"""Findings of a check. "refused": something is false; "flagged": improbable; "noted": cannot be known."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Level = Literal["refused", "flagged", "noted"]
SubmissionVerdict = Literal["refused", "flagged", "accepted"]


class Finding(NamedTuple):
    """A finding.

    Attributes:
        level: how serious it is.
        check: name of the check.
        where: the run id, setting, task or file concerned.
        what: a sentence for people.
    """

    level: Level
    check: str
    where: str
    what: str


def verdict_of(findings: Iterable[Finding]) -> SubmissionVerdict:
    """The more serious of the levels "refused" and "flagged"; "accepted" if there is neither."""
    levels = {finding.level for finding in findings}
    return "refused" if "refused" in levels else "flagged" if "flagged" in levels else "accepted"
