"""Records as honest runs leave them, in no time: judged as any run is, from logits that no training made.

Some rows are harder than others, for every method and seed alike, as they are in the world.
"""

import functools
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

import da_bench as da
from da_bench.data.tasks import load
from da_bench.leaderboard.submission.pack import FILES
from da_bench.leaderboard.submission.package import MANIFEST, Run, predictions
from da_bench.models import Mlp
from da_bench.studies.judge import Predictions, Seconds, judge, probes
from da_bench.studies.records import PARTS, Records

ABOUT = {"name": "Deep CORAL", "authors": ["A. Author"], "link": None, "citation": "", "rule": "last"}
TASK = "moons/35"
TRAINING = da.Training(steps=60, evaluations=3, learning_rate=0.3)
SKILL = {"source_only": 0.70, "coral": 0.74, "dann": 0.78}


@functools.cache
def hardness(rows, stream=0):
    """How hard each row is, about 0 to 1."""
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


def answers(labels, skill, generator):
    """Logits [3, n, 2] of three evaluations, each right where a row is not too hard for its skill."""
    labels = np.asarray(labels)
    rise = np.linspace(0.8, 1.0, 3)[:, None] * skill
    luck = 0.12 * generator.normal(size=(3, len(labels)))
    threshold = np.quantile(hardness(len(labels)), np.clip(rise, 0, 1))
    right = hardness(len(labels)) + luck <= threshold
    guess = np.where(right, labels, 1 - labels)
    return 2.0 * np.eye(2)[guess] + 0.1 * generator.normal(size=(3, len(labels), 2))


def honest(method="coral", seed=0, skill=None, labels_from="source"):
    """A record and its predictions [e, n]."""
    one, task = experiment(method, seed, labels_from), load(TASK)
    skill = skill or SKILL[method]
    generator = np.random.default_rng([seed, *method.encode(), len(labels_from)])
    logits = {name: generator.normal(size=(3, len(probe.inputs), 2)) for name, probe in probes(one, task).items()}
    logits["source_test"] = answers(task.source.test.labels, 0.95, generator)
    logits["target_test"] = answers(task.target.test.labels, skill, generator)
    metrics = {"loss": np.linspace(1, 0.5, 3)}
    made = Predictions([20, 40, 60], logits, metrics, {}, None, hashlib.sha256(f"{method}{seed}".encode()).hexdigest())
    return judge(one, task, made, Seconds(1.0, 1.0, 1))


def results(folder, methods=("source_only", "coral", "dann"), seeds=5):
    """A results folder of honest runs, with the upper bound."""
    store = Records(Path(folder))
    for seed in range(seeds):
        for method in methods:
            store.publish(*honest(method, seed))
        store.publish(*honest("source_only", seed, 0.95, "target"))
    return Path(folder)


def run_of(method="coral", seed=0, **more):
    """An honest run as `submit` has it."""
    with tempfile.TemporaryDirectory() as folder:
        record, classes = honest(method, seed, **more)
        store = Records(Path(folder))
        store.publish(record, classes)
        return Run(store.read(record.id), predictions((store.folder / record.id / FILES[-1]).read_bytes(), "it"))


def contents_of(folder):
    """Path -> bytes of a submission's folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(contents, folder, rehash=True):
    """Write files as a submission; rehash: as a forger would, who knows how to compute a sha256."""
    contents = dict(contents)
    if rehash:
        contents[MANIFEST] = rehashed(contents)
    for name, content in contents.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Path(folder)


def rehashed(contents):
    """The manifest with the hashes of what there is now."""
    manifest = json.loads(contents[MANIFEST])
    rest = {name: content for name, content in contents.items() if name != MANIFEST}
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in rest.items()}
    return json.dumps(manifest).encode()


def places(contents, part="result.json"):
    """Paths of that part of every run, by seed."""
    found = [name for name in contents if name.endswith(part)]
    return sorted(found, key=lambda name: json.loads(contents[name.rpartition("/")[0] + "/config.json"])["seed"])


def republished(classes, run, out):
    """The files of a run with other predictions [e, n] by name, and every number computed from them."""
    from da_bench.leaderboard.submission.recompute import recomputed

    forged = Run(run.record, {name: np.asarray(value, np.uint16) for name, value in classes.items()})
    record, _ = recomputed(forged, load(TASK))
    store = Records(out)
    store.publish(record, forged.predictions)
    place = store.folder / record.id
    return {
        f"runs/{record.id}/{name}": (place / name).read_bytes() for name in (*(f"{p}.json" for p in PARTS), FILES[-1])
    }
