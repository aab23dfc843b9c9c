"""Everything that a submission is held to, in the order in which one thing rests on another."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import with_config
from typing_extensions import TypedDict

from da_bench.core.config import UserError, first_line
from da_bench.core.strict_json import StrictError, strict_json
from da_bench.core.types import Task
from da_bench.data import tasks
from da_bench.data.transforms import View
from da_bench.leaderboard.submission import schema
from da_bench.leaderboard.submission.findings import Finding, verdict
from da_bench.leaderboard.submission.package import Run, Submission, read
from da_bench.leaderboard.submission.recompute import recomputed
from da_bench.leaderboard.submission.suspicion import by_setting, suspicions
from da_bench.methods import METHODS, load_plugins
from da_bench.pretrained.representations import Msda
from da_bench.reporting.tables.text import single_line
from da_bench.studies.experiment import canonical, from_config
from da_bench.studies.options import marked

ENOUGH_SEEDS = 5  # a mean over fewer is preliminary
TARGET_LABELS = ("target_labels_cannot_reach_it",)  # the check of the conformance suite that an audit rests on


class Report(NamedTuple):
    """submission: None where it cannot be read; runs: with recomputed numbers where the data are there; recomputed: the
    ids of those; findings: see `findings`; rerun: digests of predictions that were made again; audited: methods.
    """

    submission: Submission | None
    runs: list[Run]
    recomputed: frozenset[str]
    findings: list[Finding]
    rerun: tuple[str, ...] = ()
    audited: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of "refused", "flagged", "accepted"."""
        return verdict(self.findings)


def check(place: Path, others: Sequence[Run], data_root: Path | None = None) -> Report:
    """Check all that can be without making a run again; `others`: runs known before, see `pack.runs`."""
    try:
        submission = read(place)
    except StrictError as error:
        return Report(None, [], frozenset(), [Finding("refused", "read", str(place), str(error))])
    load_plugins()
    findings = [*_seeds(submission.runs), *_configs(submission.runs)]
    if verdict(findings) == "refused":
        return Report(submission, submission.runs, frozenset(), findings)
    here = tasks_of(submission.runs, data_root)
    runs, ids, found = recompute_all(submission.runs, here)
    findings += found
    if verdict(findings) != "refused":
        data = {run.record.config["task"]: _data_of(run) for run in runs}  # one view of each: it changes no label
        labels = {name: here[one].target.test.labels for name, one in data.items() if one in here}
        findings += suspicions(runs, others, labels, submission.manifest["rule"])
    return Report(submission, runs, ids, findings)


def _seeds(runs: Iterable[Run]) -> Iterator[Finding]:
    """Seeds are 0, 1, 2, ...: whoever may choose them chooses the best ones."""
    for group in by_setting(runs).values():
        record = group[0].record
        name = f"{single_line(record.config['method']['name'])} on '{single_line(record.config['task'])}'"
        seeds = sorted(run.record.config["seed"] for run in group)
        if seeds != list(range(len(seeds))):
            yield Finding(
                "refused", "seeds", name, f"seeds {seeds[:10]} are not 0 to {len(seeds) - 1}: make the others too"
            )
        if len(seeds) < ENOUGH_SEEDS and record.config["model"] is not None:
            yield Finding("noted", "seeds", name, f"{len(seeds)} seeds are preliminary; {ENOUGH_SEEDS} are a result")
    for run in runs:
        if run.record.environment["seed"] != run.record.config["seed"]:
            yield Finding("refused", "seeds", run.record.id, "config and environment name different seeds")
        if run.record.config["labels_from"] == "target":
            yield Finding("refused", "labels", run.record.id, "trained on target labels: an upper bound, not a method")


def _configs(runs: Iterable[Run]) -> Iterator[Finding]:
    """Configs that another run's record, or no run's, would have."""
    for group in by_setting(runs).values():
        config, where = group[0].record.config, group[0].record.id
        try:
            tasks.spec(config["task"])
            if config["method"]["name"] not in METHODS:
                what = (
                    f"method '{single_line(config['method']['name'])[:60]}' is not known here: it cannot be made again"
                )
                yield Finding("noted", "config", where, what)
            elif from_config(config).id != where:
                yield Finding("refused", "config", where, "read and written again it is another: leave no default out")
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # UserError, or what a strange value raises
            yield Finding("refused", "config", where, f"it is no experiment's: {single_line(first_line(error))[:200]}")


