"""All checks of a submission, in order: each relies on those before it."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from da_bench.core.config import UserError, first_line
from da_bench.core.strict_json import StrictError
from da_bench.core.types import Task
from da_bench.data import tasks
from da_bench.data.transforms import View
from da_bench.leaderboard.submission.findings import Finding, SubmissionVerdict, verdict_of
from da_bench.leaderboard.submission.reader import PredictedRun, Submission, read_submission
from da_bench.leaderboard.submission.recompute import recompute
from da_bench.leaderboard.submission.rerun import rerun
from da_bench.leaderboard.submission.suspicion import by_setting, suspicions
from da_bench.methods import METHODS, load_plugins
from da_bench.pretrained.representations import Msda
from da_bench.reporting.tables.text import single_line
from da_bench.studies.data import with_fingerprint
from da_bench.studies.experiment import canonical_json
from da_bench.studies.experiment_files import from_config

ENOUGH_SEEDS = 5  # a mean over fewer is preliminary
AUDIT_CHECKS = ("target_labels_cannot_reach_it",)  # of the conformance suite


class Report(NamedTuple):
    """Outcome of a check.

    Attributes:
        submission: the submission; None if it cannot be read.
        runs: its runs, with recomputed numbers where the data are available.
        recomputed: ids of the runs with recomputed numbers.
        findings: all findings.
        rerun: digests of the predictions that a rerun reproduced bit for bit.
        audited: names of the methods that passed the audit.
    """

    submission: Submission | None
    runs: list[PredictedRun]
    recomputed: frozenset[str]
    findings: list[Finding]
    rerun: tuple[str, ...] = ()
    audited: tuple[str, ...] = ()

    @property
    def verdict(self) -> SubmissionVerdict:
        """The verdict that follows from the findings."""
        return verdict_of(self.findings)


def check_submission(path: Path, others: Sequence[PredictedRun], data_root: Path | None = None) -> Report:
    """Run every check that needs no training.

    Args:
        path: folder or zip archive of the submission.
        others: known runs that it is compared with, see `writer.finished_runs`.
        data_root: folder of data sets; None for the variable DA_BENCH_DATA.
    """
    try:
        submission = read_submission(path)
    except StrictError as error:
        return Report(None, [], frozenset(), [Finding("refused", "read", str(path), str(error))])
    load_plugins()
    findings = [*_check_seeds(submission.runs), *_check_configs(submission.runs)]
    if verdict_of(findings) == "refused":
        return Report(submission, submission.runs, frozenset(), findings)
    loaded = load_tasks(submission.runs, data_root)
    recomputed = recompute_runs(submission.runs, loaded)
    findings += recomputed.findings
    if verdict_of(findings) != "refused":
        # any input of a task will do: features or transforms do not change labels
        keys = {run.record.config["task"]: _input_key(run) for run in recomputed.runs}
        labels = {name: loaded[key].target.test.labels for name, key in keys.items() if key in loaded}
        findings += suspicions(recomputed.runs, others, labels, submission.manifest["rule"])
    return Report(submission, recomputed.runs, recomputed.ids, findings)


def _check_seeds(runs: Iterable[PredictedRun]) -> Iterator[Finding]:
    """Seeds must be 0, 1, 2, ...: a free choice would allow to submit the best ones only."""
    for group in by_setting(runs).values():
        config = group[0].record.config
        name = f"{single_line(config['method']['name'])} on '{single_line(config['task'])}'"
        seeds = sorted(run.record.config["seed"] for run in group)
        if seeds != list(range(len(seeds))):
            what = f"seeds {seeds[:10]} are not 0 to {len(seeds) - 1}: run and submit the missing ones too"
            yield Finding("refused", "seeds", name, what)
        if len(seeds) < ENOUGH_SEEDS and config["model"] is not None:
            what = f"a mean over {len(seeds)} seeds is preliminary; {ENOUGH_SEEDS} or more make a result"
            yield Finding("noted", "seeds", name, what)
    for run in runs:
        if run.record.environment["seed"] != run.record.config["seed"]:
            yield Finding("refused", "seeds", run.record.id, "config.json and environment.json name different seeds")
        if run.record.config["labels_from"] == "target":
            yield Finding("refused", "labels", run.record.id, "trained on target labels: an upper bound, not a method")


def _check_configs(runs: Iterable[PredictedRun]) -> Iterator[Finding]:
    """A config must be that of a valid experiment, and give the id of its run."""
    for group in by_setting(runs).values():
        config, run_id = group[0].record.config, group[0].record.id
        try:
            tasks.spec(config["task"])
            method = config["method"]["name"]
            if method not in METHODS:
                what = f"method '{single_line(method)[:60]}' is not known here, so its runs cannot be repeated"
                yield Finding("noted", "config", run_id, what)
            elif from_config(config).id != run_id:
                what = "the resolved config has another id: config.json must hold every field, defaults included"
                yield Finding("refused", "config", run_id, what)
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # UserError, or what a strange value raises
            yield Finding(
                "refused", "config", run_id, f"not a valid experiment: {single_line(first_line(error))[:200]}"
            )


class Recomputed(NamedTuple):
    """Runs after recomputation.

    Attributes:
        runs: all runs; with recomputed numbers where the data are available.
        ids: ids of the runs whose recorded numbers equal the recomputed ones.
        findings: numbers that differ, and tasks whose data are missing.
    """

    runs: list[PredictedRun]
    ids: frozenset[str]
    findings: list[Finding]


def recompute_runs(runs: Iterable[PredictedRun], loaded: Mapping[str, Task]) -> Recomputed:
    """Recompute the numbers of runs from their predictions; `loaded`: see `load_tasks`."""
    results: list[PredictedRun] = []
    findings: list[Finding] = []
    ids, unavailable = set(), set()
    for run in runs:
        task = loaded.get(_input_key(run))
        if task is None:
            results.append(run)
            unavailable.add(run.record.config["task"])
            continue
        record, differences = recompute(run, task)
        results.append(run._replace(record=record))
        findings += differences
        ids |= set() if differences else {run.record.id}
    what = "its data are not available here: numbers are claimed, not recomputed"
    findings += [Finding("noted", "claimed", single_line(name), what) for name in sorted(unavailable)]
    return Recomputed(results, frozenset(ids), findings)


def _input_key(run: PredictedRun) -> str:
    """Equal for runs with the same inputs: task, image transforms, pretrained features, denoised representations."""
    return canonical_json([run.record.config.get(part) for part in ("task", "view", "features", "msda")])


def load_tasks(runs: Iterable[PredictedRun], data_root: Path | None) -> dict[str, Task]:
    """Input key of a run -> its task, for all tasks whose data are available."""
    loaded = {}
    for key, run in {_input_key(run): run for run in runs}.items():
        config = run.record.config
        if tasks.present(config["task"], data_root):
            view = View(**config["view"]) if config["view"] else None
            msda = Msda(**config["msda"]) if config.get("msda") else None
            task = tasks.load(config["task"], data_root, view)
            loaded[key] = with_fingerprint(task, view, config.get("features"), msda)
    return loaded


def rerun_sample(report: Report, count: int, data_root: Path | None) -> Report:
    """The report extended by reruns of `count` runs, drawn at random so that no submitter can foresee them."""
    findings, reproduced = [], []
    for run in random.SystemRandom().sample(report.runs, min(count, len(report.runs))):
        try:
            finding = rerun(run, report.runs, data_root)
        except UserError as error:
            finding = Finding("noted", "rerun", run.record.id, f"cannot be repeated here: {error}")
        if finding is None:
            reproduced.append(run)
        else:
            findings.append(finding)
    ids = {run.record.id for run in reproduced}
    cleared = [_without_copy_flag(finding) if finding.where in ids else finding for finding in report.findings]
    return report._replace(findings=[*cleared, *findings], rerun=tuple(run.digest for run in reproduced))


def _without_copy_flag(finding: Finding) -> Finding:
    """Downgrade a finding of copied predictions: a run that a rerun reproduces bit for bit is not a copy."""
    if finding.check != "copied":
        return finding
    return finding._replace(level="noted", what=f"{finding.what}; but a rerun gave the same bits")


def audit_methods(report: Report) -> Report:
    """The report extended by the conformance suite's label-leakage check of every method of the submission."""
    from da_bench.testing import checks_for, results

    names = sorted({run.record.config["method"]["name"] for run in report.runs} & METHODS.keys())
    auditable = [name for name in names if set(AUDIT_CHECKS) <= {check.name for check in checks_for(METHODS[name])}]
    outcomes = {name: list(results(METHODS[name], AUDIT_CHECKS)) for name in auditable}
    findings = [
        Finding("refused", "audit", name, f"{outcome.check}: {outcome.reason}")
        for name, of_method in outcomes.items()
        for outcome in of_method
        if outcome.outcome != "passed"
    ]
    failed = {finding.where for finding in findings}
    passed = tuple(name for name in auditable if name not in failed)
    return report._replace(findings=[*report.findings, *findings], audited=passed)
