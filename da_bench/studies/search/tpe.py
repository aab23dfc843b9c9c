"""Adaptive search by Optuna's TPE: batches of settings, each one compiled program, judged without target labels."""

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
from da_bench.studies.search.draws import placed, space_of, values_of
from da_bench.studies.study import over_seeds, study


@config_dataclass
class Budget:
    """What an adaptive search may spend, and what it raises.

    storage: file in which the search is kept, and from which it goes on; trials: settings that are tried; seeds: runs
    of each; batch: settings that are asked for at once and made as one program; rule: the validator whose mean score
    over seeds, at the checkpoint that it chooses, is raised; learning_rate: the space of the learning rate, a step.

    Raises:
        UserError: the rule has no score, or is the oracle; or trials is no multiple of batch.
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
                "the oracle cannot be what a search raises: it is the target's test accuracy, and a setting found by "
                f"it is fitted to test labels; give a label-free rule, such as {', '.join(list(VALIDATORS)[:2])}"
            )
        if self.rule == LAST:
            raise UserError("the rule 'last' chooses a step and scores no setting: give a rule that does, such as im")
        _ = VALIDATORS[self.rule]  # an unknown one is refused here
        if self.trials % self.batch:
            raise UserError(
                f"trials = {self.trials} is no multiple of batch = {self.batch}, so that the last batch would be "
                f"another program: give {-(-self.trials // self.batch) * self.batch} trials, or another batch"
            )


def adaptive(experiment: Experiment, budget: Budget, options: Options = DEFAULTS) -> Results:
    """Try `budget.trials` settings, the experiment's own first, each batch of others where TPE expects a good score.

    Stopped or killed, it goes on from its storage when called again, and never makes a run on record anew. Another
    experiment, rule or number of seeds is another search in the same file.

    References: Bergstra, Bardenet, Bengio and Kegl, Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; batches
    by the constant liar of Ginsbourger, Le Riche and Carraro, 2010.

    Raises:
        UserError: as `study` and `space_of`; Optuna is not installed; the storage is no search's; the rule needs
            validators that `options` leave out, or options are for sharing runs out that are not known beforehand.
        LockedError: another process searches with this storage.
    """
    spaces = space_of(experiment, budget.learning_rate)
    _check(experiment, budget, options)
    optuna = require_optuna()
    lock = budget.storage.with_name(f".{budget.storage.name}.lock")
    with _quiet(optuna), hold_locks([lock]):
        asked = _opened(optuna, _name(experiment, budget, spaces), budget.storage)
        if not asked.trials:
            asked.enqueue_trial(values_of(experiment, spaces))
        ranges = {name: _range(optuna, space) for name, space in spaces.items()}
        while batch := _batch(optuna, asked, budget, ranges):
            runs = [_runs(experiment, one.params, spaces, budget.seeds) for one in batch]
            for one, mean in zip(batch, _judged(runs, budget.rule, options), strict=True):
                asked.tell(one.number, mean, state=None if mean is not None else optuna.trial.TrialState.FAIL)
        tried = [one.params for one in _whole(asked, ranges)]
    return study([run for params in tried for run in _runs(experiment, params, spaces, budget.seeds)], options)


def require_optuna() -> Any:
    """The package that proposes settings.

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
            "an adaptive search knows its runs only as it goes, so they cannot be shared out: leave --shard and "
            "--distributed out, give each process methods and a storage of its own, or search at random"
        )


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without its log lines, and without warnings that parts of it may change."""
    optuna.logging.set_verbosity(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _name(experiment: Experiment, budget: Budget, spaces: Mapping[str, Space]) -> str:
    """Of a search: all that its trials must share."""
    ranges = {name: str(space) for name, space in spaces.items()}
    facts = [{**experiment.config(), "seed": 0}, budget.rule, budget.seeds, ranges]
    digest = hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:16]
    return f"{experiment.task} {experiment.method.name} {digest}"


def _opened(optuna: Any, name: str, storage: Path) -> Any:
    """The search of this name, begun if it is not there."""
    journal = optuna.storages.journal
    try:
        kept = optuna.storages.JournalStorage(journal.JournalFileBackend(str(storage)))
        asked = optuna.create_study(storage=kept, study_name=name, direction="maximize", load_if_exists=True)
    except OSError as error:
        raise StorageError(f"cannot write the search's storage '{storage}': {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{storage}' is not the storage of a search ({error}): give another file") from error
    # begun anew, its first draws would be those that are already there
    asked.sampler = optuna.samplers.TPESampler(seed=len(asked.trials), constant_liar=True)
    return asked


def _range(optuna: Any, space: Space) -> Any:
    return optuna.distributions.FloatDistribution(space.low, space.high, log=isinstance(space, LogUniform))


def _whole(asked: Any, ranges: Mapping[str, Any]) -> list[Any]:
    """Its trials, but for one that a process was killed in the middle of asking for."""
    return [one for one in asked.trials if one.params.keys() == ranges.keys()]


def _batch(optuna: Any, asked: Any, budget: Budget, ranges: Mapping[str, Any]) -> list[Any]:
    """Trials to be made: what a killed process left, and new ones, a batch in all; none when all are done."""
    running = optuna.trial.TrialState.RUNNING
    begun = _whole(asked, ranges)
    left = [one for one in begun if one.state == running]
    for _ in range(min(budget.trials - len(begun), budget.batch - len(left))):
        asked.ask(ranges)
    return [one for one in _whole(asked, ranges) if one.state == running]


def _runs(
    experiment: Experiment, params: Mapping[str, float], spaces: Mapping[str, Space], seeds: int
) -> list[Experiment]:
    own = values_of(experiment, spaces)
    drawn = {name: space.round(params[name]) for name, space in spaces.items()}
    return over_seeds([placed(experiment, own if params == own else drawn)], seeds)


def _judged(batch: list[list[Experiment]], rule: str, options: Options) -> list[float | None]:
    """Make the runs of settings; the mean score of each over seeds, None where a run has none."""
    made = study([one for runs in batch for one in runs], options)
    scores = {record.id: rule_score(record, rule) for record in made.records}
    means = [float(np.mean([scores.get(one.id, np.nan) for one in runs])) for runs in batch]
    return [mean if np.isfinite(mean) else None for mean in means]
