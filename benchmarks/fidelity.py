"""Table of experiments/fidelity.py: results/tables/fidelity.md, with all digits in fidelity.json.

Command: `python -m benchmarks.fidelity`, after `da-bench run experiments/fidelity.py`. `--caption` only rewrites
fidelity.md from fidelity.json.
Cost: about five minutes of a core, because every variant is compiled for one step.
"""

import argparse
import functools
import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import da_bench as da
from benchmarks.markdown import markdown_table
from da_bench import training as train
from da_bench.core.config import UserError
from da_bench.core.types import Batch, TrainState, Tree
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.stats.paired import gain_verdict, paired_t_test
from da_bench.studies.records import Record, Records
from da_bench.testing.method_under_test import compiled
from experiments.fidelity import NETWORK, SEEDS, STEP_DECAY_METHODS, TRAINING, VARIANTS, Variant

TASKS = tuple(TRAINING)
RESULTS, TABLES = Path("results"), Path("results/tables")
WARM_UP_STEPS = 400  # of the default, before the compared step
STEP = 250  # index of the compared step, in the middle of a run of twice as many
BATCH_ROWS = 64  # of each domain, in the compared step
VERDICTS = {
    "gain": "HIGHER",
    "negative transfer": "LOWER",
    "inside noise": "inside noise",
    "untested": "untested",
}

EXPLANATIONS = """The largest effects were examined:

- dsan, schedule = constant, on digits: at full strength from the first step, all features collapse to one point, where
  the term is 0. Every hidden unit is dead, and the source accuracy equals that of guessing as well. A ramp prevents the
  collapse, and so does a weight of 0.1.
- deep_jdot, authors' code, on digits: it has no cross-entropy on the source, and batches here do not contain all
  classes equally often as theirs do. The source is not learned.
- shot on moons: two crescents are not clusters of directions. From the 66 % of a source model, centroids lead to 55, 41
  and 36 % in three rounds of an independent NumPy calculation; variant = im uses no centroids.
- mmd on moons: the suites sum five kernels with bandwidths near the mean distance of the data; the default averages 33
  kernels with very different bandwidths. This corresponds to more than five times the weight.
- schedules by steps: after 500 steps they reach 0.24 of the full strength. They are made for 20000 steps.

None of these effects is an error in a formula: tests compare each formula with NumPy in float64."""


def main() -> None:
    """Write fidelity.json and fidelity.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--caption", action="store_true", help="only rewrite fidelity.md from fidelity.json")
    path = TABLES / "fidelity.json"
    if parser.parse_args().caption:
        table = json.loads(path.read_text())
    else:
        records = read_records(RESULTS)
        rows = [table_row(variant, records) for variant in VARIANTS]
        table = {"provenance": provenance(list(records.values())), "rows": rows}
        TABLES.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(table, indent=1) + "\n")
    (TABLES / "fidelity.md").write_text("\n".join(markdown_lines(table)) + "\n")


def read_records(results: Path) -> dict[str, Record]:
    """Records of all runs by id; UserError if some are missing."""
    store = Records(results)
    ids = [run.id for task in TASKS for variant in VARIANTS for run in variant.experiments(task)]
    missing = sum(not store.has(run_id) for run_id in ids)
    if missing:
        raise UserError(
            f"{missing} of {len(ids)} runs are not in {results}; run `da-bench run experiments/fidelity.py`"
        )
    return {run_id: store.read(run_id) for run_id in ids}


def table_row(variant: Variant, records: dict[str, Record]) -> dict[str, Any]:
    """All numbers of a variant as JSON, with NaN as null."""
    added_loss, relative_change = compare_step(variant)
    return {
        "method": variant.method,
        "variant": variant.name or "default",
        "fields": variant.fields,
        "term": added_loss,
        "step": relative_change,
        **{task: task_scores(variant, task, records) for task in TASKS},
    }


def default_of(variant: Variant) -> Variant:
    """The default of the variant's method."""
    return Variant(variant.method, "", {})


