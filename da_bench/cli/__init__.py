"""The command line. Nothing heavy is imported before a verb needs it: `da-bench --help` is quick."""

import dataclasses
import importlib.metadata
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

LABELS = Literal["source", "target", "both"]
AUGMENT = Literal["none", "flip", "crop", "crop_flip"]
KINDS = Literal["methods", "tasks", "models", "validators"]

HELP = """usage: da-bench VERB [OPTIONS]

Domain adaptation benchmarks in JAX. Every run leaves a record; a run on record is never made twice.

  run FILE.py             the EXPERIMENTS of a file, its tables and plots: da-bench run experiments/quickstart.py
  run METHOD --task TASK  one method:            da-bench run dann --weight 0.5 --task digits/synthetic-to-real
  run CONFIG.json         a run again, from the config.json of its record
  search METHOD...        hyper-parameters of methods and of source only, with the same budget for each
  table                   tables of the records in a results folder
  plot                    plots of the records in a results folder
  reproduce [NAME]        a paper's table: its runs, its numbers beside ours, a card; --quick: a check of minutes
  list KIND               methods, tasks, models or validators, with --json for programs
  check my_method.py      a method, yours or ours, against all that every method is held to
  new-method NAME         a file with a method that works, to be made into your own
  submit WHAT             pack runs as a submission of predictions, or check one: da-bench submit --help
  leaderboard build       the static site of results folders and submissions
  data WHAT               list, check, prepare and preview data sets: da-bench data --help
  weights WHAT            import, list and verify pretrained weights: da-bench weights --help
  rank SOURCE TARGET      which of the imported weights suits a pair of domains, before training

da-bench VERB --help says more. Data sets of your own: --data-root, or the variable DA_BENCH_DATA.
"""


@dataclasses.dataclass(frozen=True)
class Run:
    """Make the runs of a file, or the run of a record's config, again or for the first time."""

    results: Path = Path("results")
    """Folder of records, tables and plots."""
    data_root: Path | None = None
    """Folder of your data sets; default: the variable DA_BENCH_DATA."""
    rule: str = "last"
    """The selection rule declared for gains: last, oracle, or one of `da-bench list validators`."""
    at_once: int | None = None
    """Runs computed side by side on a device; default: what suits network and device."""
    wandb: Literal["off", "offline", "online"] = "off"
    """Mirror every record into Weights & Biases."""
    shard: str = "1/1"
    """Make only one of several equal shares, "2/8" for the second of eight, as for an array of jobs."""
    isolate: bool = False
    """Every run in a process of its own: one that dies is recorded as such, and the others go on."""
    timeout: float | None = None
    """Seconds that an isolated run may take."""
    retry: bool = False
    """Make failed runs again."""
    checkpoint_seconds: float = 30.0
    """Time between two checkpoints of what is being made, at least."""
    executor: Literal["here", "ray"] = "here"
    """Where: in this process, or each run in one of its own on a node of the Ray cluster that there is."""
    run_cpus: float = 1.0
    """CPUs that a run asks of a node of the cluster."""
    run_gpus: float = 0.0
    """GPUs that a run asks of a node of the cluster, 0.5 for two runs on each."""
    devices_per_run: int = 1
    """Devices over which the rows of each run's batches are spread."""
    validators: Literal["quick", "all"] = "quick"
    """all: also those that compare features, and the measures of transferability; about half a second a run."""
    reverse: bool = False
    """Also reverse validation, for which the reverse learner of every run is trained: as long again."""
    distributed: bool = False
    """One of several processes that make the runs together, as JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
    JAX_PROCESS_ID or the cluster's scheduler say (jax.distributed)."""
    quiet: bool = False
    """No progress, and no tables."""
    json: bool = False
    """Progress and results as JSON lines, for programs."""


@dataclasses.dataclass(frozen=True)
class Reproduce(Run):
    """Reproduce a paper: make the runs of its file in experiments/ that are missing, and set its numbers beside ours.

    Writes a card, tables, plots and the records into RESULTS/NAME. Without a name: what there is to reproduce.
    """

    rule: str = "im"
    """The rule of our honest numbers, beside those under the paper's: one of `da-bench list validators`, or last."""
    quick: bool = False
    """Instead: a cut-down list of runs, made anew; exit code 1 if a number leaves the interval that its file states."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Report the records of a results folder."""

    results: Path = Path("results")
    """Folder whose runs/ holds the records, or the folder of a study with its records.jsonl.xz."""
    also: tuple[Path, ...] = ()
    """More such folders, whose records are reported together with these."""
    task: str | None = None
    """Only this task."""
    rule: str = "last"
    """The selection rule declared for gains: last, oracle, or one of `da-bench list validators`."""


