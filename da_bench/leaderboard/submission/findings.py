"""What a check finds: refused is what is false, flagged what is improbable, noted what cannot be known."""

from typing import Literal, NamedTuple

Level = Literal["refused", "flagged", "noted"]


class Finding(NamedTuple):
    """check: its name; where: the run, setting or file; what: a sentence for people."""

    level: Level
    check: str
    where: str
    what: str


def verdict(findings: list[Finding]) -> str:
    """The worst of the levels, "refused" or "flagged"; "accepted" where nothing is."""
    levels = {one.level for one in findings}
    return "refused" if "refused" in levels else "flagged" if "flagged" in levels else "accepted"
