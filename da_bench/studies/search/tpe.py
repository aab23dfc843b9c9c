"""Adaptive search by Optuna's TPE: batches of settings, each one compiled program, scored without target labels."""

import contextlib
import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import InstanceOf

from da_bench.core.config import Count, StorageError, UserError, config_dataclass
from da_bench.core.distributed import is_distributed
from da_bench.core.locks import hold_locks
from da_bench.evaluation.validators import LAST, ORACLE, VALIDATORS
from da_bench.methods.search_space import LEARNING_RATE, LogUniform, Space
from da_bench.studies.experiment import Experiment, canonical_json
from da_bench.studies.options import DEFAULTS, Options
from da_bench.studies.results import Results
from da_bench.studies.score import rule_score
from da_bench.studies.search.draws import current_values, search_space, with_values
from da_bench.studies.study import over_seeds, study


@config_dataclass
class Budget:
    """Budget and objective of an adaptive search.

    Args:
        storage: file that keeps the search, and from which it resumes.
        trials: number of settings to try; a multiple of `batch`.
        seeds: runs of each setting.
        batch: settings proposed at once and computed as one program.
        rule: the validator whose mean score over seeds, at the checkpoint that it chooses, is maximised.
        learning_rate: search space of the learning rate.

    Raises:
        UserError: the rule is unknown, has no score or is the oracle; or `batch` does not divide `trials`.
    """

    storage: Path
    trials: Count = 20
    seeds: Count = 3
    batch: Count = 5
    rule: str = "im"
    learning_rate: InstanceOf[Space] = LEARNING_RATE

    def __post_init__(self) -> None:
        if self.rule == ORACLE:
            raise UserError(
                "a search cannot maximise the oracle, which is the target's test accuracy: a setting found by it is "
                f"fitted to test labels; give a label-free rule, such as {', '.join(list(VALIDATORS)[:2])}"
            )
        if self.rule == LAST:
            raise UserError("the rule 'last' chooses a step and scores no setting: give a rule that does, such as im")
        _ = VALIDATORS[self.rule]  # raises for an unknown one
        if self.trials % self.batch:
            raise UserError(
                f"trials = {self.trials} is not a multiple of batch = {self.batch}, so that the last batch would be "
                f"another program: give {-(-self.trials // self.batch) * self.batch} trials, or another batch"
            )


def adaptive(experiment: Experiment, budget: Budget, options: Options = DEFAULTS) -> Results:
    """Try `budget.trials` settings: the experiment's own first, then where TPE expects a good score.

    A search that was stopped or killed resumes from its storage when it is called again, and never repeats a run on
    record. Another experiment, rule or number of seeds is another search in the same file.

    Args:
        experiment: to search around.
        budget: budget and objective of the search.
        options: where and how the runs are computed.

    Raises:
        UserError: as `study` and `search_space`; Optuna is not installed; the file is not the storage of a search; the
            rule needs validators that `options` leave out; or `options` share the runs out, which are not known yet.
        LockedError: another process searches with this storage.

    References:
        Bergstra, Bardenet, Bengio and Kegl, Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; batches by the
        constant liar of Ginsbourger, Le Riche and Carraro, 2010.
    """
    spaces = search_space(experiment, budget.learning_rate)
    _check(experiment, budget, options)
    optuna = require_optuna()
    lock = budget.storage.with_name(f".{budget.storage.name}.lock")
    with _quiet(optuna), hold_locks([lock]):
        search = _open(optuna, _name(experiment, budget, spaces), budget.storage)
        if not search.trials:
            search.enqueue_trial(current_values(experiment, spaces))
        distributions = {
            name: optuna.distributions.FloatDistribution(space.low, space.high, log=isinstance(space, LogUniform))
            for name, space in spaces.items()
        }
        while batch := _next_batch(optuna, search, budget, distributions):
            settings = [_runs(experiment, trial.params, spaces, budget.seeds) for trial in batch]
            for trial, score in zip(batch, _mean_scores(settings, budget.rule, options), strict=True):
                search.tell(trial.number, score, state=None if score is not None else optuna.trial.TrialState.FAIL)
        tried = [trial.params for trial in _complete_trials(search, distributions)]
    return study([run for params in tried for run in _runs(experiment, params, spaces, budget.seeds)], options)