def task_scores(variant: Variant, task: str, records: dict[str, Record]) -> dict[str, Any] | None:
    """Target accuracy of the variant and its gain over the default, paired by seed; None if it has no runs."""
    runs, default_runs = ([records[run.id] for run in v.experiments(task)] for v in (variant, default_of(variant)))
    if not runs:
        return None
    accuracy, default_accuracy = (
        [record.result["rules"]["last"]["target_accuracy"] for record in group] for group in (runs, default_runs)
    )
    gain = paired_t_test(accuracy, default_accuracy)
    return {
        "target": _without_nan(t_interval(accuracy)._asdict()),
        "gain": _without_nan(gain._asdict()),
        "verdict": gain_verdict(gain),
        "diverged": sum(record.result["status"] == "diverged" for record in runs),
    }


def _without_nan(numbers: dict[str, Any]) -> dict[str, Any]:
    return {name: None if math.isnan(value) else value for name, value in numbers.items()}


def compare_step(variant: Variant) -> tuple[float, float]:
    """One step of the variant on a fixed batch, in the middle of a run, from the trained default.

    Returns:
        (loss that the variant adds, distance of its update from the default's divided by the length of the latter).
    """
    (added_loss, update), default = one_step(variant), default_update(variant.method)
    distance = math.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in zip(update, default, strict=True)))
    return added_loss, distance / math.sqrt(sum(float(np.sum(b**2)) for b in default))


@functools.cache
def digits() -> tuple[train.Data, Batch]:
    """The data of the digits task, and the fixed batch of the first rows of both training splits."""
    task = da.load_task(TASKS[0])
    source, target = task.source.train, task.target.train.inputs
    data = train.gather_data(source, target, [target[:2]])
    rows = np.arange(BATCH_ROWS, dtype=np.int32)
    batch = Batch(source.inputs[:BATCH_ROWS], source.labels[:BATCH_ROWS], target[:BATCH_ROWS], rows)
    on_device = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(np.asarray(leaf)))
    return on_device(data), on_device(batch)


@functools.cache
def trained_default(method: str) -> TrainState:
    """The state of a method's default after `WARM_UP_STEPS` steps on digits."""
    training = da.Training(steps=WARM_UP_STEPS, evaluations=1, learning_rate=TRAINING[TASKS[0]].learning_rate)
    default, network = Variant(method, "", {}).value, NETWORK.clone(classes=10)
    run = jax.jit(lambda key, data: train.train_run(key, default, training, network, data).state)
    return run(jax.random.key(0), digits()[0])


def one_step(variant: Variant) -> tuple[float, list[np.ndarray]]:
    """(added loss, update of the network) of one step of gradient descent at rate 1 on the fixed batch."""
    training = da.Training(steps=2 * STEP, evaluations=1, learning_rate=1.0, momentum=0.0, decay_rate=0.0)
    method, key = variant.value, jax.random.key(0)
    trainer = train.make_trainer(train.RunSettings(key, method, training), NETWORK.clone(classes=10))
    data, batch = digits()
    initial = compiled(lambda key: train.init_state(key, method, trainer, batch.source[:2], len(data.target)))(key)
    trained = trained_default(variant.method)
    own_params = same_shapes_or_initial(initial.params["method"], trained.params["method"])
    params = {"model": trained.params["model"], "method": own_params}
    memory = same_shapes_or_initial(initial.memory, trained.memory)
    state = initial._replace(step=jnp.asarray(STEP), params=params, memory=memory)
    with jax.default_matmul_precision("highest"):
        after, metrics = compiled(lambda state, batch: method.step(trainer, state, batch))(state, batch)
    update = jax.tree.map(lambda new, old: np.asarray(new - old, np.float64), after.params["model"], params["model"])
    return float(metrics.get("alignment", 0.0)), jax.tree.leaves(update)


@functools.cache
def default_update(method: str) -> list[np.ndarray]:
    """The update of the network by the default of a method."""
    return one_step(Variant(method, "", {}))[1]


def same_shapes_or_initial(initial: Tree, trained: Tree) -> Tree:
    """The trained arrays if the variant has arrays of the same shapes and types, else its initial ones."""
    shapes, trained_shapes = (jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), t) for t in (initial, trained))
    return trained if shapes == trained_shapes else initial


def provenance(records: list[Record]) -> dict[str, Any]:
    """Commands, commits, device and time behind the records."""
    # runs of one program share its time
    times = {json.dumps(record.result["seconds"], sort_keys=True): record.result["seconds"] for record in records}
    return {
        "command": ["da-bench run experiments/fidelity.py", "python -m benchmarks.fidelity"],
        "commits": sorted({str(record.environment["commit"]) for record in records}),
        "dirty": any(record.environment["dirty"] for record in records),
        "device": records[0].environment["device"],
        "runs": len(records),
        "seconds": {part: sum(seconds[part] for seconds in times.values()) for part in ("compile", "run")},
    }