@dataclasses.dataclass(frozen=True)
class Table(Report):
    """Tables of the records in a results folder."""

    of: Literal[
        "results",
        "pairs",
        "published",
        "validators",
        "validators-by-method",
        "selection",
        "transferability",
        "search",
        "cost",
    ] = "results"
    """Results by method on each pair; methods x pairs, with tests over pairs; published numbers beside ours; how well
    every validator chose; what every rule leaves of the gains; measures of transferability beside gains; what each rule
    chose in searches; or the time, speed and memory of runs."""
    others: tuple[str, ...] = ("im", "source_validation")
    """Rules with a column of their own, beside last, the declared one and the oracle."""
    format: Literal["text", "markdown", "latex", "csv", "json"] = "text"
    """How they are printed."""


@dataclasses.dataclass(frozen=True)
class Plot(Report):
    """Plots of the records in a results folder: accuracy by method, training curves, sweeps, and plots over pairs."""

    out: Path = Path("results/plots")
    """Folder to write PNG and SVG files into."""
    confusion: str | None = None
    """Instead: the confusion matrix of the run whose id begins so; needs its data, for their labels."""
    features: str | None = None
    """Instead: maps of features before and after adaptation of the run whose id begins so, which is made again."""
    embedding: Literal["tsne", "umap", "pca"] = "tsne"
    """How features are laid out on a map; all but pca: pip install "da-bench[plots]"."""
    boundary: str | None = None
    """Instead: what class each point of the plane gets, before and after adaptation, by the run whose id begins so."""
    data_root: Path | None = None
    """Folder of your data sets; default: the variable DA_BENCH_DATA."""


@dataclasses.dataclass(frozen=True)
class List:
    """What there is to run."""

    kind: KINDS
    """What to list."""
    json: bool = False
    """For programs: name, summary and fields of each, as JSON."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    0: it is done; 1: a method fails a check, or a number of a quick one left its interval; 2: what was asked for is
    wrong; 74: a folder cannot be written to;
    75: another process is making the runs; 128 and more: stopped by that signal, what was reached being saved.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if given else 2
    if given[0] == "--version":
        print(importlib.metadata.version("da-bench"))
        return 0
    from da_bench.core.config import UserError, did_you_mean

    verbs: dict[str, Callable[[list[str]], None]] = {
        "run": run,
        "search": search,
        "table": table,
        "plot": plot,
        "list": list_,
        "data": data,
        "weights": weights,
        "check": check,
        "new-method": new_method,
        "rank": rank,
        "reproduce": reproduce,
        "submit": submit,
        "leaderboard": leaderboard,
    }
    try:
        if given[0] not in verbs:
            raise UserError(f"unknown verb '{given[0]}'{did_you_mean(given[0], verbs)}")
        verbs[given[0]](given[1:])
        sys.stdout.flush()
    except UserError as error:
        print(f"da-bench: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt as interrupt:
        print("da-bench: stopped; the same command goes on from what is saved", file=sys.stderr)
        return 128 + getattr(interrupt, "signal", 2)
    except BrokenPipeError:  # who read what it prints, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in its buffer goes there
        return 128 + signal.SIGPIPE
    return 0


def run(arguments: list[str]) -> None:
    """`da-bench run`: a file of experiments, a record's config, or one method."""
    if not arguments or arguments[0].startswith("-"):
        print(HELP, "\nda-bench run METHOD --help says more; methods:", *_names("methods"), sep="\n  ")
    elif arguments[0].endswith((".py", ".json")):
        _run_file(Path(arguments[0]), arguments[1:])
    else:
        _run_method(arguments[0], arguments[1:])


def _run_file(path: Path, arguments: list[str]) -> None:
    import tyro

    asked = tyro.cli(Run, args=arguments, prog=f"da-bench run {path}")
    _use_devices(asked.isolate or asked.executor == "ray", asked.distributed)
    from da_bench.core.distributed import is_primary
    from da_bench.studies.experiment import from_file
    from da_bench.studies.study import check_name, study

    check_name(path.stem)
    results = study(from_file(path), _options(asked))
    whole = path.suffix == ".py" and asked.shard == "1/1" and is_primary()
    _show(results, asked, results.write(path.stem, asked.rule) if whole else [])


