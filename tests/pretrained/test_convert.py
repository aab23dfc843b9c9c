"""Every array by its name, or a message that names every one that is not there."""

from pathlib import Path

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.core.trees import flatten, unflatten
from da_bench.pretrained.convert import convention_fields, convert
from tests.helpers import published

pytestmark = pytest.mark.usefixtures("registered")

FILE = Path("some.pth")


def test_arrays_of_both_conventions_become_the_same():
    own = published.arrays()
    ours, keras = convert(FILE, "small_net", own), convert(FILE, "small_net", published.in_keras(own))
    assert (ours.convention, keras.convention) == ("torchvision", "keras")
    assert ours.classes == keras.classes == 1000
    assert ours.arrays.keys() == keras.arrays.keys() == published.OURS.keys()
    for path, array in ours.arrays.items():
        np.testing.assert_array_equal(array, keras.arrays[path])
    kernel = ours.arrays["params", "trunk", "conv", "kernel"]
    assert kernel[2, 0, 1, 3] == own["conv.weight"][3, 1, 2, 0]  # [out, in, h, w] -> [h, w, in, out]


def test_all_that_is_missing_or_left_over_is_named():
    own = published.arrays() | {"bn.num_batches_tracked": np.array(7), "extra.weight": np.zeros(1), "aux": np.zeros(1)}
    del own["bn.bias"], own["conv.weight"]
    with pytest.raises(UserError, match=r"2 missing: bn\.bias, conv\.weight; 2 in it but .*: aux, extra\.weight;"):
        convert(FILE, "small_net", own)


def test_what_a_network_says_is_no_part_of_it_may_be_there(monkeypatch):
    monkeypatch.setattr(published.SmallNet, "IGNORED", ("aux",))
    assert convert(FILE, "small_net", published.arrays() | {"aux.weight": np.zeros(1)}).classes == 1000


def test_a_file_without_classifier_is_a_trunk():
    own = {key: array for key, array in published.arrays().items() if not key.startswith("fc")}
    found = convert(FILE, "small_net", own)
    assert found.classes == 0
    assert all(path[1] == "trunk" for path in found.arrays)


def test_layers_that_keras_numbered_by_itself_may_begin_anywhere(monkeypatch):
    monkeypatch.setattr(published, "KERAS", tuple(name.replace("conv/", "conv2d/") for name in published.KERAS))
    own = published.in_keras(published.arrays())
    later = {name.replace("conv2d/", "conv2d_95/"): array for name, array in own.items()}
    assert later.keys() != own.keys()
    np.testing.assert_array_equal(
        convert(FILE, "small_net", later).arrays["params", "trunk", "conv", "kernel"], own["conv2d/kernel"]
    )


def test_fields_that_decide_have_their_usual_values_for_other_files(monkeypatch):
    monkeypatch.setattr(published.SmallNet, "FIELDS", {"keras": {"padding": "same"}})
    assert convention_fields("small_net", "keras") == {"padding": "same"}
    assert convention_fields("small_net", "torchvision") == {"padding": "symmetric"}


def test_half_a_classifier_is_missing_the_other_half():
    own = published.arrays()
    del own["fc.bias"]
    with pytest.raises(UserError, match=r"1 missing: fc\.bias;"):
        convert(FILE, "small_net", own)


def test_a_file_of_another_network_is_told_by_name():
    own = {f"other.{key}": array for key, array in published.arrays().items()}
    with pytest.raises(UserError, match=r"'small_net'.*--arch other_net"):
        convert(FILE, "small_net", own)


def test_other_shapes_are_refused_by_name():
    own = published.arrays() | {"bn.bias": np.zeros(5, np.float32)}
    with pytest.raises(UserError, match=r"'bn\.bias' is \[5\], not \[4\]"):
        convert(FILE, "small_net", own)


def test_a_classifier_that_contradicts_itself_is_refused():
    own = published.arrays() | {"fc.bias": np.zeros(10, np.float32)}
    with pytest.raises(UserError, match=r"'fc\.bias' is \[10\], not \[1000\]"):
        convert(FILE, "small_net", own)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(UserError, match=r"'bn\.bias' holds numbers that are not finite"):
        convert(FILE, "small_net", published.arrays() | {"bn.bias": np.full(4, value)})


def test_a_network_without_published_weights_is_refused():
    with pytest.raises(UserError, match="no weights are published for a model 'lenet'; did you mean"):
        convert(FILE, "lenet", published.arrays())


def test_flat_and_nested_undo_each_other():
    tree = {"params": {"a": {"b": 1, "c": 2}}, "batch_stats": {"a": 3}}
    assert unflatten(flatten(tree)) == tree