def recompute_all(runs: Iterable[Run], there: Mapping[str, Task]) -> tuple[list[Run], frozenset[str], list[Finding]]:
    """Runs with numbers computed from their predictions where the data are there; the ids of these; what differs.

    there: see `tasks_of`.
    """
    runs, found, again, ids = list(runs), [], [], set()
    for run in runs:
        task = there.get(_data_of(run))
        if task is None:
            again.append(run)
            continue
        record, findings = recomputed(run, task)
        again.append(run._replace(record=record))
        found += findings
        ids |= set() if findings else {run.record.id}
    absent = sorted({run.record.config["task"] for run in runs if _data_of(run) not in there})
    said = "its data are not here: numbers are claimed, not recomputed"
    return again, frozenset(ids), [*found, *(Finding("noted", "claimed", single_line(one), said) for one in absent)]


def _data_of(run: Run) -> str:
    """What a run's inputs are: its task, how images are seen, whose features of them, and what is made of those."""
    return canonical([run.record.config.get(part) for part in ("task", "view", "features", "msda")])


def tasks_of(runs: Iterable[Run], data_root: Path | None) -> dict[str, Task]:
    """The runs' tasks whose data are here, by what their inputs are."""
    there = {}
    for data, run in {_data_of(run): run for run in runs}.items():
        config = run.record.config
        name, view, denoised = config["task"], config["view"], config.get("msda")
        if tasks.present(name, data_root):
            seen = View(**view) if view else None
            task = tasks.load(name, data_root, seen)
            there[data] = marked(task, seen, config.get("features"), Msda(**denoised) if denoised else None)
    return there


def again(report: Report, count: int, data_root: Path | None) -> Report:
    """The report with `count` of the runs, drawn where no submitter can foresee it, made again."""
    from da_bench.leaderboard.submission.rerun import rerun

    drawn = random.SystemRandom().sample(report.runs, min(count, len(report.runs)))
    findings, equal = [], []
    for run in drawn:
        try:
            found = rerun(run, report.runs, data_root)
        except UserError as error:
            found = Finding("noted", "rerun", run.record.id, f"it cannot be made again here: {error}")
        findings += [found] if found else []
        equal += [] if found else [run]
    before = [_cleared(one, {run.record.id for run in equal}) for one in report.findings]
    return report._replace(findings=[*before, *findings], rerun=tuple(run.digest for run in equal))


def _cleared(one: Finding, equal: set[str]) -> Finding:
    """What a run made again bit for bit has in common with another is no copy."""
    if one.check != "copied" or one.where not in equal:
        return one
    return one._replace(level="noted", what=f"{one.what}; but it was made again to the same bits")


def audit(report: Report) -> Report:
    """The report with every method of the submission held to the conformance suite's check that it sees no labels."""
    from da_bench.testing import made_for, results

    names = sorted({run.record.config["method"]["name"] for run in report.runs} & METHODS.keys())
    deep = [name for name in names if set(TARGET_LABELS) <= {one.name for one in made_for(METHODS[name])}]
    failed = [(name, one) for name in deep for one in results(METHODS[name], TARGET_LABELS) if one.outcome != "passed"]
    findings = [Finding("refused", "audit", name, f"{one.check}: {one.reason}") for name, one in failed]
    passed = tuple(name for name in deep if name not in {name for name, _ in failed})
    return report._replace(findings=[*report.findings, *findings], audited=passed)


@with_config(schema.STRICT)
class Verdict(TypedDict):
    """What a check leaves for the leaderboard; predictions that were made again, by their digest."""

    schema: Literal[1]
    submission: schema.Sha256
    verdict: Literal["accepted", "flagged", "refused"]
    rerun: list[schema.Sha256]
    audited: list[schema.Word]
    findings: list[list[schema.Word]]


def as_verdict(report: Report) -> dict[str, Any]:
    """The report as a `Verdict`."""
    digest = report.submission.digest if report.submission else "0" * 64
    findings = [[part[:300] for part in one] for one in report.findings]
    given = {"schema": 1, "submission": digest, "verdict": report.verdict, "findings": findings}
    return {**given, "rerun": list(report.rerun), "audited": list(report.audited)}


def read_verdict(path: Path) -> Any:
    """A `Verdict` from its file; StrictError where it is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    return schema.fits(Verdict, strict_json(content, str(path)), str(path))


def lines(report: Report) -> Iterator[str]:
    """The report for people: a line a finding, the worst first, and what came of it."""
    order = ("refused", "flagged", "noted")
    for one in sorted(report.findings, key=lambda one: order.index(one.level)):
        yield f"{one.level:8} {one.check}: {one.where}: {one.what}"
    yield (
        f"{report.verdict}: {len(report.runs)} runs, {len(report.recomputed)} recomputed from their predictions, "
        f"{len(report.rerun)} made again, {len(report.audited)} methods audited"
    )


def as_json(report: Report) -> str:
    """The verdict as a line of JSON."""
    return json.dumps(as_verdict(report), allow_nan=False)
