"""scipy writes the files and gives the expected arrays: its reader is reliable on undamaged files."""

import struct
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from da_bench.core.config import UserError
from da_bench.data.files import array_names, read_arrays
from da_bench.data.matlab import headers, load

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def cells(*texts):
    column = np.empty((len(texts), 1), object)
    column[:, 0] = texts
    return column


def contents(rng):
    return {
        **{f"of_{name}": (rng.normal(size=(3, 4, 2)) * 50).clip(0).astype(name) for name in TYPES},
        "row": np.arange(5),
        "number": np.float64(3),
        "small": np.array([[1, 2]], np.uint8),
        "no_rows": np.zeros((0, 4)),
        "bool": np.array([[True, False]]),
        "text": "Zürich, 漢",
        "texts": np.array(["ab", "cdef"]),
        "cells": cells("a", "", "Zürich"),
        "a_name_of_very_many_letters": np.eye(3),
    }


def without_padding(array):
    """Convert an array that scipy read to numbers or to strings without padding."""
    if array.dtype == object:
        return np.vectorize(lambda cell: "".join(cell.ravel()), otypes=[str])(array)
    return np.char.rstrip(array) if array.dtype.kind == "U" else array


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_equal_those_that_scipy_reads(tmp_path, rng, compressed):
    path = tmp_path / "a.mat"
    written = contents(rng)
    scipy.io.savemat(path, written, do_compression=compressed, long_field_names=True)
    expected = scipy.io.loadmat(path)
    assert list(headers(path)) == list(written)
    for name, array in zip(written, load(path, list(written)), strict=True):
        assert array.dtype.kind == ("b" if name == "bool" else without_padding(expected[name]).dtype.kind), name
        np.testing.assert_array_equal(array, without_padding(expected[name]), err_msg=name)


def test_headers_equal_scipy_whosmat(tmp_path, rng):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, contents(rng), do_compression=True, long_field_names=True)
    assert {name: tuple(header) for name, header in headers(path).items()} == {
        name: (kind, shape) for name, shape, kind in scipy.io.whosmat(path)
    }


def element(order, kind, content):
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def mat_file(order, *, kind=6, flags=0, shape=(2, 2), values=bytes([1, 2, 3, 4]), stored=2):
    """Build a file with one array "X" by the specification: doubles that are whole numbers, stored as uint8."""
    mark = {"<": b"\0\1IM", ">": b"\1\0MI"}[order]
    body = (
        element(order, 6, struct.pack(f"{order}II", kind | flags, 0))
        + element(order, 5, struct.pack(f"{order}{len(shape)}i", *shape))
        + (struct.pack(f"{order}HH", 1, 1) if order == "<" else struct.pack(">HH", 1, 1))
        + b"X\0\0\0"  # a small element: type 1, one byte
        + element(order, stored, values)
    )
    return b"MATLAB 5.0 MAT-file".ljust(124) + mark + element(order, 14, body)


@pytest.mark.parametrize("order", ["<", ">"])
def test_handwritten_file_is_read_in_either_byte_order(tmp_path, order):
    path = tmp_path / "a.mat"
    path.write_bytes(mat_file(order))
    assert tuple(headers(path)["X"]) == ("double", (2, 2))
    (array,) = read_arrays(path, ["X"])
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, [[1, 3], [2, 4]])  # column by column


@pytest.mark.processes
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not a .mat file of MATLAB 5 to 7"),
        (mat_file("<")[:128], "has no array X; it has: none"),
        (mat_file("<")[:-5], "OSError"),
        (mat_file("<")[:131], "OSError"),
        (mat_file("<") * 2, "miMATRIX"),  # a second file header is not an array
        (mat_file("<") + element("<", 9, bytes(8)), "miMATRIX type here, got 9"),
        (mat_file("<") + mat_file("<")[128:], "two arrays called 'X'"),
        (mat_file("<", shape=(2, 3)), "reshape"),
        (mat_file("<", shape=(2**30, 2**30)), "more than such a file can hold"),
        (mat_file("<", shape=(-1, 4)), "impossible shape"),
        (mat_file("<", shape=(4,)), "impossible shape"),
        (mat_file("<", stored=99), "SIGSEGV"),
        (mat_file("<", stored=9), "reshape"),  # half a double
        (mat_file("<", flags=0x800), "OSError"),
        (mat_file("<", kind=5), "type sparse"),
        (mat_file("<", kind=2), "type struct"),
        (mat_file("<", kind=17), "TypeError"),
        (mat_file("<", kind=77), "type unknown"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF", r"7\.3 .*save\(\.\.\., '-v7'\)"),
        (b"<html>not found</html>".ljust(200), "not a .mat file"),
    ],
)
def test_invalid_mat_file_is_refused(tmp_path, content, fault):
    path = tmp_path / "bad.mat"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"bad\.mat'.*{fault}"):
        read_arrays(path, ["X"])


