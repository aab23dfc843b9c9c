"""The report of a check as text, and as the file that `da-bench leaderboard build --verdicts` reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import with_config
from typing_extensions import TypedDict

from da_bench.core.config import UserError
from da_bench.core.strict_json import strict_json
from da_bench.leaderboard.submission import schema
from da_bench.leaderboard.submission.check import Report
from da_bench.leaderboard.submission.findings import SubmissionVerdict

UNREADABLE = "0" * 64  # in the place of the digest of a submission that cannot be read


@with_config(schema.STRICT)
class VerdictFile(TypedDict):
    """What a check leaves for the leaderboard.

    Attributes:
        schema: version of this format.
        submission: sha256 of the manifest.
        verdict: the verdict.
        rerun: digests of predictions that a rerun reproduced.
        audited: names of methods that passed the audit.
        findings: level, check, place and sentence of each finding.
    """

    schema: Literal[1]
    submission: schema.Sha256
    verdict: SubmissionVerdict
    rerun: list[schema.Sha256]
    audited: list[schema.ShortText]
    findings: list[list[schema.ShortText]]


def as_verdict(report: Report) -> dict[str, Any]:
    """The report as a `VerdictFile`."""
    return {
        "schema": 1,
        "submission": report.submission.digest if report.submission else UNREADABLE,
        "verdict": report.verdict,
        "findings": [[part[: schema.SHORT] for part in finding] for finding in report.findings],
        "rerun": list(report.rerun),
        "audited": list(report.audited),
    }


def as_json(report: Report) -> str:
    """The verdict as a line of JSON."""
    return json.dumps(as_verdict(report), allow_nan=False)


def read_verdict(path: Path) -> Any:
    """The content of a verdict file.

    Raises:
        UserError: the file cannot be read.
        StrictError: it is not a `VerdictFile`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    return schema.validate(VerdictFile, strict_json(content, str(path)), str(path))


def report_lines(report: Report) -> Iterator[str]:
    """The report as text: one line for each finding, the most serious first, then a summary."""
    levels = ("refused", "flagged", "noted")
    for finding in sorted(report.findings, key=lambda finding: levels.index(finding.level)):
        yield f"{finding.level:8} {finding.check}: {finding.where}: {finding.what}"
    yield (
        f"{report.verdict}: {len(report.runs)} runs, {len(report.recomputed)} recomputed from their predictions, "
        f"{len(report.rerun)} reproduced by a rerun, {len(report.audited)} methods audited"
    )
