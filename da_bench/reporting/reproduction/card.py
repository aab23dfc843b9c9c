"""Records of a paper's experiment -> its reproduction card: what was printed, and what comes out here.

Ours is shown by two rules: the one that stands for the paper's own way of choosing, and one that needs no target label.
A rule may have checkpoints to choose from, and settings of a method where several were run.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from da_bench.core.config import UserError
from da_bench.evaluation.validators import LAST, ORACLE, RULES, VALIDATORS
from da_bench.reporting.stats.bayesian import probability_better, probability_better_on_most
from da_bench.reporting.stats.intervals import prediction_interval
from da_bench.reporting.stats.rank_tests import MIN_PAIRS, signed_rank
from da_bench.reporting.tables.cells import DASH, MISSING, accuracy_cell, mean_of_known, number_cell, percent
from da_bench.reporting.tables.escape import escape_markdown
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.published import NUMBERS, Source, is_reproduced, number_averaged, published_name
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.reporting.tables.text import join_unique, single_line
from da_bench.studies.records import Record

CellKey = tuple[str, str]  # a method, see `name_in_print`, and a task, its protocol left out
NONE_PLANNED: Mapping[CellKey, int] = {}

NOTE = (
    "Percent of the target's test rows. Ours: mean ± half width of the 95 % t interval over seeds, by the rule that "
    "stands for the paper's. One run, or mean of m: where one more run of ours, or the mean of m more, as the paper's "
    "number is, would lie with 95 % confidence, mean ± t s √(1/m + 1/n) over n seeds. Reproduced: the paper's number "
    "lies there, to its own rounding; else by how many points our mean is off. What has nothing random in it runs "
    "once and has no such interval: it is reproduced where both are equal as printed. The honest number is that of a "
    "rule which needs no target label; n/a where that is the last step, which chooses among no settings. Of settings "
    "with equal scores the first is taken, of checkpoints the last. Runs: seeds times settings. A-distance: proxy "
    "A-distance of the features after the last step."
)
BETTER_NOTE = (
    "P: chance that the first is the better of the two on most pairs, by the Poisson-binomial test on the test rows on "
    "which one of them alone is right (Lacoste et al. 2012); ours a seed at a time: median [lowest, highest]. It knows "
    "of one training run and its test rows, and nothing of what another seed would change: that is in the gain, the "
    "Hodges-Lehmann median over pairs of the mean difference over seeds, in points [exact 95 % interval], with p of "
    "Wilcoxon's two-sided signed-rank test over pairs. Pairs: on how many the first has the higher mean."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper:
    """What a paper printed, and how it came by it.

    title: the paper and its table, in short; citation; protocol: what the paper did, in words; selection: how it chose
    checkpoints and settings, in words; rule: ours that stands for it, of `da-bench list validators`, "last" or
    "oracle"; rules: of methods for which another does; honest: of methods whose honest number is by another rule than
    the card's, "last" where no rule can choose among their settings without target labels; cells: the printed
    accuracies in [0, 1], by method and task, the task's protocol left out; better: the printed chances that a method is
    better than another on most pairs; averaged: as that of the `Source` of the cells; differs: what is not as it was in
    the paper; cost: of the whole command, on a named device.

    Raises:
        UserError: from the constructor, for an unknown rule, an honest one that is the oracle, or an accuracy outside
            [0, 1].
    """

    title: str
    citation: str
    protocol: str
    selection: str
    rule: str
    rules: Mapping[str, str] = dataclasses.field(default_factory=dict)
    honest: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cells: Mapping[CellKey, float]
    better: Mapping[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    averaged: int | Mapping[str, int] = 1
    differs: tuple[str, ...] = ()
    cost: str = ""

    def __post_init__(self) -> None:
        for rule in (self.rule, *self.rules.values()):
            check_rule(rule)
        for rule in self.honest.values():
            check_honest_rule(rule)
        for (method, task), value in self.cells.items():
            if not 0 <= value <= 1:
                raise UserError(f"Paper.cells: {method} on {task} is {value}; an accuracy is in [0, 1]")

    def rule_of(self, method: str) -> str:
        """Which of ours stands for the way in which the paper chose among what it ran of a method."""
        return self.rules.get(method, self.rule)

    @property
    def said_rules(self) -> str:
        """The rules in words."""
        return _said({"": self.rule, **self.rules})


def _said(rules: Mapping[str, str]) -> str:
    """Rules in words, by method, of "" for all others."""
    return "; ".join(f"{method}: {RULES[rule]}".removeprefix(": ") for method, rule in rules.items())


def check_honest_rule(rule: str) -> None:
    """Raise UserError for a rule that is not known or needs target labels."""
    check_rule(rule)
    if rule == ORACLE:
        raise UserError("the honest number is by a rule that needs no target label, which the oracle does")


def printed(
    *sources: Source, tasks: Sequence[str] | None = None, methods: Sequence[str] | None = None
) -> dict[CellKey, float]:
    """The cells of tables that `baselines/published.py` has, of one source or several: all, or some."""
    found = [one for one in NUMBERS if one.source in sources and (methods is None or one.method in methods)]
    return {
        (one.method, task): value
        for one in found
        for task, value in one.accuracy.items()
        if tasks is None or task in tasks
    }


class Disagreement(NamedTuple):
    """On how many test rows of a pair and seed the first of two methods alone is right (wins), and wrong (losses)."""

    first: str
    second: str
    task: str
    seed: int
    wins: int
    losses: int


class Card(NamedTuple):
    """title; head: (what, said) lines; tables; reproduced: how many of how many printed numbers that were run."""

    title: str
    head: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    reproduced: tuple[int, int]

    def markdown(self) -> str:
        """A page: the head as a list, then the tables."""
        lines = [f"- {what}: {escape_markdown(text)}" for what, text in self.head]
        title = f"## Reproduction card: {escape_markdown(self.title)}"
        return "\n\n".join([title, "\n".join(lines), *(table.markdown() for table in self.tables)])

    def data(self) -> dict[str, Any]:
        """The same for programs, with raw numbers."""
        head = {what.lower().replace(" ", "_"): single_line(text) for what, text in self.head}
        count = dict(zip(("reproduced", "of"), self.reproduced, strict=True))
        return {"title": self.title, **count, **head, "tables": [table.data() for table in self.tables]}


def build_card(
    paper: Paper,
    question: str,
    records: Sequence[Record],
    discords: Sequence[Disagreement] = (),
    honest: str = "im",
    planned: Mapping[CellKey, int] = NONE_PLANNED,
) -> Card:
    """The card of a paper from the records of its experiment.

    question: what the experiment asks; discords: for `Paper.better`; honest: the rule of our honest numbers, but where
    `Paper.honest` has another; planned: seeds, below which there is no verdict.

    Raises:
        UserError: an unknown rule, the oracle as the honest one, or one that cannot choose between settings; a run
            that the paper's rule did not judge; no records.
    """
    check_honest_rule(honest)
    groups = group_by_cell(records)
    _check_judged(paper, groups)
    rows = {
        place: _row(paper, place, groups.get(place, []), honest, planned.get(place, 0))
        for place in cell_keys(paper, groups)
    }
    cells = Table(
        f"{paper.title}: the paper's numbers and ours", _columns(paper, honest), tuple(rows.values()), (NOTE,)
    )
    better = [_better_table(paper, groups, discords)] if paper.better else []
    verdicts = [rows[place][-1].text for place in paper.cells if groups.get(place)]
    count = sum(one.startswith("reproduced") for one in verdicts), len(verdicts)
    return Card(
        paper.title, _head(paper, question, records, count, _mean_error(paper, groups)), (cells, *better), count
    )


def _check_judged(paper: Paper, groups: Mapping[CellKey, Sequence[Record]]) -> None:
    for (method, _), group in groups.items():
        rule = paper.rule_of(method)
        without = [one.id for one in group if one.result["rules"] and rule not in one.result["rules"]]
        if without:
            raise UserError(
                f"{len(without)} runs of '{method}', as {without[0]}, were not judged by '{rule}', the paper's rule: "
                "make the runs in another folder for results, with --validators all, or --reverse"
            )


def group_by_cell(records: Iterable[Record]) -> dict[CellKey, list[Record]]:
    """The records of each method and task."""
    found: dict[CellKey, list[Record]] = {}
    for one in records:
        found.setdefault(cell_key(one.config), []).append(one)
    return found


def cell_key(config: Mapping[str, Any]) -> CellKey:
    """Where a run stands, by its config."""
    return published_name(config), config["task"].partition("@")[0]


def cell_keys(paper: Paper, groups: Mapping[CellKey, Any]) -> list[CellKey]:
    """Those of the paper in its order, then what else was run."""
    return list(dict.fromkeys([*paper.cells, *groups]))


def select_runs(records: Sequence[Record], rule: str) -> dict[int, Record]:
    """Seed -> the run whose checkpoint the rule scores highest, among the settings that were run with that seed.

    Of equal scores the first wins. Runs that left no result are left out.

    Raises:
        UserError: several settings, and a rule that scores none.
    """
    seeds: dict[int, list[Record]] = {}
    for one in records:
        if rule in one.result["rules"]:
            seeds.setdefault(one.config["seed"], []).append(one)
    crowded = next((group for group in seeds.values() if len(group) > 1), None)
    if crowded and rule == LAST:
        raise_ambiguous_settings(cell_key(crowded[0].config), len(crowded))
    return {seed: max(group, key=lambda one: _score(one, rule)) for seed, group in sorted(seeds.items())}


def raise_ambiguous_settings(place: CellKey, settings: int) -> NoReturn:
    """Raise UserError: the last step is no way to choose among settings."""
    raise UserError(
        f"{settings} settings of '{place[0]}' on '{place[1]}', and the rule 'last' chooses between none: give another "
        f"rule, of {', '.join(VALIDATORS)}, or declare which form of the method is printed by itself (publish_form)"
    )


def _score(record: Record, rule: str) -> float:
    """What the rule says of the checkpoint that it chose; what is not finite loses."""
    if rule == LAST:
        return 0.0
    chosen = record.result["rules"][rule]
    if rule == ORACLE:
        return float(chosen["target_accuracy"])
    value = record.curves["validators"][rule][chosen["evaluation"]]
    return float("-inf") if value is None else float(value)


def selected_accuracies(records: Sequence[Record], rule: str) -> dict[int, float]:
    """Seed -> target accuracy in [0, 1] of what the rule picks."""
    return {
        seed: float(one.result["rules"][rule]["target_accuracy"]) for seed, one in select_runs(records, rule).items()
    }


def measured_accuracies(paper: Paper, groups: Mapping[CellKey, Sequence[Record]], place: CellKey) -> dict[int, float]:
    """Seed -> target accuracy in [0, 1] of what the rule picks that stands for the paper's; {} of what was not run."""
    return selected_accuracies(groups.get(place, []), paper.rule_of(place[0]))


