"""Table of experiments/fidelity.py: results/tables/fidelity.md, with its numbers in fidelity.json.

Command: `python -m benchmarks.fidelity`, after `da-bench run experiments/fidelity.py`. It takes about five minutes of
a core: every variant is compiled for one step, from the point to which its default was trained.
"""

import functools
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import da_bench as da
from da_bench.core.config import UserError
from da_bench.core.types import Batch, TrainState, Tree
from da_bench.reporting.stats.intervals import Interval, t_interval
from da_bench.reporting.stats.paired import PairedTest, gain_verdict, paired_t_test
from da_bench.studies.records import Record, Records
from da_bench.testing.subject import compiled
from da_bench.training import step as train
from experiments.fidelity import NETWORK, RATES, SEEDS, TRAINING, VARIANTS, Variant

TASKS = tuple(TRAINING)
FOLDER = Path("results/tables")
BEFORE, AT, ROWS = 400, 250, 64  # steps of the default, the step (of 2 AT) then taken, rows of each domain in it
SAYS = {"gain": "HIGHER", "negative transfer": "LOWER", "inside noise": "inside noise", "untested": "untested"}

REASONS = """What moves most was looked into:

- dsan, schedule = constant, on digits: at full strength from the first step all features go to one point, where the
  term is 0; every hidden unit is dead, and the source's accuracy is that of guessing too. A ramp prevents it, and so
  does a weight of 0.1.
- deep_jdot, authors' code, on digits: it leaves out the source's own cross-entropy, and here batches do not hold every
  class equally often as theirs do: the source is not learned.
- shot on moons: two crescents are no clusters of directions. Of a source model's 66 %, centroids leave 55, 41 and 36 %
  in three rounds of an independent numpy calculation; variant = im has no centroids.
- mmd on moons: the suites sum five kernels close to the data's mean distance, the default takes the mean of 33 that
  are far apart: five times the weight, and more.
- schedules by steps: 500 steps end at 0.24 of the full strength. They are made for 20000.

Nothing of it is a fault of the formula: tests hold each to float64 numpy."""


class Move(NamedTuple):
    """On the fixed batch. term: the added loss; step: the update's distance from the default's, over its length."""

    term: float
    step: float


class Score(NamedTuple):
    """On one task. target: accuracy; gain: over the method's default, seed by seed; diverged: runs."""

    target: Interval
    gain: PairedTest
    diverged: int


def main() -> None:
    """Write both files."""
    made = made_runs(Path("results"))
    rows = [row(one, made) for one in VARIANTS]
    provenance = about(list(made.values()))
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "fidelity.md").write_text("\n".join(page(rows, provenance)) + "\n")
    (FOLDER / "fidelity.json").write_text(json.dumps({"provenance": provenance, "rows": plain(rows)}, indent=1) + "\n")


def made_runs(results: Path) -> dict[str, Record]:
    """Records by run; UserError where some are not there."""
    store = Records(results)
    wanted = [run.id for task in TASKS for one in VARIANTS for run in one.runs(task)]
    missing = sum(not store.has(run) for run in wanted)
    if missing:
        raise UserError(f"{missing} of {len(wanted)} runs are not in {results}: `da-bench run experiments/fidelity.py`")
    return {run: store.read(run) for run in wanted}


def row(one: Variant, made: dict[str, Record]) -> dict[str, Any]:
    """All that is known of a variant."""
    return {"variant": one, "move": move(one), "scores": {task: score(one, task, made) for task in TASKS}}


def default_of(one: Variant) -> Variant:
    """What it is read against."""
    return Variant(one.method, "", {})


def score(one: Variant, task: str, made: dict[str, Record]) -> Score | None:
    """Of its runs on a task; None where it has none."""
    ours, theirs = ([made[run.id] for run in each.runs(task)] for each in (one, default_of(one)))
    if not ours:
        return None
    values = [[run.result["rules"]["last"]["target_accuracy"] for run in runs] for runs in (ours, theirs)]
    diverged = sum(run.result["status"] == "diverged" for run in ours)
    return Score(t_interval(values[0]), paired_t_test(*values), diverged)