def test_matlab_4_file_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "old.mat", {"X": np.eye(2)}, format="4")
    with pytest.raises(UserError, match=r"old\.mat'.*an older one"):
        array_names(tmp_path / "old.mat")


def test_cell_arrays_of_other_types_are_refused(tmp_path):
    for cell in (3.0, np.array(["a", "b"])):
        scipy.io.savemat(tmp_path / "a.mat", {"X": cells(cell)})
        with pytest.raises(UserError, match="cell array 'X' may hold strings only"):
            read_arrays(tmp_path / "a.mat", ["X"])


@pytest.mark.parametrize("kind", ["complex", "sparse", "struct"])
def test_unsupported_array_classes_are_refused(tmp_path, kind):
    value = {"complex": np.array([[1j]]), "sparse": scipy.sparse.eye_array(3), "struct": {"field": 1}}[kind]
    scipy.io.savemat(tmp_path / "a.mat", {"X": value})
    with pytest.raises(UserError, match=rf"a\.mat'.*{kind}"):
        read_arrays(tmp_path / "a.mat", ["X"])


# Read 100 damaged versions of a file, each in a cheap fork, with the check in a child process turned off. Print the
# exit code and the message of each. Codes -7 and -11 (SIGBUS, SIGSEGV) are crashes of the parser, from which that check
# protects; which one occurs depends on the machine.
FUZZ = """
import os, resource, sys
import scipy.io  # once, before the forks
import numpy as np
from pathlib import Path
from da_bench.core.config import UserError
from da_bench.data import matlab
from da_bench.data.files import read_arrays

def attempt(path):
    try:
        read_arrays(path, ["X", "labels"])
    except UserError as error:
        print(str(error), flush=True)
        return 1
    return 0

size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**30, resource.RLIM_INFINITY))  # some damage declares huge arrays

def fork(path):
    if not (pid := os.fork()):
        os._exit(attempt(path))  # another exception ends the fork with a traceback and code 1, but without a message
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

path = Path(sys.argv[1])
content, draw = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(0)
matlab.check_parser_survives = lambda path, stamp: None
for _ in range(100):
    damaged = content.copy()
    damaged[draw.integers(len(content), size=3)] = draw.integers(256, size=3)
    path.write_bytes(damaged[: draw.integers(len(content) // 2, 2 * len(content))].tobytes())
    print("code", fork(path), flush=True)
"""


def test_oversized_array_is_refused_before_allocation(tmp_path):
    """A cell array of 2**30 cells would take 8 GiB of pointers."""
    (tmp_path / "a.mat").write_bytes(mat_file("<", kind=1, shape=(2**15, 2**15)))
    with pytest.raises(UserError, match=r"a\.mat'.*more than such a file can hold"):
        read_arrays(tmp_path / "a.mat", ["X"])


@pytest.mark.processes
@pytest.mark.parametrize("compressed", [False, True])
def test_random_damage_gives_a_single_error_message(tmp_path, compressed):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"X": np.eye(4), "labels": cells("a", "b", "a", "b")}, do_compression=compressed)
    process = subprocess.run([sys.executable, "-c", FUZZ, str(path)], capture_output=True, text=True, check=True)
    assert process.returncode == 0, process.stderr
    assert not process.stderr
    lines = process.stdout.splitlines()
    codes = [line for line in lines if line.startswith("code")]
    messages = [line for line in lines if not line.startswith("code")]
    assert len(messages) == codes.count("code 1") > 50  # some damage hits padding or only changes a value
    assert set(codes) <= {"code 0", "code 1", "code -7", "code -11"}
    assert all(str(path) in line for line in messages)
