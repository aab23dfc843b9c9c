"""Records and submissions of honest runs, scored like any run but from made-up logits, so no training is needed.

Some rows are harder than others for every method and seed, as in real data.
"""

import functools
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

import da_bench as da
from da_bench.data.tasks import load
from da_bench.evaluation.probes import RunOutput
from da_bench.leaderboard.submission.reader import MANIFEST, RUN_FILES, PredictedRun, read_predictions
from da_bench.leaderboard.submission.recompute import recompute
from da_bench.models import Mlp
from da_bench.studies.fit import FinishedRun, Timing
from da_bench.studies.prepare import prepare
from da_bench.studies.records import Records
from da_bench.studies.score import score_run

ABOUT = {"name": "Deep CORAL", "authors": ["A. Author"], "link": None, "citation": "", "rule": "last"}
TASK = "moons/35"
TRAINING = da.Training(steps=60, evaluations=3, learning_rate=0.3)
SKILL = {"source_only": 0.70, "coral": 0.74, "dann": 0.78}


@functools.cache
def hardness(rows, stream=0):
    """Difficulty of each row, about 0 to 1."""
    return np.random.default_rng([7, rows, stream]).beta(0.7, 0.7, rows)


def experiment(method="coral", seed=0, labels_from="source", hidden=(4,)):
    return da.Experiment(
        task=TASK,
        method=da.methods.METHODS[method](),
        model=Mlp(hidden=hidden),
        training=TRAINING,
        seed=seed,
        labels_from=labels_from,
    )


def made_up_logits(labels, skill, generator):
    """Logits [3, n, 2] of three evaluations, correct for the rows that are not too hard for the skill."""
    labels = np.asarray(labels)
    skills = np.linspace(0.8, 1.0, 3)[:, None] * skill
    noise = 0.12 * generator.normal(size=(3, len(labels)))
    threshold = np.quantile(hardness(len(labels)), np.clip(skills, 0, 1))
    is_correct = hardness(len(labels)) + noise <= threshold
    predictions = np.where(is_correct, labels, 1 - labels)
    return 2.0 * np.eye(2)[predictions] + 0.1 * generator.normal(size=(3, len(labels), 2))


def honest_run(method="coral", seed=0, skill=None, labels_from="source"):
    """A record and its predictions [e, n]."""
    run, task = experiment(method, seed, labels_from), load(TASK)
    skill = skill or SKILL[method]
    group = prepare([run], task, da.Options())
    generator = np.random.default_rng([seed, *method.encode(), len(labels_from)])
    logits = {name: generator.normal(size=(3, len(probe.inputs), 2)) for name, probe in group.probes.items()}
    logits["source_test"] = made_up_logits(task.source.test.labels, 0.95, generator)
    logits["target_test"] = made_up_logits(task.target.test.labels, skill, generator)
    metrics = {"loss": np.linspace(1, 0.5, 3)}
    output = RunOutput([20, 40, 60], logits, metrics, {}, None, hashlib.sha256(f"{method}{seed}".encode()).hexdigest())
    return score_run(FinishedRun(run, output, Timing(1.0, 1.0, 1)), group)


def results_folder(folder, methods=("source_only", "coral", "dann"), seeds=5):
    """A results folder of honest runs and the upper bound."""
    store = Records(Path(folder))
    for seed in range(seeds):
        for method in methods:
            store.publish(*honest_run(method, seed))
        store.publish(*honest_run("source_only", seed, 0.95, "target"))
    return Path(folder)


def predicted_run(method="coral", seed=0, **options):
    """An honest run with its predictions."""
    with tempfile.TemporaryDirectory() as folder:
        record, predictions = honest_run(method, seed, **options)
        store = Records(Path(folder))
        store.publish(record, predictions)
        path = store.folder / record.id / "predictions.npz"
        return PredictedRun(store.read(record.id), read_predictions(path.read_bytes(), path.name))


def contents_of(folder):
    """Path -> content of every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_submission(contents, folder, rehash=True):
    """Write files as a submission; rehash: with correct hashes, as a forger would."""
    contents = dict(contents)
    if rehash:
        contents[MANIFEST] = rehashed(contents)
    for name, content in contents.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Path(folder)


def rehashed(contents):
    """The manifest with the hashes of the given files."""
    manifest = json.loads(contents[MANIFEST])
    others = {name: content for name, content in contents.items() if name != MANIFEST}
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in others.items()}
    return json.dumps(manifest).encode()


def paths_of(contents, file="result.json"):
    """Paths of that file of every run, by seed."""
    paths = [name for name in contents if name.endswith(file)]
    return sorted(paths, key=lambda name: json.loads(contents[name.rpartition("/")[0] + "/config.json"])["seed"])


def files_with_predictions(predictions, run, out):
    """The files of a run with other predictions [e, n] by split, and every number computed from them."""
    forged = PredictedRun(run.record, {name: np.asarray(value, np.uint16) for name, value in predictions.items()})
    record, _ = recompute(forged, load(TASK))
    store = Records(out)
    store.publish(record, forged.predictions)
    return {f"runs/{record.id}/{file}": (store.folder / record.id / file).read_bytes() for file in RUN_FILES}