def _show(results: Any, asked: Run, written: Sequence[Path]) -> None:
    """Tables and what was written, in the form that was asked for."""
    from da_bench.core.distributed import is_primary

    if asked.json:
        records = [{"id": one.id, "status": one.result["status"]} for one in results.records]
        print(json.dumps({"event": "done", "records": records, "written": [str(path) for path in written]}))
        return
    if asked.quiet or not is_primary():
        return
    results.table(asked.rule)
    if written:
        print("\nwritten:", *written, sep="\n  ")
    print(f"\n{len(results.records)} records in {asked.results / 'runs'}")


def _run_method(name: str, arguments: list[str]) -> None:
    import tyro

    apart = not {"--isolate", "ray", "--executor=ray"}.isdisjoint(arguments)
    _use_devices(apart, "--distributed" in arguments)
    from da_bench.methods import METHODS, load_plugins
    from da_bench.studies.study import run as run_study

    load_plugins()
    asked = tyro.cli(_one_method(METHODS[name]), args=arguments, prog=f"da-bench run {name}")
    _show(run_study(asked.method, asked.task, asked.seeds, _options(asked), **_settings(asked)), asked, [])


def _settings(asked: Any) -> dict[str, Any]:
    """What was asked of an experiment, but for task, method and seed."""
    same = {name: getattr(asked, name) for name in ("training", "labels_from", "shots", "features")}
    return {**same, "model": _model(asked), "view": _view(asked)}


def _one_method(cls: Any) -> Any:
    """The command line of `run METHOD`, whose own fields are options without a prefix."""
    import tyro

    options = [("method", Annotated[cls, tyro.conf.arg(name="")], cls()), *_of_experiment(seeds=5)]
    _check_names(cls, [option[0] for option in options])
    made = dataclasses.make_dataclass("RunMethod", options, bases=(Run,), frozen=True, kw_only=True)
    made.__doc__ = cls.__doc__
    return made


def _explained(kind: Any, text: str) -> Any:
    import tyro

    return Annotated[kind, tyro.conf.arg(help=text)]


def _of_experiment(seeds: int) -> list[Any]:
    """Options of an experiment, but for its method, as fields of a dataclass; seeds: how many by default."""
    from da_bench.training.step import Training

    explained = _explained
    return [
        ("task", explained(str, "A pair of domains: see `da-bench list tasks`.")),
        ("seeds", explained(int, "Seeds 0 .. SEEDS - 1."), seeds),
        ("training", Training, Training()),
        ("model", explained(str | None, "A network; default: the task's own."), None),
        ("weights", explained(str, "Imported weights that it starts from: see `da-bench weights`."), ""),
        ("pixels", explained(int | None, "Side of the images that the network sees, default 224."), None),
        ("augment", explained(AUGMENT | None, "Of training images, default crop_flip."), None),
        ("labels_from", explained(LABELS, "target: an upper bound, not a method; both: with --shots."), "source"),
        ("shots", explained(int | None, "Only so many labels of the target, of each class."), None),
        ("features", explained(str, "Imported weights whose features take the place of images."), ""),
    ]


def search(arguments: list[str]) -> None:
    """`da-bench search`: settings of methods, and of source only, with the same budget for each."""
    import itertools

    import tyro

    names = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    asked = tyro.cli(_search_options(), args=arguments[len(names) :], prog="da-bench search METHOD...")
    _use_devices(asked.isolate or asked.executor == "ray", asked.distributed)
    from da_bench.methods import METHODS, load_plugins
    from da_bench.studies.experiment import Experiment

    load_plugins()
    methods: list[Any] = [METHODS[name]() for name in dict.fromkeys(["source_only", *names])]
    experiments = [Experiment(task=asked.task, method=method, **_settings(asked)) for method in methods]
    _show(_searched(experiments, asked), asked, [])