def reproduction_verdict(ours: Sequence[float], theirs: float, runs: int = 1) -> str:
    """Whether a printed accuracy is reproduced, see `agrees`, or else how far off it our mean is, in points."""
    return "reproduced" if is_reproduced(ours, theirs, runs) else f"off by {100 * (float(np.mean(ours)) - theirs):+.1f}"


def _columns(paper: Paper, honest: str) -> tuple[Column, ...]:
    return (
        Column("method", "Method"),
        Column("task", "Task"),
        Column("paper", "Paper", ("accuracy",)),
        Column("ours", f"Ours:\n{paper.said_rules}", ("mean", "half_width", "n")),
        Column("one_run", "One run, or\nmean of m", ("low", "high", "averaged")),
        Column("honest", f"Honest:\n{_said({'': honest, **paper.honest})}", ("mean", "half_width", "n")),
        Column("runs", "Runs", ("runs",)),
        Column("a_distance", "A-distance", ("mean",)),
        Column("verdict", "Verdict"),
    )


def _row(paper: Paper, place: CellKey, group: Sequence[Record], honest: str, planned: int) -> tuple[Cell, ...]:
    rule, honest = paper.rule_of(place[0]), paper.honest.get(place[0], honest)
    theirs, chosen, runs = paper.cells.get(place), select_runs(group, rule), number_averaged(paper.averaged, place[0])
    by_seed = selected_accuracies(group, rule)
    ours = list(by_seed.values())
    return (
        *map(Cell, place),
        DASH if theirs is None else Cell(percent(theirs), (theirs,)),
        accuracy_cell(by_seed, "oracle" if rule == ORACLE else ""),
        _range_cell(ours, runs),
        MISSING if honest == LAST and len(group) > len(chosen) else accuracy_cell(selected_accuracies(group, honest)),
        Cell(str(len(group)), (len(group),)),
        number_cell(mean_of_known([one.result.get("proxy_a_distance") for one in chosen.values()])),
        Cell(_verdict(ours, theirs, runs, planned)),
    )