def require_optuna() -> Any:
    """Return the package that proposes settings.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise UserError(
            'the package that proposes settings is missing: pip install "da-bench[opt]", or search at random'
        ) from None
    return optuna


def _check(experiment: Experiment, budget: Budget, options: Options) -> None:
    if "features" in VALIDATORS[budget.rule].needs and options.validators != "all":
        raise UserError(f"the rule '{budget.rule}' compares features: give --validators all, or another rule")
    if "reverse_predictions" in VALIDATORS[budget.rule].needs and not options.reverses(experiment.method.name):
        raise UserError(f"the rule '{budget.rule}' needs reverse learners: give --reverse, or another rule")
    if options.shard != (1, 1) or is_distributed():
        raise UserError(
            "an adaptive search learns its runs on the way, so they cannot be shared out: leave --shard and "
            "--distributed out, give each process its own methods and storage, or search at random"
        )


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Hide Optuna's log lines, and its warnings about experimental features."""
    optuna.logging.set_verbosity(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _name(experiment: Experiment, budget: Budget, spaces: Mapping[str, Space]) -> str:
    """Name of a search: it depends on everything that its trials must share."""
    ranges = {name: str(space) for name, space in spaces.items()}
    facts = [{**experiment.config(), "seed": 0}, budget.rule, budget.seeds, ranges]
    digest = hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:16]
    return f"{experiment.task} {experiment.method.name} {digest}"


def _open(optuna: Any, name: str, storage: Path) -> Any:
    """The search of this name, created if it does not exist."""
    journal = optuna.storages.journal
    try:
        backend = optuna.storages.JournalStorage(journal.JournalFileBackend(str(storage)))
        search = optuna.create_study(storage=backend, study_name=name, direction="maximize", load_if_exists=True)
    except OSError as error:
        raise StorageError(f"cannot write the search's storage '{storage}': {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{storage}' is not the storage of a search ({error}): give another file") from error
    # seeded by the number of trials: a resumed search would otherwise repeat its first draws
    search.sampler = optuna.samplers.TPESampler(seed=len(search.trials), constant_liar=True)
    return search


def _complete_trials(search: Any, distributions: Mapping[str, Any]) -> list[Any]:
    """Trials with all parameters; a process killed while it asked for one leaves an incomplete trial."""
    return [trial for trial in search.trials if trial.params.keys() == distributions.keys()]


def _next_batch(optuna: Any, search: Any, budget: Budget, distributions: Mapping[str, Any]) -> list[Any]:
    """Trials to compute: those that a killed process left, and new ones, one batch in all; [] when all are done."""
    running = optuna.trial.TrialState.RUNNING
    started = _complete_trials(search, distributions)
    unfinished = [trial for trial in started if trial.state == running]
    for _ in range(min(budget.trials - len(started), budget.batch - len(unfinished))):
        search.ask(distributions)
    return [trial for trial in _complete_trials(search, distributions) if trial.state == running]


def _runs(
    experiment: Experiment, params: Mapping[str, float], spaces: Mapping[str, Space], seeds: int
) -> list[Experiment]:
    """The runs of one setting, over seeds; drawn values are rounded, the experiment's own are not."""
    own = current_values(experiment, spaces)
    rounded = {name: space.round(params[name]) for name, space in spaces.items()}
    return over_seeds([with_values(experiment, own if params == own else rounded)], seeds)


def _mean_scores(settings: list[list[Experiment]], rule: str, options: Options) -> list[float | None]:
    """Compute the runs of settings and return the mean score of each over seeds; None where a run has none."""
    results = study([run for runs in settings for run in runs], options)
    scores = {record.id: rule_score(record, rule) for record in results.records}
    means = [float(np.mean([scores.get(run.id, np.nan) for run in runs])) for runs in settings]
    return [mean if np.isfinite(mean) else None for mean in means]