def _search_options() -> Any:
    """The command line of `search`."""
    rates = _explained(tuple[float, float], "Bounds of the learning rate, drawn evenly in its logarithm.")
    sampler = _explained(Literal["random", "tpe"], 'tpe: by Optuna, in batches; pip install "da-bench[opt]".')
    options = [
        ("trials", _explained(int, "Settings tried of each method, the first one being its default."), 20),
        ("learning_rates", rates, (1e-5, 0.1)),
        ("draw", _explained(int, "Which draws: the seed of a random search."), 0),
        ("sampler", sampler, "random"),
        (
            "storage",
            _explained(Path | None, "Of tpe: the file that keeps the search, and from which it goes on."),
            None,
        ),
        ("batch", _explained(int, "Of tpe: settings asked for at once, and made as one program."), 5),
        ("rule", _explained(str, "The rule that is declared, and of tpe what is raised; never the oracle."), "im"),
        *_of_experiment(seeds=3),
    ]
    made = dataclasses.make_dataclass("Search", options, bases=(Run,), frozen=True, kw_only=True)
    made.__doc__ = "Search hyper-parameters of methods, and of source only, with the same budget for each."
    return made


def _searched(experiments: list[Any], asked: Any) -> Any:
    from da_bench.core.config import UserError
    from da_bench.methods.search_space import LogUniform
    from da_bench.studies.search import Budget, adaptive, over_trials
    from da_bench.studies.study import Results, over_seeds, study

    rates, options = LogUniform(*asked.learning_rates), _options(asked)
    if asked.sampler == "random":
        return study(over_seeds(over_trials(experiments, asked.trials, asked.draw, rates), asked.seeds), options)
    if asked.storage is None:
        raise UserError("--sampler tpe needs --storage FILE, which keeps the search so that it can go on")
    given = {name: getattr(asked, name) for name in ("storage", "trials", "seeds", "batch", "rule")}
    budget = Budget(**given, learning_rate=rates)
    records = [record for one in experiments for record in adaptive(one, budget, options).records]
    return Results(records, options.results)


def _model(asked: Any) -> Any:
    """The network that was asked for, by its name or its weights; None, the task's own, where none was."""
    from da_bench import models
    from da_bench import pretrained as weights

    if not asked.weights:
        return None if asked.model is None else models.build(asked.model)
    told = weights.info(asked.weights)
    return models.build(asked.model or told.arch, weights=asked.weights, **told.fields)


def _check_names(cls: Any, options: Sequence[str]) -> None:
    """A method's fields and the options of `da-bench run` share one command line."""
    from da_bench.core.config import UserError

    taken = {*options, *(field.name for field in dataclasses.fields(Run))}
    for field in dataclasses.fields(cls):
        if field.name in taken:
            raise UserError(f"{cls.__name__}.{field.name}: `da-bench run` has an option of this name; rename the field")


def _view(asked: Any) -> Any:
    """What was asked of images; None, that of the weights or the task's own, where nothing was."""
    from da_bench import pretrained as weights
    from da_bench.data.transforms import View

    given = {name: value for name in ("pixels", "augment") if (value := getattr(asked, name)) is not None}
    if given and (name := asked.weights or asked.features):
        return weights.view(name, **given)
    return View(**given) if given else None


def _options(asked: Any) -> Any:
    from da_bench.reporting.tables.rules import check_rule
    from da_bench.studies.options import Options

    check_rule(asked.rule)
    same = {
        field.name: getattr(asked, field.name) for field in dataclasses.fields(Options) if hasattr(asked, field.name)
    }
    progress = "none" if asked.quiet else "json" if asked.json else "line"
    return Options(**{**same, "shard": _shard(asked.shard), "progress": progress})


def _shard(given: str) -> tuple[int, int]:
    from da_bench.core.config import UserError

    i, slash, n = given.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise UserError(f"--shard {given}: give the number of a share and of all, such as 1/8 or 8/8")
    return int(i), int(n)


def _use_devices(isolate: bool, distributed: bool) -> None:
    """One CPU device a core, so that runs spread over cores as they do over accelerators, and a cache of programs.

    isolate: an accelerator is left to the processes that make the runs; this one would take most of its memory.
    """
    import jax

    if isolate and distributed:  # before it waits for the other processes
        from da_bench.core.config import UserError
        from da_bench.studies.options import APART_TOGETHER

        raise UserError(APART_TOGETHER)
    if isolate:
        jax.config.update("jax_platforms", "cpu")

    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        from da_bench.core.storage import cache_folder

        jax.config.update("jax_compilation_cache_dir", str(cache_folder("programs")))
    if distributed:
        given = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}
        numbers: Any = {name: int(os.environ[of]) for name, of in given.items() if of in os.environ}
        jax.distributed.initialize(**numbers)  # what is not given, the cluster's scheduler says


