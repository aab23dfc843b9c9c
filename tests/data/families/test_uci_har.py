import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data.families import uci_har
from da_bench.data.families.uci_har import ACTIVITIES, CLASSES, DOMAINS, SIGNALS, read

SUBJECTS = {"train": (1, 3, 1, 1), "test": (2, 2)}
LABELS = {"train": (1, 5, 6, 2), "test": (3, 4)}


def value(part, signal, window, step):
    """Encode part, signal, window and step in the decimals of a value of the miniature."""
    return ("train", "test").index(part) + SIGNALS.index(signal) / 10 + window / 100 + step / 1e5


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """Write the original layout: one line per window, with 128 numbers of the original width."""
    monkeypatch.setattr(uci_har, "DOMAINS", {"1": {"all": 3}, "2": {"all": 2}, "3": {"all": 1}})
    for part, subjects in SUBJECTS.items():
        folder = tmp_path / part / "Inertial Signals"
        folder.mkdir(parents=True)
        (tmp_path / part / f"subject_{part}.txt").write_text("".join(f"{subject}\n" for subject in subjects))
        (tmp_path / part / f"y_{part}.txt").write_text("".join(f"{label}\n" for label in LABELS[part]))
        for signal in SIGNALS:
            lines = ("".join(f" {value(part, signal, i, t): .7e}" for t in range(128)) for i in range(len(subjects)))
            (folder / f"{signal}_{part}.txt").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


@pytest.mark.parametrize(("subject", "part", "rows"), [("1", "train", (0, 2, 3)), ("2", "test", (0, 1))])
def test_miniature_is_read(data_folder, subject, part, rows):
    windows = read(data_folder, subject)["all"]
    assert (windows.inputs.shape, windows.inputs.dtype) == ((len(rows), 128, 9), np.float32)
    expected = [[[value(part, signal, i, t) for signal in SIGNALS] for t in range(128)] for i in rows]
    np.testing.assert_allclose(windows.inputs, expected, rtol=1e-6)
    assert [windows.classes[label] for label in windows.labels] == [ACTIVITIES[LABELS[part][i] - 1] for i in rows]


def test_activities_follow_activity_labels():
    # activity_labels.txt of the original: 1 WALKING, 2 WALKING_UPSTAIRS, ..., 6 LAYING.
    assert (ACTIVITIES[0], ACTIVITIES[2], ACTIVITIES[5]) == ("WALKING", "WALKING_DOWNSTAIRS", "LAYING")
    assert tuple(sorted(CLASSES)) == CLASSES


def test_subject_counts_add_up_to_the_published_totals():
    counts = {subject: parts["all"] for subject, parts in DOMAINS.items()}
    assert list(counts) == [str(subject) for subject in range(1, 31)]
    test = sum(counts[subject] for subject in uci_har.TEST_SUBJECTS)
    assert (sum(counts.values()), test, sum(counts.values()) - test) == (10299, 2947, 7352)


def change(path, edit):
    path.write_text(edit(path.read_text()))


def first_number(to):
    return lambda text: text.replace(" 3.0000000e-02", f" {to}", 1)


@pytest.mark.parametrize(
    ("file", "edit", "fault"),
    [
        ("Inertial Signals/body_acc_x_train.txt", first_number("nan"), "not finite"),
        ("Inertial Signals/body_acc_x_train.txt", first_number("one"), "get a fresh copy"),
        ("Inertial Signals/body_acc_x_train.txt", first_number(""), "get a fresh copy"),
        ("Inertial Signals/body_acc_x_train.txt", lambda text: text[:-20], "get a fresh copy"),
        ("Inertial Signals/body_gyro_z_train.txt", lambda text: text[: len(text) // 2], "holds 2, but 4"),
        ("Inertial Signals/body_gyro_z_train.txt", lambda _: "", "holds 0, but 4"),
        ("Inertial Signals/total_acc_y_train.txt", lambda _: "1 2\n" * 4, r"holds \(3, 2\), but \(3, 128\)"),
        ("subject_train.txt", lambda _: "1\n3\n1\n3\n", "subject 1' holds 2, but 3 is published"),
        ("subject_train.txt", lambda _: "1\n1\n1\n", "holds 4, but 3"),
        ("subject_train.txt", lambda _: "one\n", "get a fresh copy"),
        ("y_train.txt", lambda _: "0\n1\n1\n1\n", r"1\.\.6"),
        ("y_train.txt", lambda _: "1\n1\n7\n1\n", r"1\.\.6"),
        ("y_train.txt", lambda _: "1\n1\n1.5\n1\n", r"1\.\.6"),
        ("y_train.txt", lambda _: "", "holds 0, but 4"),
    ],
)
def test_invalid_content_is_refused(data_folder, file, edit, fault):
    change(data_folder / "train" / file, edit)
    with pytest.raises(UserError, match=rf"{data_folder}/train/.*{fault}"):
        read(data_folder, "1")


def test_missing_file_is_named(data_folder):
    (data_folder / "test" / "Inertial Signals" / "body_gyro_y_test.txt").unlink()
    with pytest.raises(UserError, match=r"body_gyro_y_test\.txt'.*get a fresh copy"):
        read(data_folder, "2")
    assert len(read(data_folder, "3")["all"].labels) == 1  # its part is complete