def _verdict(ours: Sequence[float], theirs: float | None, runs: int, planned: int) -> str:
    if not ours or theirs is None:
        return "not printed" if ours else "not run"
    return f"{len(ours)} of {planned} seeds" if len(ours) < planned else reproduction_verdict(ours, theirs, runs)


def _range_cell(ours: Sequence[float], runs: int) -> Cell:
    if len(ours) < 2:
        return DASH
    low, high = prediction_interval(ours, runs)
    of_several = f" (mean of {runs})" if runs > 1 else ""
    return Cell(f"{percent(low)} to {percent(high)}{of_several}", (low, high, runs))


def _mean_error(paper: Paper, groups: Mapping[CellKey, Sequence[Record]]) -> str:
    means = [(float(np.mean(list(ours.values()))), theirs) for _, ours, theirs in _both(paper, groups)]
    if not means:
        return "none of them was run"
    gaps = np.array([ours - theirs for ours, theirs in means])
    apart = f"mean absolute difference {100 * np.abs(gaps).mean():.2f} points, mean difference {100 * gaps.mean():+.2f}"
    intervals = [prediction_interval(list(ours.values())) for _, ours, _ in _both(paper, groups) if len(ours) > 1]
    if not intervals:
        return apart
    width = np.median([(high - low) / 2 for low, high in intervals])
    return f"{apart}; median half width of one run's interval {100 * width:.1f} points"