def move(one: Variant) -> Move:
    """What it moves on the fixed batch, in the middle of a run, from where its default came in the first steps."""
    (term, ours), theirs = stepped(one), default_update(one.method)
    difference = math.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in zip(ours, theirs, strict=True)))
    return Move(term, difference / math.sqrt(sum(float(np.sum(b**2)) for b in theirs)))


@functools.cache
def digits() -> tuple[train.Data, Batch]:
    """The task's data, and the fixed batch: the first rows of both training splits."""
    task = da.load_task(TASKS[0])
    source, target = task.source.train, task.target.train.inputs
    data = train.gather(source, target, [target[:2]])
    batch = Batch(source.inputs[:ROWS], source.labels[:ROWS], target[:ROWS], np.arange(ROWS, dtype=np.int32))
    on_device = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(np.asarray(leaf)))
    return on_device(data), on_device(batch)


@functools.cache
def begun(method: str) -> TrainState:
    """The default, trained for a while."""
    settings = da.Training(steps=BEFORE, evaluations=1, learning_rate=TRAINING[TASKS[0]].learning_rate)
    one, network = Variant(method, "", {}).value, NETWORK.clone(classes=10)
    return jax.jit(lambda key, data: train.run(key, one, settings, network, data).state)(jax.random.key(0), digits()[0])


def stepped(one: Variant) -> tuple[float, list[np.ndarray]]:
    """(the added loss, the network's update) of a step of plain gradient descent at rate 1, on the fixed batch."""
    settings = da.Training(steps=2 * AT, evaluations=1, learning_rate=1.0, momentum=0.0, decay_rate=0.0)
    method = one.value
    trainer = train.make_trainer(train.Run(jax.random.key(0), method, settings), NETWORK.clone(classes=10))
    data, batch = digits()
    trained, key = begun(one.method), jax.random.key(0)
    own = compiled(lambda key: train.init(key, method, trainer, batch.source[:2], len(data.target)))(key)
    params = {"model": trained.params["model"], "method": alike(own.params["method"], trained.params["method"])}
    state = own._replace(step=jnp.asarray(AT), params=params, memory=alike(own.memory, trained.memory))
    with jax.default_matmul_precision("highest"):
        after, metrics = compiled(lambda state, batch: method.step(trainer, state, batch))(state, batch)
    moved = jax.tree.map(lambda new, old: np.asarray(new - old, np.float64), after.params["model"], params["model"])
    return float(metrics.get("alignment", 0.0)), jax.tree.leaves(moved)


@functools.cache
def default_update(method: str) -> list[np.ndarray]:
    """The network's update by a method's default."""
    return stepped(Variant(method, "", {}))[1]


def alike(own: Tree, trained: Tree) -> Tree:
    """What was trained, where a variant has parameters or a memory of the same shapes; else its own fresh ones."""
    ours, theirs = (jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree) for tree in (own, trained))
    return trained if ours == theirs else own


