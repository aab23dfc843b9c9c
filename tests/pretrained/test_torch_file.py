"""State dicts in both of torch's formats, written instruction by instruction, and files that try to run code."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.pretrained import torch_file
from da_bench.pretrained.torch_file import read
from tests.helpers import published
from tests.helpers.published import name, number, numbers, state_dict, tensor, text, zipped

pytestmark = pytest.mark.usefixtures("registered")

EIGHT = np.arange(8, dtype=np.float32)


def stored(tmp_path, content):
    path = tmp_path / "some.pth"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", [published.torch_zip, published.torch_legacy])
def test_every_tensor_is_read(form, tmp_path):
    arrays = published.arrays()
    tensors = read(stored(tmp_path, form(arrays)))
    assert tensors.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(tensors[key], array)


def test_tensors_can_be_views_of_one_storage(tmp_path):
    """[[2, 6], [3, 7]]: two rows from the third number, transposed."""
    instructions = {"view": tensor("0", (2, 2), stride=[1, 4], offset=2), "whole": tensor("0", (8,))}
    tensors = read(stored(tmp_path, zipped(state_dict(instructions), {"0": EIGHT.tobytes()})))
    np.testing.assert_array_equal(tensors["view"], [[2, 6], [3, 7]])
    np.testing.assert_array_equal(tensors["whole"], EIGHT)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_the_state_dict_in_a_checkpoint_is_read(key, tmp_path):
    inner = name("collections", "OrderedDict") + b")R(" + text("w") + tensor("0", (8,)) + b"u"
    outer = b"\x80\x02}(" + text("epoch") + number(3) + text(key) + inner + b"u."
    np.testing.assert_array_equal(read(stored(tmp_path, zipped(outer, {"0": EIGHT.tobytes()})))["w"], EIGHT)


@pytest.mark.parametrize(("kind", "dtype"), [("HalfStorage", "f2"), ("LongStorage", "i8"), ("DoubleStorage", "f8")])
def test_types_are_kept(kind, dtype, tmp_path):
    content = zipped(state_dict({"w": tensor("0", (8,), kind)}), {"0": EIGHT.astype(dtype).tobytes()})
    tensors = read(stored(tmp_path, content))["w"]
    assert tensors.dtype == dtype
    np.testing.assert_array_equal(tensors, EIGHT)


class Shell:
    def __reduce__(self):
        return os.system, ("touch harmed",)


CALLS = name("builtins", "eval") + b"(" + text("open('harmed', 'w')") + b"tR."
HOSTILE = {
    "a shell's command": (pickle.dumps(Shell(), 2), r"asks for '(posix|nt)\.system'.*nothing was run"),
    "a newer protocol": (pickle.dumps(Shell(), 4), "protocol 4"),
    "a chain of getattr": (pickle.dumps(getattr, 2), r"asks for '__builtin__\.getattr'"),
    "eval": (b"\x80\x02" + CALLS, r"asks for 'builtins\.eval'"),
    "attributes of a known name": (
        b"\x80\x02" + name("torch._utils", "_rebuild_tensor_v2.__globals__") + b".",
        "asks for",
    ),
    "a class to make": (b"\x80\x02" + name("torch.nn", "Linear") + b")\x81.", r"asks for 'torch\.nn\.Linear'"),
    "an instruction to make an object": (b"\x80\x02" + name("torch", "Size") + b")\x81.", "instruction"),
    "an extension": (b"\x80\x02\x82\x01.", "instruction"),
    "a list, not a state dict": (b"\x80\x02].", "it holds a list"),
    "a number for a tensor": (b"\x80\x02}(" + text("w") + b"K\x01u.", "'w' in it is a int"),
    "nothing": (b"\x80\x02}.", "it holds a dict"),
    "an unknown storage": (state_dict({"w": tensor("0", (8,), "QUInt8Storage")}), "asks for 'torch.QUInt8Storage'"),
}
DAMAGED = {
    "an empty stack": b"\x80\x02.",
    "arguments from nowhere": b"\x80\x02\x87.",
    "no mark": b"\x80\x02t.",
    "a memo that is empty": b"\x80\x02h\x05.",
    "a call of a number": b"\x80\x02K\x01)R.",
    "a builder without arguments": b"\x80\x02" + name("torch._utils", "_rebuild_tensor_v2") + b")R.",
    "a tuple for a key": b"\x80\x02}(" + numbers([1]) + b"K\x01u.",
    "an odd number of entries": b"\x80\x02}(" + text("w") + b"u.",
    "entries of a number": b"\x80\x02K\x01(" + text("w") + b"K\x01u.",
    "values for a dict": b"\x80\x02}K\x01a.",
    "a size that no storage has": state_dict({"w": tensor("0", (10**6, 10**6))}),
    "numbers beyond the storage": state_dict({"w": tensor("0", (8,), offset=1)}),
    "numbers before the storage": state_dict({"w": tensor("0", (4,), stride=[-1], offset=7)}),
    "a far stride": state_dict({"w": tensor("0", (2,), stride=[2**30])}),
    "a storage that is not there": state_dict({"w": tensor("1", (8,))}),
    "a string of 4 GB": b"\x80\x02X\xff\xff\xff\xff.",
    "a name without an end": b"\x80\x02c" + b"x" * 1000,
}


@pytest.fixture
def no_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(("pickled", "text_in_error"), HOSTILE.values(), ids=HOSTILE)
def test_other_content_is_refused_and_not_run(pickled, text_in_error, tmp_path, no_code_runs):
    with pytest.raises(UserError, match=text_in_error):
        read(stored(tmp_path, zipped(pickled, {"0": EIGHT.tobytes()})))


@pytest.mark.parametrize("pickled", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_pickle_is_refused(pickled, tmp_path):
    with pytest.raises(UserError, match="truncated or damaged"):
        read(stored(tmp_path, zipped(pickled, {"0": EIGHT.tobytes()})))


def test_the_hostile_file_does_run_in_pythons_own_reader(tmp_path, no_code_runs):
    """The fixture would detect a reader that runs the file."""
    pickle.loads(pickle.dumps(Shell(), 2))  # noqa: S301
    assert (tmp_path / "harmed").exists()
    (tmp_path / "harmed").unlink()


def test_a_value_that_doubles_200_times_takes_no_time(tmp_path):
    doubled = b"\x80\x02](K\x01eq\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(200)) + b"."
    with pytest.raises(UserError, match="it holds a list"):
        read(stored(tmp_path, zipped(doubled, {})))


def test_compressed_files_are_refused_before_decompression(tmp_path):
    bomb = zipped(b"\x80\x02" + b"N" * 10**7 + b".", {}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10**5
    with pytest.raises(UserError, match="compressed"):
        read(stored(tmp_path, bomb))


def test_other_zip_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "some.pth", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(UserError, match=r"without the 'data\.pkl'"):
        read(tmp_path / "some.pth")


@pytest.mark.parametrize("form", [published.torch_zip, published.torch_legacy])
def test_a_file_cut_anywhere_is_refused(form, tmp_path):
    content = form(published.arrays())
    for end in np.linspace(0, len(content) - 1, 50).astype(int):
        with pytest.raises(UserError, match=r"truncated or damaged|not a PyTorch file"):
            read(stored(tmp_path, content[:end]))


def test_a_flipped_byte_gives_an_error_or_other_numbers(tmp_path):
    content = published.torch_legacy(published.arrays())
    for index in range(0, 1200, 7):
        content = bytearray(content)
        content[index] ^= 0x55
        try:
            read(stored(tmp_path, bytes(content)))
        except UserError:
            continue


def test_the_reader_does_not_import_pickle():
    assert "pickle" not in vars(torch_file)