def _both(
    paper: Paper, groups: Mapping[CellKey, Sequence[Record]]
) -> Iterable[tuple[CellKey, dict[int, float], float]]:
    """What the paper printed and we have run: (place, ours by seed, theirs)."""
    for place, theirs in paper.cells.items():
        ours = measured_accuracies(paper, groups, place)
        if ours:
            yield place, ours, theirs


def _head(
    paper: Paper, question: str, records: Sequence[Record], count: tuple[int, int], error: str
) -> tuple[tuple[str, str], ...]:
    where = provenance(records)
    lines = [
        ("Question", question),
        ("Result", f"{count[0]} of {count[1]} printed numbers reproduced; {error}"),
        ("Paper", paper.citation),
        ("Protocol of the paper", paper.protocol),
        ("Selection of the paper", f"{paper.selection}; here: {paper.said_rules}"),
        ("Different here", "; ".join(paper.differs) or "nothing known"),
        ("Cost", cost(records)),
        *(("Warning", one.removeprefix("WARNING: ")) for one in where[:-1]),
        ("Made by", where[-1]),
    ]
    return tuple(lines)


def cost(records: Sequence[Record]) -> str:
    """How many runs, how many of them left no result, and what they took."""
    spent = [one.result["seconds"] for one in records if one.result.get("seconds")]
    run, compiling = (sum(one[part] / one["together"] for one in spent) for part in ("run", "compile"))
    unmade = join_unique(one.result["status"] for one in records if not one.result["rules"])
    left_out = f" ({len(records) - len(spent)} {unmade})" if unmade else ""
    return f"{len(records)} runs{left_out}, {run:.0f} s, and {compiling:.0f} s to compile them"


BETTER = (
    Column("first", "First"),
    Column("second", "Second"),
    Column("paper", "P, paper", ("p",)),
    Column("ours", "P, ours", ("median", "low", "high")),
    Column("gain", "Gain", ("median", "low", "high", "mean")),
    Column("p", "p", ("p",)),
    Column("pairs", "Pairs", ("above", "of")),
)


def _better_table(paper: Paper, groups: Mapping[CellKey, Sequence[Record]], discords: Sequence[Disagreement]) -> Table:
    rows = []
    for (first, second), theirs in paper.better.items():
        chances = [probability_better_on_most(each) for each in _chances(first, second, discords)]
        gaps = _gaps(paper, groups, first, second)
        rows.append(
            (Cell(first), Cell(second), Cell(f"{theirs:.2f}", (theirs,)), _chance_cell(chances), *_gap_cells(gaps))
        )
    return Table(f"{paper.title}: is the first better?", BETTER, tuple(rows), (BETTER_NOTE,))


def _chances(first: str, second: str, discords: Sequence[Disagreement]) -> list[list[float]]:
    """[seeds][pairs] that the first is the better one."""
    seeds: dict[int, list[float]] = {}
    for one in discords:
        if (one.first, one.second) == (first, second):
            seeds.setdefault(one.seed, []).append(probability_better(one.wins, one.losses))
    return list(seeds.values())


def _chance_cell(chances: Sequence[float]) -> Cell:
    if not chances:
        return MISSING
    middle, low, high = float(np.median(chances)), min(chances), max(chances)
    return Cell(f"{middle:.2f} [{low:.2f}, {high:.2f}]", (middle, low, high))


def _gaps(paper: Paper, groups: Mapping[CellKey, Sequence[Record]], first: str, second: str) -> np.ndarray:
    """Mean accuracy of the first minus that of the second, [pairs] on which both left a result."""
    tasks = [task for method, task in groups if method == first]
    both = [
        [list(measured_accuracies(paper, groups, (one, task)).values()) for one in (first, second)] for task in tasks
    ]
    return np.array([np.mean(one) - np.mean(other) for one, other in both if one and other])


def _gap_cells(gaps: np.ndarray) -> tuple[Cell, Cell, Cell]:
    if len(gaps) < MIN_PAIRS:
        return MISSING, MISSING, Cell(f"{len(gaps)} pairs", (None, len(gaps)))
    found, above = signed_rank(gaps), int(np.sum(gaps > 0))
    shown = f"{100 * found.median:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    return (
        Cell(shown, (found.median, found.low, found.high, float(gaps.mean()))),
        Cell(f"{found.p:.3f}", (found.p,)),
        Cell(f"{above} of {len(gaps)}", (above, len(gaps))),
    )
