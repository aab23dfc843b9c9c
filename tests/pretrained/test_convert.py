"""Converting a file's arrays to a network's: all by name, or an error that names every missing one."""

from pathlib import Path

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.core.trees import flatten, unflatten
from da_bench.pretrained.convert import convention_fields, convert
from tests.helpers import published

pytestmark = pytest.mark.usefixtures("registered")

FILE = Path("some.pth")


def test_both_conventions_give_the_same_arrays():
    arrays = published.arrays()
    torch, keras = convert(FILE, "small_net", arrays), convert(FILE, "small_net", published.keras_arrays(arrays))
    assert (torch.convention, keras.convention) == ("torchvision", "keras")
    assert torch.classes == keras.classes == 1000
    assert torch.arrays.keys() == keras.arrays.keys() == published.TORCH_NAMES.keys()
    for path, array in torch.arrays.items():
        np.testing.assert_array_equal(array, keras.arrays[path])
    kernel = torch.arrays["params", "trunk", "conv", "kernel"]
    assert kernel[2, 0, 1, 3] == arrays["conv.weight"][3, 1, 2, 0]  # [out, in, h, w] -> [h, w, in, out]


def test_missing_and_additional_arrays_are_named():
    arrays = published.arrays() | {
        "bn.num_batches_tracked": np.array(7),
        "extra.weight": np.zeros(1),
        "aux": np.zeros(1),
    }
    del arrays["bn.bias"], arrays["conv.weight"]
    with pytest.raises(UserError, match=r"2 missing: bn\.bias, conv\.weight; 2 in it but .*: aux, extra\.weight;"):
        convert(FILE, "small_net", arrays)


def test_arrays_that_the_network_ignores_are_allowed(monkeypatch):
    monkeypatch.setattr(published.SmallNet, "IGNORED", ("aux",))
    assert convert(FILE, "small_net", published.arrays() | {"aux.weight": np.zeros(1)}).classes == 1000


def test_a_file_may_lack_the_classifier():
    arrays = {key: array for key, array in published.arrays().items() if not key.startswith("fc")}
    converted = convert(FILE, "small_net", arrays)
    assert converted.classes == 0
    assert all(path[1] == "trunk" for path in converted.arrays)


def test_automatic_keras_names_may_start_at_any_number(monkeypatch):
    monkeypatch.setattr(
        published, "KERAS_NAMES", tuple(name.replace("conv/", "conv2d/") for name in published.KERAS_NAMES)
    )
    arrays = published.keras_arrays(published.arrays())
    later = {name.replace("conv2d/", "conv2d_95/"): array for name, array in arrays.items()}
    assert later.keys() != arrays.keys()
    np.testing.assert_array_equal(
        convert(FILE, "small_net", later).arrays["params", "trunk", "conv", "kernel"], arrays["conv2d/kernel"]
    )


def test_fields_have_their_defaults_for_other_conventions(monkeypatch):
    monkeypatch.setattr(published.SmallNet, "FIELDS", {"keras": {"padding": "same"}})
    assert convention_fields("small_net", "keras") == {"padding": "same"}
    assert convention_fields("small_net", "torchvision") == {"padding": "symmetric"}


def test_half_a_classifier_is_refused():
    arrays = published.arrays()
    del arrays["fc.bias"]
    with pytest.raises(UserError, match=r"1 missing: fc\.bias;"):
        convert(FILE, "small_net", arrays)


def test_a_file_of_another_network_is_recognised():
    arrays = {f"other.{key}": array for key, array in published.arrays().items()}
    with pytest.raises(UserError, match=r"'small_net'.*--arch other_net"):
        convert(FILE, "small_net", arrays)


def test_wrong_shapes_are_named():
    arrays = published.arrays() | {"bn.bias": np.zeros(5, np.float32)}
    with pytest.raises(UserError, match=r"'bn\.bias' is \[5\], not \[4\]"):
        convert(FILE, "small_net", arrays)


def test_an_inconsistent_classifier_is_refused():
    arrays = published.arrays() | {"fc.bias": np.zeros(10, np.float32)}
    with pytest.raises(UserError, match=r"'fc\.bias' is \[10\], not \[1000\]"):
        convert(FILE, "small_net", arrays)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(UserError, match=r"'bn\.bias' holds numbers that are not finite"):
        convert(FILE, "small_net", published.arrays() | {"bn.bias": np.full(4, value)})


def test_a_network_without_published_weights_is_refused():
    with pytest.raises(UserError, match=r"no weights are published for a model 'lenet'; there are: .*small_net"):
        convert(FILE, "lenet", published.arrays())


def test_unflatten_inverts_flatten():
    tree = {"params": {"a": {"b": 1, "c": 2}}, "batch_stats": {"a": 3}}
    assert unflatten(flatten(tree)) == tree
