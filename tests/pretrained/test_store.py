"""Imported weights: names, contents, verification, and the networks and views that they fit."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import pretrained
from da_bench.core.config import StorageError, UserError
from da_bench.core.trees import unflatten
from da_bench.data.transforms import View
from da_bench.models import forward
from da_bench.pretrained.safetensors_file import read, write
from tests.helpers import published

pytestmark = pytest.mark.usefixtures("registered")

REQUEST = pretrained.ImportRequest("small_net", preprocessing="caffe")


def file(tmp_path, content=None, name="some.pth"):
    (tmp_path / name).write_bytes(published.torch_zip(published.arrays()) if content is None else content)
    return tmp_path / name


@pytest.fixture
def name(tmp_path):
    return pretrained.import_file(file(tmp_path), REQUEST)


def test_the_name_does_not_depend_on_the_file_format(tmp_path, name):
    arrays = published.arrays()
    assert pretrained.import_file(file(tmp_path, published.torch_legacy(arrays), "old.pth"), REQUEST) == name
    assert (
        pretrained.import_file(file(tmp_path, published.safetensors_bytes(arrays), "new.safetensors"), REQUEST) == name
    )
    assert pretrained.imported_names() == [name]
    assert name.startswith("small_net-torchvision-")


@pytest.mark.parametrize("change", [{"preprocessing": "imagenet"}, {"name": "mine"}])
def test_other_preprocessing_or_names_give_other_weights(tmp_path, name, change):
    assert pretrained.import_file(file(tmp_path), REQUEST._replace(**change)) != name


def test_other_values_give_other_weights(tmp_path, name):
    arrays = published.arrays()
    arrays["bn.bias"][0] = np.nextafter(arrays["bn.bias"][0], 9)
    assert pretrained.import_file(file(tmp_path, published.torch_zip(arrays)), REQUEST) != name


def test_imported_weights_are_read_back(tmp_path, name):
    info, arrays = pretrained.load(name)
    np.testing.assert_array_equal(arrays["params", "head", "kernel"], published.arrays()["fc.weight"].T)
    assert info == pretrained.info(name)
    assert info.source["sha256"] == hashlib.sha256(file(tmp_path).read_bytes()).hexdigest()
    assert info.view == pretrained.view(name)
    assert (info.view.channels, info.view.pixels, info.view.resize) == ("bgr", 8, "centre")


def test_recorded_outputs_are_those_of_the_published_network(name):
    """Compute convolution, normalisation, ReLU, mean and classifier in float64, term by term."""
    arrays = {key: array.astype(np.float64) for key, array in published.arrays().items()}
    x = np.pad(published.SmallNet().probe_input()[0].astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1))  # [8, 8, in, 3, 3]
    maps = np.einsum("hwiab,oiab->hwo", windows, arrays["conv.weight"])
    maps = (maps - arrays["bn.running_mean"]) / np.sqrt(arrays["bn.running_var"] + 1e-5) * arrays["bn.weight"] + arrays[
        "bn.bias"
    ]
    features = np.maximum(maps, 0).mean((0, 1))
    logits = arrays["fc.weight"] @ features + arrays["fc.bias"]
    info = pretrained.info(name).parity
    np.testing.assert_allclose(info["features"], features, rtol=1e-5)
    np.testing.assert_allclose(info["logits"], logits[:8], rtol=1e-5)
    assert pretrained.verify(name) < 1e-6


def alter(name, change):
    path = pretrained.folder() / f"{name}.safetensors"
    arrays, metadata = read(path)
    change(arrays, metadata)
    write(path, arrays, metadata, "")


def test_changed_arrays_are_detected(name):
    alter(name, lambda arrays, text: arrays.update({"params/trunk/bn/bias": np.ones(4, np.float32)}))
    with pytest.raises(UserError, match="its arrays are not those that were imported"):
        pretrained.load(name)


def test_a_changed_view_is_detected(name):
    alter(name, lambda arrays, text: text.update(da_bench=text["da_bench"].replace('"bgr"', '"rgb"')))
    with pytest.raises(UserError, match="its arrays are not those that were imported"):
        pretrained.load(name)


def test_other_outputs_are_detected(name):
    parity = pretrained.info(name).parity["logits"][0]
    alter(name, lambda arrays, text: text.update(da_bench=text["da_bench"].replace(str(parity), str(parity + 1))))
    with pytest.raises(UserError, match=r"outputs.*differ by"):
        pretrained.verify(name)


def test_a_damaged_file_is_refused(name):
    path = pretrained.folder() / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="truncated or damaged"):
        pretrained.load(name)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="truncated or damaged"):
        pretrained.info(name)


@pytest.mark.parametrize(
    ("refused", "arrays", "text"),
    [
        (REQUEST._replace(arch="small_nat"), published.arrays(), "did you mean 'small_net'"),
        (REQUEST._replace(arch=""), published.arrays(), "give --arch"),
        (REQUEST._replace(preprocessing=""), published.arrays(), "give --preprocessing imagenet or caffe"),
        (REQUEST._replace(preprocessing="cafe"), published.arrays(), "unknown preprocessing 'cafe'"),
        (REQUEST._replace(name="../x"), published.arrays(), "cannot be called '../x'"),
        (REQUEST._replace(sha256="0123"), published.arrays(), "0123.*--sha256"),
        (REQUEST._replace(classes=10), published.arrays(), "has 1000 classes, not 10; give --classes 1000"),
        (REQUEST, published.arrays() | {"fc.weight": np.ones((9, 4)), "fc.bias": np.ones(9)}, "not 1000 or 1001"),
    ],
)
def test_a_refused_import_writes_nothing(refused, arrays, text, tmp_path):
    with pytest.raises(UserError, match=text):
        pretrained.import_file(
            file(tmp_path, published.torch_zip({k: v.astype(np.float32) for k, v in arrays.items()})), refused
        )
    assert not pretrained.folder().exists()


def test_a_sha256_that_contradicts_the_file_name_is_refused(tmp_path):
    with pytest.raises(UserError, match="not with 01234567 as published"):
        pretrained.import_file(file(tmp_path, name="small-01234567.pth"), REQUEST)


def test_an_unwritable_folder_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(file(tmp_path) / "below"))
    with pytest.raises(StorageError, match="set DA_BENCH_WEIGHTS to another folder"):
        pretrained.import_file(file(tmp_path), REQUEST)


def test_unknown_names_are_refused(name):
    with pytest.raises(UserError, match="did you mean 'small_net-torchvision-"):
        pretrained.info(name[:-1])
    with pytest.raises(UserError, match=r"no weights .\.\./imported/x.;? "):
        pretrained.load("../imported/x")


def test_an_empty_folder_is_reported():
    with pytest.raises(UserError, match="none are imported"):
        pretrained.info("any")


SMALL = published.SmallNet(classes=3)


def test_weights_fit_their_network_with_any_bottleneck(name):
    pretrained.check_network(SMALL, None)
    for bottleneck in (None, 5):
        model = published.SmallNet(classes=3, weights=name, bottleneck=bottleneck)
        pretrained.check_network(model, pretrained.view(name, pixels=16, augment="none", resize="squash"))
        variables = pretrained.initial_variables(model)
        assert variables["params"].keys() == {"trunk"}  # neck and head start at random
    assert pretrained.initial_variables(SMALL) == {}


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (View(), "View.channels = rgb, but the weights .* were trained with bgr"),
        (View(channels="bgr"), "View.mean"),
        (None, "are for images on disk"),
    ],
)
def test_other_preparation_of_images_is_refused(view, text, name):
    with pytest.raises(UserError, match=text):
        pretrained.check_network(published.SmallNet(classes=3, weights=name), view)


def test_weights_of_another_network_are_refused(name):
    with pytest.raises(UserError, match=r"'small_net'.*OtherNet"):
        pretrained.check_network(published.OtherNet(classes=3, weights=name), pretrained.view(name))


def test_weights_of_other_shapes_are_refused(name):
    with pytest.raises(UserError, match=r"'batch_stats/trunk/bn/mean'.*shape"):
        pretrained.check_network(published.SmallNet(classes=3, weights=name, width=6), pretrained.view(name))


def test_fields_that_the_weights_need_are_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(published.SmallNet, "FIELDS", {"torchvision": {"padding": "same"}})
    name = pretrained.import_file(file(tmp_path), REQUEST)
    assert pretrained.info(name).fields == {"padding": "same"}
    with pytest.raises(UserError, match="need padding = 'same', not 'symmetric'"):
        pretrained.check_network(published.SmallNet(classes=3, weights=name), pretrained.view(name))


def test_a_bgr_view_equals_caffes_arithmetic(name):
    """b - 103.939, g - 116.779, r - 123.68 of grey levels, in this order."""
    from da_bench.data.transforms import evaluation_input

    grey = np.full((1, 8, 8, 3), (10, 20, 30), np.uint8)
    inputs = evaluation_input(pretrained.view(name), grey)[0, 0, 0]
    np.testing.assert_allclose(inputs, [30 - 103.939, 20 - 116.779, 10 - 123.68], rtol=1e-5)


def test_loaded_arrays_give_the_recorded_outputs(name):
    info, arrays = pretrained.load(name)
    tree = unflatten(arrays)
    params, stats = tree.pop("params"), tree
    model = published.SmallNet(classes=1000, bottleneck=None)
    output, _ = jax.jit(lambda p, s: forward(model, p, s, jnp.asarray(model.probe_input())))(params, stats)
    np.testing.assert_allclose(output.logits[0, :8], info.parity["logits"], rtol=1e-5)
