"""Human activities in windows of a smartphone's inertial signals; each of the 30 subjects is a domain."""

from pathlib import Path

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.family import UNSPLIT, Counts, Examples, Family, Parts, register
from da_bench.data.files import check_published

SIGNALS = tuple(f"{kind}_{axis}" for kind in ("body_acc", "body_gyro", "total_acc") for axis in "xyz")
STEPS = 128  # of a window: 2.56 s at 50 Hz
ACTIVITIES = ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING")  # labels 1 to 6
CLASSES = tuple(sorted(ACTIVITIES))
TEST_SUBJECTS = ("2", "4", "9", "10", "12", "13", "18", "20", "24")
# Windows of subjects 1 to 30; 7352 of them are in train/ and 2947 in test/, as the data set's README says.
WINDOWS = (
    *(347, 302, 341, 317, 302, 325, 308, 281, 288, 294, 316, 320, 327, 323, 328),
    *(366, 368, 364, 360, 354, 408, 321, 372, 381, 409, 392, 376, 382, 344, 383),
)
DOMAINS: dict[str, Counts] = {str(subject): {UNSPLIT: count} for subject, count in enumerate(WINDOWS, start=1)}


def read(folder: Path, domain: str) -> Parts:
    """Read windows [n, 128, 9] float32 of one subject.

    The nine signals are body acceleration (g), angular velocity (rad/s) and total acceleration (g), each along x, y and
    z, as published. A subject is in train/ or in test/ of the original, never in both.

    Raises:
        UserError: a file is corrupt or truncated, or does not have the published number of windows.
    """
    paths = [folder / file for file in _files(domain)]
    subjects, labels = (_numbers(path, _lines(path)).ravel() for path in paths[:2])
    check_published(paths[1], len(labels), len(subjects))
    rows = np.flatnonzero(subjects == int(domain))
    check_published(f"{paths[0]}, subject {domain}", len(rows), DOMAINS[domain][UNSPLIT])
    signals = [_signal(path, rows, len(subjects)) for path in paths[2:]]
    return {UNSPLIT: Examples(np.stack(signals, axis=2), _activities(paths[1], labels[rows]), CLASSES)}


def _files(domain: str) -> tuple[str, ...]:
    part = "test" if domain in TEST_SUBJECTS else "train"
    signals = (f"{part}/Inertial Signals/{signal}_{part}.txt" for signal in SIGNALS)
    return f"{part}/subject_{part}.txt", f"{part}/y_{part}.txt", *signals


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error}; get a fresh copy of it") from None


def _numbers(path: Path, lines: list[bytes]) -> np.ndarray:
    """Return the numbers of each line, float32 [n, k]; all lines have equally many."""
    try:
        numbers = np.array([line.split() for line in lines], np.float32)
    except ValueError as error:
        raise UserError(f"cannot read '{path}': {error}; get a fresh copy of it") from None
    if not np.isfinite(numbers).all():
        raise UserError(f"cannot read '{path}': it holds values that are not finite; get a fresh copy of it")
    return numbers


def _signal(path: Path, rows: np.ndarray, count: int) -> np.ndarray:
    """Read the windows [n, 128] in the lines `rows` of a file of `count` lines."""
    lines = _lines(path)
    check_published(path, len(lines), count)
    windows = _numbers(path, [lines[row] for row in rows])
    check_published(path, windows.shape, (len(rows), STEPS))
    return windows


def _activities(path: Path, labels: np.ndarray) -> np.ndarray:
    if not np.isin(labels, np.arange(1, 7)).all():
        raise UserError(f"'{path}' has labels outside of 1..6; get a fresh copy of it")
    index = np.array([CLASSES.index(activity) for activity in ACTIVITIES], np.int32)
    return index[labels.astype(int) - 1]


PAIRS = (
    *(("2", "11"), ("6", "23"), ("7", "13"), ("9", "18"), ("12", "16")),
    *(("18", "27"), ("20", "5"), ("24", "8"), ("28", "27"), ("30", "20")),
)
register(
    Family(
        name="uci_har",
        read=read,
        domains=DOMAINS,
        classes=CLASSES,
        citation="Anguita et al., A Public Domain Dataset for Human Activity Recognition Using Smartphones, "
        "ESANN 2013; the pairs: Ragab et al., AdaTime: A Benchmarking Suite for Domain Adaptation on Time Series "
        "Data, TKDD 2023",
        terms="CC BY 4.0",
        how_to_get="the folder 'UCI HAR Dataset' of https://doi.org/10.24432/C54S4K",
        folder="UCI HAR Dataset",
        files=_files,
        pairs=PAIRS,
        model="bottleneck",
    )
)