def reproduce(arguments: list[str]) -> None:
    """`da-bench reproduce`."""
    import tyro

    named = bool(arguments) and not arguments[0].startswith("-")
    name, options = (arguments[0], arguments[1:]) if named else ("", arguments)
    asked = tyro.cli(Reproduce, args=options, prog=f"da-bench reproduce {name or 'NAME'}")
    from da_bench.core.config import UserError

    if asked.quick and not name:
        raise UserError("--quick is a check of one reproduction: da-bench reproduce NAME --quick")
    _use_devices(asked.isolate or asked.executor == "ray", asked.distributed)
    from da_bench.reporting import reproduction as room

    if not name:
        for one in map(room.find, room.names()):
            print(f"{one.name}: {one.paper.title}. {one.question}\n  {one.paper.cost}")
    elif asked.quick:
        print(*room.run_quick_check(room.find(name), _options(asked)), sep="\n")
    else:
        _reproduce(room.find(name), asked)


def _reproduce(one: Any, asked: Reproduce) -> None:
    from da_bench.core.distributed import is_primary
    from da_bench.reporting import reproduction as room
    from da_bench.reporting.tables.write import print_tables
    from da_bench.studies.study import study

    options = room.options_for(one, _options(asked), asked.rule)
    results = study(one.experiments, options)
    if asked.shard != "1/1" or not is_primary():
        print(
            f"{len(results.records)} records in {asked.results / 'runs'}; the command without --shard writes the card"
        )
        return
    card, written = room.write_reproduction(one, results, options, asked.rule)
    if asked.json:
        print(json.dumps({"event": "done", "card": card.data(), "written": [str(path) for path in written]}))
    elif not asked.quiet:
        print_tables(card.tables)
        print("", *(f"{what}: {text}" for what, text in card.head), "\nwritten:", *written, sep="\n  ")


def table(arguments: list[str]) -> None:
    """`da-bench table`."""
    import tyro

    asked = tyro.cli(Table, args=arguments, prog="da-bench table")
    from da_bench.reporting.tables.costs import cost_tables
    from da_bench.reporting.tables.published_tables import published_tables
    from da_bench.reporting.tables.result_tables import result_tables, tables_over_pairs
    from da_bench.reporting.tables.rules import shown_rules
    from da_bench.reporting.tables.selection_tables import selection_tables
    from da_bench.reporting.tables.transferability import transferability_tables
    from da_bench.reporting.tables.validators import validator_tables
    from da_bench.reporting.tables.write import print_tables

    shown_rules(asked.rule, asked.others)
    records = _records(asked)
    if asked.of == "results":
        print_tables(result_tables(records, asked.rule, asked.others), asked.format)
    elif asked.of == "pairs":
        print_tables(tables_over_pairs(records, asked.rule, asked.others), asked.format)
    elif asked.of == "published":
        print_tables(published_tables(records, asked.rule), asked.format)
    elif asked.of == "cost":
        print_tables(cost_tables(records), asked.format)
    elif asked.of == "selection":
        print_tables(selection_tables(records, shown_rules(asked.rule, asked.others), asked.rule), asked.format)
    elif asked.of == "transferability":
        print_tables(transferability_tables(records, asked.rule), asked.format)
    elif asked.of == "search":
        print_tables(_searches(records, shown_rules(asked.rule, asked.others)), asked.format)
    else:
        print_tables(validator_tables(records, by_method=asked.of == "validators-by-method"), asked.format)


def _searches(records: list[Any], rules: list[str]) -> list[Any]:
    from da_bench.core.config import UserError
    from da_bench.reporting.tables.search_tables import search_tables

    found = search_tables(records, rules)
    if not found:
        raise UserError("no search among these records: no method at several learning rates; see `da-bench search`")
    return found


def plot(arguments: list[str]) -> None:
    """`da-bench plot`."""
    import tyro

    asked = tyro.cli(Plot, args=arguments, prog="da-bench plot")
    from da_bench.reporting.plots.plots import write_plots
    from da_bench.reporting.tables.rules import check_rule

    check_rule(asked.rule)
    if asked.confusion or asked.features or asked.boundary:
        print(*_look(asked), sep="\n")
    else:
        print(*write_plots(_records(asked), asked.out, asked.rule), sep="\n")


