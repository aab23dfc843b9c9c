"""`da-bench search`: hyper-parameters of methods and of source only, with the same budget for each."""

import dataclasses
import itertools
from pathlib import Path
from typing import ClassVar, Literal

from da_bench.cli.options import ExperimentCommand
from da_bench.cli.parse import Words, read
from da_bench.cli.run import show
from da_bench.core.config import UserError
from da_bench.methods import METHODS, load_plugins
from da_bench.methods.search_space import LogUniform
from da_bench.studies.experiment import Experiment
from da_bench.studies.results import Results
from da_bench.studies.search import Budget, adaptive, over_trials
from da_bench.studies.study import over_seeds, study


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search(ExperimentCommand):
    """Search hyper-parameters of methods, and of source only, with the same budget for each.

    The first trial of a method is its default. `da-bench table --of search` shows what each selection rule chose.
    """

    EXAMPLES: ClassVar[str] = """  $ da-bench search dann coral mcc --task digits/synthetic-to-real --trials 20
  $ da-bench search dann --task moons/35 --sampler tpe --storage search.log"""

    trials: int = 20
    """Settings tried of each method; the first one is its default."""
    learning_rates: tuple[float, float] = (1e-5, 0.1)
    """Bounds of the learning rate, which is drawn log-uniformly."""
    draw: int = 0
    """Seed of a random search."""
    sampler: Literal["random", "tpe"] = "random"
    """tpe: Optuna's sampler, in batches; pip install "da-bench[opt]"."""
    storage: Path | None = None
    """For tpe: the file that keeps the search, from which it continues."""
    batch: int = 5
    """For tpe: settings that are proposed at once and run as one program."""
    rule: str = "im"
    """Selection rule that the tables declare and that tpe maximises; never the oracle."""
    seeds: int = 3
    """Number of seeds; they are 0, 1, ..., SEEDS - 1."""

    def run(self, names: list[str]) -> None:
        """Make the missing runs of the named methods and print the tables."""
        self.set_up_devices()
        load_plugins()
        methods = [METHODS[name]() for name in dict.fromkeys(["source_only", *names])]
        show(self._results([self.experiment(method) for method in methods]), self)

    def _results(self, experiments: list[Experiment]) -> Results:
        rates, options = LogUniform(*self.learning_rates), self.options()
        if self.sampler == "random":
            return study(over_seeds(over_trials(experiments, self.trials, self.draw, rates), self.seeds), options)
        if self.storage is None:
            raise UserError("--sampler tpe needs --storage FILE, which keeps the search so that it can continue")
        budget = Budget(
            storage=self.storage,
            trials=self.trials,
            seeds=self.seeds,
            batch=self.batch,
            rule=self.rule,
            learning_rate=rates,
        )
        records = [record for experiment in experiments for record in adaptive(experiment, budget, options).records]
        return Results(records, options.results)


def main(words: Words) -> None:
    """Search the methods that are named before the first option."""
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), words.rest))
    read(Search, Words(f"{words.program} METHOD...", words.rest[len(names) :])).run(names)