def about(records: list[Record]) -> dict[str, Any]:
    """From which records, where and how long."""
    first = records[0].environment
    programs = {json.dumps(one.result["seconds"], sort_keys=True): one.result["seconds"] for one in records}.values()
    return {
        "command": ["da-bench run experiments/fidelity.py", "python -m benchmarks.fidelity"],
        "commits": sorted({str(one.environment["commit"]) for one in records}),
        "dirty": any(one.environment["dirty"] for one in records),
        "device": first["device"],
        "runs": len(records),
        "seconds": {part: sum(one[part] for one in programs) for part in ("compile", "run")},
    }


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As JSON: every digit, NaN as null."""
    return [
        {
            "method": one["variant"].method,
            "variant": one["variant"].name or "default",
            "fields": one["variant"].fields,
            "term": one["move"].term,
            "step": one["move"].step,
            **{task: _plain(found) for task, found in one["scores"].items()},
        }
        for one in rows
    ]


def _plain(found: Score | None) -> dict[str, Any] | None:
    if found is None:
        return None
    numbers = {"target": found.target._asdict(), "gain": found.gain._asdict()}
    finite = {k: {n: None if x != x else x for n, x in value.items()} for k, value in numbers.items()}  # noqa: PLR0124
    return {**finite, "verdict": gain_verdict(found.gain), "diverged": found.diverged}


def page(rows: list[dict[str, Any]], provenance: dict[str, Any]) -> list[str]:
    """The Markdown."""
    outside = [one for one in rows for s in one["scores"].values() if s and SAYS[gain_verdict(s.gain)].isupper()]
    tested = sum(s is not None and one["variant"].name != "" for one in rows for s in one["scores"].values())
    header = ["method", "variant", "term", "step moved"]
    header += [text for task in TASKS for text in (task, "against its default", "")]
    return [
        "# How far the forms of a method move",
        "",
        *head(provenance),
        "",
        f"Of {tested} comparisons {len(outside)} are outside their 95 % interval; of equal forms about "
        f"{tested / 20:.0f} would be. Read one alone as a hint, not as a finding.",
        "",
        *table(header, [cells(one) for one in rows]),
        "",
        REASONS,
    ]


def head(provenance: dict[str, Any]) -> list[str]:
    """What is shown, and from which records."""
    seconds, steps = provenance["seconds"], {task: settings.steps for task, settings in TRAINING.items()}
    commits = ", ".join(provenance["commits"]) + (" (changed since)" if provenance["dirty"] else "")
    return [
        f"`{provenance['command'][0]}`, then `{provenance['command'][1]}`; records of commit {commits}; "
        f"{provenance['device']}; {provenance['runs']} runs, {seconds['run']:.0f} s of training and "
        f"{seconds['compile']:.0f} s of compilation.",
        "",
        "Of every deep method every value of every switch, one at a time, and the known suites' combinations, against",
        "the method's default, which is its paper's. Networks, batch normalisation and data are the same for all:",
        "forms are compared here, not suites.",
        "",
        f"- term: the loss that the method adds, on one fixed batch of {ROWS} + {ROWS} digits, after {BEFORE} steps of "
        "the default, the schedule being in the middle of its run.",
        "- step moved: how far the network's update on that batch is from the default's, over that one's length. It is "
        "gradients that act: of adversaries the term may stay and the step not.",
        f"- target accuracy in percent, last step, {SEEDS} seeds ± half of the 95 % t interval; "
        + ", ".join(f"{task} {n} steps" for task, n in steps.items())
        + ". Against the default: mean difference in points, paired by seed, and its 95 % interval.",
        "- HIGHER, LOWER: the interval does not hold 0, without a correction for the number of comparisons.",
        f"- A learning rate by steps is shown for {' and '.join(RATES)} only; its step here is the default's.",
    ]


def cells(one: dict[str, Any]) -> list[str]:
    """A row."""
    variant, found = one["variant"], one["move"]
    name = variant.name or "**default**"
    moved = "" if not variant.name else f"{100 * found.step:.0f} %"
    return [
        variant.method,
        name,
        f"{found.term:.4g}",
        moved,
        *[text for s in one["scores"].values() for text in of_task(s, variant.name == "")],
    ]


def of_task(found: Score | None, default: bool) -> list[str]:
    """Three cells."""
    if found is None:
        return ["images only", "", ""]
    accuracy = f"{100 * found.target.mean:.1f} ± {100 * found.target.half_width:.1f}"
    accuracy += f" ({found.diverged} diverged)" if found.diverged else ""
    if default:
        return [accuracy, "", ""]
    if found.gain.half_width == 0:
        return [accuracy, "the same runs", ""]
    low, high = (100 * (found.gain.mean + sign * found.gain.half_width) for sign in (-1, 1))
    return [accuracy, f"{100 * found.gain.mean:+.1f} [{low:+.1f}, {high:+.1f}]", SAYS[gain_verdict(found.gain)]]


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown."""
    return ["| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *rows]]


if __name__ == "__main__":
    main()