def _look(asked: Plot) -> list[Path]:
    """Plots of single runs, as files."""
    _use_devices(isolate=False, distributed=False)
    from da_bench.reporting import inspect as look
    from da_bench.reporting.plots.plots import write_figures

    made = {}
    if asked.confusion:
        made[f"confusion_{asked.confusion}"] = look.confusion(
            asked.results, asked.confusion, asked.data_root, asked.rule
        )
    if asked.features:
        made[f"features_{asked.features}"] = look.features(
            asked.results, asked.features, asked.data_root, asked.embedding
        )
    if asked.boundary:
        made[f"boundary_{asked.boundary}"] = look.boundaries(asked.results, asked.boundary, asked.data_root)
    return write_figures(made, asked.out)


def _records(asked: Report) -> list[Any]:
    from da_bench.core.config import UserError
    from da_bench.studies.archive import records_in

    every = [one for folder in (asked.results, *asked.also) for one in records_in(folder)]
    found = [one for one in every if asked.task in (None, one.config["task"])]
    if not found:
        of_task = f" of task '{asked.task}'" if asked.task else ""
        raise UserError(f"no records{of_task} in {asked.results / 'runs'}; make some with `da-bench run`")
    return found


def list_(arguments: list[str]) -> None:
    """`da-bench list`."""
    import tyro

    asked = tyro.cli(List, args=arguments, prog="da-bench list", config=(tyro.conf.PositionalRequiredArgs,))
    things = _things(asked.kind)
    if asked.json:
        print(json.dumps(things, indent=1))
        return
    width = max(len(thing["name"]) for thing in things)
    for thing in things:
        print(f"{thing['name']:{width}}  {thing['summary']}")


def data(arguments: list[str]) -> None:
    """`da-bench data`."""
    from da_bench.cli.data import data as data_verb

    data_verb(arguments)


def weights(arguments: list[str]) -> None:
    """`da-bench weights`."""
    from da_bench.cli.weights import weights as weights_verb

    weights_verb(arguments)


def check(arguments: list[str]) -> None:
    """`da-bench check`."""
    from da_bench.cli.check import check as check_verb

    check_verb(arguments)


def new_method(arguments: list[str]) -> None:
    """`da-bench new-method`."""
    from da_bench.cli.new_method import new_method as new_method_verb

    new_method_verb(arguments)


def rank(arguments: list[str]) -> None:
    """`da-bench rank`."""
    from da_bench.cli.rank import rank as rank_verb

    rank_verb(arguments)


def submit(arguments: list[str]) -> None:
    """`da-bench submit`."""
    from da_bench.cli.submit import submit as submit_verb

    if any(one.startswith("--rerun") for one in arguments):
        _use_devices(isolate=False, distributed=False)
    submit_verb(arguments)


def leaderboard(arguments: list[str]) -> None:
    """`da-bench leaderboard`."""
    from da_bench.cli.leaderboard import leaderboard as leaderboard_verb

    leaderboard_verb(arguments)


def _names(kind: str) -> list[str]:
    return [thing["name"] for thing in _things(kind)]


def _things(kind: str) -> list[dict[str, Any]]:
    """Name, summary and what else there is to say of everything of one kind."""
    from da_bench import methods, models
    from da_bench.core.config import as_dict
    from da_bench.data import tasks
    from da_bench.evaluation import validators as select

    if kind == "tasks":
        return [
            {"name": name, "summary": f"{tasks.spec(name).source} -> {tasks.spec(name).target}", **_task(name)}
            for name in tasks.names()
        ]
    if kind == "validators":
        return [{"name": name, "summary": _summary(one.score)} for name, one in select.VALIDATORS.items()]
    if kind == "models":
        return [
            {"name": name, "summary": _summary(cls), "fields": models.describe(cls())}
            for name, cls in models.MODELS.items()
        ]
    methods.load_plugins()
    return [
        {"name": name, "summary": _summary(cls), "fields": as_dict(cls()), "searched": _space(cls)}
        for name, cls in methods.METHODS.items()
    ]


def _space(cls: Any) -> dict[str, str]:
    """Where a method's fields are searched, in words; of a shallow one nowhere."""
    return {field: str(space) for field, space in getattr(cls, "searched", {}).items()}


def _task(name: str) -> dict[str, Any]:
    from da_bench.data import tasks

    spec = tasks.spec(name)
    return {"present": tasks.present(name), "protocol": spec.protocol, "model": spec.model, "citation": spec.citation}


def _summary(thing: Any) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]
