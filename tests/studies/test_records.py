"""Records are complete or absent, published once, and contain no private information."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from da_bench.core.config import StorageError, UserError
from da_bench.studies import records
from da_bench.studies.provenance import environment
from da_bench.studies.records import Record, Records
from da_bench.studies.wandb_mirror import mirror
from tests.helpers import fake

CLASSES = {"target_test": np.arange(6, dtype=np.uint16).reshape(2, 3)}
# publishes records 0, 1, 2 ... of the same shape until it is killed or all are published
PUBLISHER = """
import sys, numpy as np
from pathlib import Path
from da_bench.studies.records import Record, Records
store, count = Records(Path(sys.argv[1])), int(sys.argv[2])
for i in range(count):
    body = {"number": i, "padding": list(range(2000))}
    store.publish(Record(f"{i:08d}", body, body, body, body), {"target_test": np.zeros((50, 500), np.uint16)})
"""


def publisher(folder, count):
    return subprocess.Popen([sys.executable, "-c", PUBLISHER, str(folder), str(count)])


@pytest.fixture
def record():
    template = fake.record()
    return Record("0123456789abcdef", template.config, template.result, template.curves, template.environment)


def test_a_record_can_be_read_back_unchanged(tmp_path, record):
    store = Records(tmp_path)
    assert not store.has(record.id)
    assert store.publish(record, CLASSES)
    assert store.has(record.id)
    assert store.all() == [record]
    with np.load(tmp_path / "runs" / record.id / "predictions.npz") as arrays:
        np.testing.assert_array_equal(arrays["target_test"], CLASSES["target_test"])


def test_the_first_record_of_a_run_is_never_replaced(tmp_path, record):
    store = Records(tmp_path)
    store.publish(record, CLASSES)
    other = Record(record.id, record.config, {"status": "skipped"}, {}, {})
    assert not store.publish(other, {})
    assert store.read(record.id) == record
    assert [path.name for path in store.folder.iterdir()] == [record.id]


def test_nan_is_refused_and_leaves_no_file(tmp_path, record):
    broken = Record(record.id, record.config, {"accuracy": float("nan")}, {}, {})
    with pytest.raises(ValueError, match="JSON"):
        Records(tmp_path).publish(broken, CLASSES)
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.3])
def test_a_killed_process_leaves_only_complete_records(tmp_path, delay):
    worker = publisher(tmp_path, 100_000)
    while not any((tmp_path / "runs").glob("0*")):
        time.sleep(0.01)
    time.sleep(delay)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    published = Records(tmp_path).all()
    assert [record.config["number"] for record in published] == list(range(len(published)))
    for record in published:
        with np.load(tmp_path / "runs" / record.id / "predictions.npz") as arrays:
            assert arrays["target_test"].shape == (50, 500)


@pytest.mark.processes
def test_two_processes_publish_each_run_once(tmp_path):
    workers = [publisher(tmp_path, 150) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert [record.config["number"] for record in Records(tmp_path).all()] == list(range(150))
    assert len(list((tmp_path / "runs").iterdir())) == 150  # and no draft is left


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1, "a": 2}', "a key occurs twice"),
        ('{"a": [1, 2', "Expecting"),
        ("", "Expecting"),
    ],
)
def test_a_damaged_record_is_named_with_its_remedy(tmp_path, record, text, message):
    store = Records(tmp_path)
    store.publish(record, CLASSES)
    (store.folder / record.id / "curves.json").write_text(text)
    with pytest.raises(UserError) as caught:
        store.all()
    assert message in str(caught.value)
    assert f"{record.id}/curves.json" in str(caught.value)
    assert "delete the folder" in str(caught.value)


def test_a_missing_results_folder_has_no_records(tmp_path):
    assert Records(tmp_path / "nowhere").all() == []


def test_a_full_disk_loses_no_existing_record(tmp_path, record, monkeypatch):
    store = Records(tmp_path)
    store.publish(record, CLASSES)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store.publish(Record("f" * 16, *(getattr(record, part) for part in records.PARTS)), CLASSES)
    assert store.all() == [record]
    assert len(list(store.folder.iterdir())) == 1


def test_the_environment_contains_what_a_rerun_needs():
    facts = environment("f" * 64, seed=3)
    assert {"commit", "dirty", "command", "packages", "python", "device", "device_count", "data", "seed"} <= set(facts)
    assert facts["data"] == "f" * 64
    assert facts["packages"]["jax"]
    assert json.loads(json.dumps(facts)) == facts


def test_the_environment_contains_no_path_name_or_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "canary-key")
    monkeypatch.setattr(sys, "argv", ["/home/canary-user/bin/da-bench", "run", "/home/canary-user/data/x.py"])
    text = json.dumps(environment("data", seed=0))
    assert "canary" not in text
    assert os.uname().nodename not in text
    assert '"da-bench run x.py"' in text


def fake_wandb(calls, fails=None):
    def init(**options):
        if fails:
            raise fails
        calls.append(options)
        run = SimpleNamespace(log=lambda *_, **__: None, finish=lambda: None, summary={})
        run.log = lambda values, step: calls.append((step, values))
        return run

    return SimpleNamespace(init=init, Settings=lambda **settings: settings)


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_the_mirror_logs_config_and_curves_and_captures_nothing_else(mode, tmp_path, record, monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, "wandb", fake_wandb(calls))
    assert mirror(record, tmp_path, mode) is None
    options, *logged = calls
    assert options["mode"] == mode
    assert options["config"] == record.config
    assert options["settings"]["console"] == "off"
    assert options["settings"]["x_disable_meta"] is True
    assert options["settings"]["save_code"] is False
    assert [step for step, _ in logged] == record.curves["step"]
    assert logged[-1][1]["target_accuracy"] == record.curves["target_accuracy"][-1]


def test_a_failing_mirror_returns_a_message(tmp_path, record, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", fake_wandb([], fails=ConnectionError("no network")))
    assert mirror(record, tmp_path, "online") == "wandb: ConnectionError: no network"
    monkeypatch.setitem(sys.modules, "wandb", None)  # not installed
    assert "wandb: ModuleNotFoundError" in mirror(record, tmp_path, "offline")


def test_wandb_writes_no_secret(tmp_path, record, monkeypatch):
    """In a process of its own: wandb starts a service that outlives a test."""
    pytest.importorskip("wandb.sdk", reason="wandb is an extra: pip install da-bench[wandb]")
    script = (
        "import json, sys\nfrom tests.helpers import fake\nfrom pathlib import Path\n"
        "from da_bench.studies.records import Record\n"
        "from da_bench.studies.wandb_mirror import mirror\n"
        "template = fake.record()\n"
        "record = Record('0123456789abcdef', template.config, template.result, template.curves, template.environment)\n"
        "print('canary-stdout')\nprint(mirror(record, Path(sys.argv[1]), 'offline'))"
    )
    repository = str(Path(fake.__file__).parents[2])
    secrets = {
        "WANDB_API_KEY": "0123456789canary" * 2 + "01234567",
        "PYTHONPATH": repository,
        "WANDB_DIR": str(tmp_path),
    }
    command = [sys.executable, "-c", script, str(tmp_path), "--password=canary-argument"]
    process = subprocess.run(command, env=os.environ | secrets, capture_output=True, text=True, check=True, timeout=120)
    assert process.stdout.split() == ["canary-stdout", "None"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert not [path for path in files if b"canary" in path.read_bytes()]