def markdown_lines(table: dict[str, Any]) -> list[str]:
    """Lines of fidelity.md from the contents of fidelity.json."""
    rows = table["rows"]
    scores = [row[task] for row in rows for task in TASKS if row[task]]
    outside = sum(VERDICTS[score["verdict"]].isupper() for score in scores)
    compared = sum(row[task] is not None and row["variant"] != "default" for row in rows for task in TASKS)
    header = ["method", "variant", "term", "step changed"]
    header += [title for task in TASKS for title in (task, "gain over the default", "")]
    return [
        "# How much the variants of a method change its results",
        "",
        *caption(table["provenance"]),
        "",
        f"Of {compared} comparisons, {outside} are outside their 95 % interval; about {compared / 20:.0f} would be if "
        "all variants were equal. A single one is a hint, not a finding.",
        "",
        *markdown_table(header, [markdown_cells(row) for row in rows]),
        "",
        EXPLANATIONS,
    ]


def caption(source: dict[str, Any]) -> list[str]:
    """Lines that explain the table and name its records."""
    seconds, (run_command, table_command) = source["seconds"], source["command"]
    commits = ", ".join(source["commits"]) + (" (with local changes)" if source["dirty"] else "")
    steps = ", ".join(f"{task} {training.steps} steps" for task, training in TRAINING.items())
    return [
        f"`{run_command}`, then `{table_command}`; records of commit {commits}; {source['device']}; {source['runs']} "
        f"runs, {seconds['run']:.0f} s of training and {seconds['compile']:.0f} s of compilation.",
        "",
        "Every value of every switch of every deep method, one at a time, and the combinations that known suites use,",
        "compared with the method's default, which is that of its paper. Networks, batch normalisation and data are",
        "always the same: the table compares variants, not suites.",
        "",
        f"- term: the loss that the method adds, on a fixed batch of {BATCH_ROWS} + {BATCH_ROWS} digits, after "
        f"{WARM_UP_STEPS} steps of the default, with the schedule in the middle of its run.",
        "- step changed: distance of the network's update on that batch from that of the default, divided by the "
        "length of the latter. Gradients matter: for adversarial methods the term may be equal while the step differs.",
        f"- target accuracy in percent at the last step, {SEEDS} seeds ± half of the 95 % t interval; {steps}. Gain "
        "over the default: mean difference in points, paired by seed, and its 95 % interval.",
        "- HIGHER, LOWER: the interval does not contain 0, without correction for the number of comparisons.",
        f"- A learning rate that decays by steps is shown for {' and '.join(STEP_DECAY_METHODS)} only; its step here "
        "is that of the default.",
    ]


def markdown_cells(row: dict[str, Any]) -> list[str]:
    """Cells of one row of the table."""
    is_default = row["variant"] == "default"
    return [
        row["method"],
        "**default**" if is_default else row["variant"],
        f"{row['term']:.4g}",
        "" if is_default else f"{100 * row['step']:.0f} %",
        *[cell for task in TASKS for cell in score_cells(row[task], is_default)],
    ]


def score_cells(score: dict[str, Any] | None, is_default: bool) -> list[str]:
    """Three cells: accuracy, gain over the default, verdict."""
    if score is None:
        return ["images only", "", ""]
    target, gain = score["target"], score["gain"]
    accuracy = f"{100 * target['mean']:.1f} ± {100 * _nan_if_null(target['half_width']):.1f}"
    accuracy += f" ({score['diverged']} diverged)" if score["diverged"] else ""
    if is_default:
        return [accuracy, "", ""]
    if gain["half_width"] == 0:
        return [accuracy, "the same runs", ""]
    low, high = (100 * (gain["mean"] + sign * _nan_if_null(gain["half_width"])) for sign in (-1, 1))
    return [accuracy, f"{100 * gain['mean']:+.1f} [{low:+.1f}, {high:+.1f}]", VERDICTS[score["verdict"]]]


def _nan_if_null(value: float | None) -> float:
    return math.nan if value is None else value


if __name__ == "__main__":
    main()
