"""What is imported keeps its name, its numbers and the images that it is for."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import pretrained as weights
from da_bench.core.config import StorageError, UserError
from da_bench.core.trees import unflatten
from da_bench.data.transforms import View
from da_bench.models import forward
from da_bench.pretrained.safetensors_file import read, write
from tests.helpers import published

pytestmark = pytest.mark.usefixtures("registered")

ASKED = weights.ImportRequest("small_net", preprocessing="caffe")


def file(tmp_path, content=None, name="some.pth"):
    (tmp_path / name).write_bytes(published.torch_zip(published.arrays()) if content is None else content)
    return tmp_path / name


@pytest.fixture
def name(tmp_path):
    return weights.import_file(file(tmp_path), ASKED)


def test_the_same_weights_have_one_name_whatever_file_they_come_from(tmp_path, name):
    own = published.arrays()
    assert weights.import_file(file(tmp_path, published.torch_before(own), "old.pth"), ASKED) == name
    assert weights.import_file(file(tmp_path, published.safetensors(own), "new.safetensors"), ASKED) == name
    assert weights.imported_names() == [name]
    assert name.startswith("small_net-torchvision-")


@pytest.mark.parametrize("change", [{"preprocessing": "imagenet"}, {"name": "mine"}])
def test_other_images_or_names_are_other_weights(tmp_path, name, change):
    assert weights.import_file(file(tmp_path), ASKED._replace(**change)) != name


def test_other_numbers_are_other_weights(tmp_path, name):
    own = published.arrays()
    own["bn.bias"][0] = np.nextafter(own["bn.bias"][0], 9)
    assert weights.import_file(file(tmp_path, published.torch_zip(own)), ASKED) != name


def test_what_was_imported_is_read_back(tmp_path, name):
    told, arrays = weights.load(name)
    np.testing.assert_array_equal(arrays["params", "head", "kernel"], published.arrays()["fc.weight"].T)
    assert told == weights.info(name)
    assert told.source["sha256"] == hashlib.sha256(file(tmp_path).read_bytes()).hexdigest()
    assert told.view == weights.view(name)
    assert (told.view.channels, told.view.pixels, told.view.resize) == ("bgr", 8, "centre")


def test_the_parity_vector_is_what_the_published_network_computes(name):
    """Convolution, normalisation, ReLU, mean and classifier in float64, term by term."""
    own = {key: array.astype(np.float64) for key, array in published.arrays().items()}
    x = np.pad(published.SmallNet().probe_input()[0].astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1))  # [8, 8, in, 3, 3]
    maps = np.einsum("hwiab,oiab->hwo", windows, own["conv.weight"])
    maps = (maps - own["bn.running_mean"]) / np.sqrt(own["bn.running_var"] + 1e-5) * own["bn.weight"] + own["bn.bias"]
    features = np.maximum(maps, 0).mean((0, 1))
    logits = own["fc.weight"] @ features + own["fc.bias"]
    told = weights.info(name).parity
    np.testing.assert_allclose(told["features"], features, rtol=1e-5)
    np.testing.assert_allclose(told["logits"], logits[:8], rtol=1e-5)
    assert weights.verify(name) < 1e-6


def altered(name, change):
    path = weights.folder() / f"{name}.safetensors"
    arrays, metadata = read(path)
    change(arrays, metadata)
    write(path, arrays, metadata, "")


def test_changed_arrays_are_noticed(name):
    altered(name, lambda arrays, words: arrays.update({"params/trunk/bn/bias": np.ones(4, np.float32)}))
    with pytest.raises(UserError, match="its arrays are not those that were imported"):
        weights.load(name)


def test_another_view_is_noticed(name):
    altered(name, lambda arrays, words: words.update(da_bench=words["da_bench"].replace('"bgr"', '"rgb"')))
    with pytest.raises(UserError, match="its arrays are not those that were imported"):
        weights.load(name)


def test_a_network_that_computes_something_else_is_noticed(name):
    parity = weights.info(name).parity["logits"][0]
    altered(name, lambda arrays, words: words.update(da_bench=words["da_bench"].replace(str(parity), str(parity + 1))))
    with pytest.raises(UserError, match=r"outputs.*differ by"):
        weights.verify(name)


def test_a_damaged_file_is_refused(name):
    path = weights.folder() / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="truncated or damaged"):
        weights.load(name)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="truncated or damaged"):
        weights.info(name)


@pytest.mark.parametrize(
    ("asked", "own", "words"),
    [
        (ASKED._replace(arch="small_nat"), published.arrays(), "did you mean 'small_net'"),
        (ASKED._replace(arch=""), published.arrays(), "give --arch"),
        (ASKED._replace(preprocessing=""), published.arrays(), "give --preprocessing imagenet or caffe"),
        (ASKED._replace(preprocessing="cafe"), published.arrays(), "unknown preprocessing 'cafe'"),
        (ASKED._replace(name="../x"), published.arrays(), "cannot be called '../x'"),
        (ASKED._replace(sha256="0123"), published.arrays(), "0123.*--sha256"),
        (ASKED._replace(classes=10), published.arrays(), "has 1000 classes, not 10; give --classes 1000"),
        (ASKED, published.arrays() | {"fc.weight": np.ones((9, 4)), "fc.bias": np.ones(9)}, "not 1000 or 1001"),
    ],
)
def test_nothing_is_written_of_what_is_refused(asked, own, words, tmp_path):
    with pytest.raises(UserError, match=words):
        weights.import_file(
            file(tmp_path, published.torch_zip({k: v.astype(np.float32) for k, v in own.items()})), asked
        )
    assert not weights.folder().exists()


def test_a_file_whose_name_tells_another_sha256_is_refused(tmp_path):
    with pytest.raises(UserError, match="not with 01234567 as published"):
        weights.import_file(file(tmp_path, name="small-01234567.pth"), ASKED)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(file(tmp_path) / "below"))
    with pytest.raises(StorageError, match="set DA_BENCH_WEIGHTS to another folder"):
        weights.import_file(file(tmp_path), ASKED)


def test_unknown_names_are_refused(name):
    with pytest.raises(UserError, match="did you mean 'small_net-torchvision-"):
        weights.info(name[:-1])
    with pytest.raises(UserError, match=r"no weights .\.\./imported/x.;? "):
        weights.load("../imported/x")


def test_no_weights_at_all_are_told():
    with pytest.raises(UserError, match="none are imported"):
        weights.info("any")


SMALL = published.SmallNet(classes=3)


def test_a_network_may_start_from_its_own_weights_with_any_bottleneck(name):
    weights.check_network(SMALL, None)
    for bottleneck in (None, 5):
        model = published.SmallNet(classes=3, weights=name, bottleneck=bottleneck)
        weights.check_network(model, weights.view(name, pixels=16, augment="none", resize="squash"))
        begun = weights.initial_variables(model)
        assert begun["params"].keys() == {"trunk"}  # neck and head are the task's own
    assert weights.initial_variables(SMALL) == {}


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (View(), "View.channels = rgb, but the weights .* were trained with bgr"),
        (View(channels="bgr"), "View.mean"),
        (None, "are for images on disk"),
    ],
)
def test_images_prepared_otherwise_are_refused(view, words, name):
    with pytest.raises(UserError, match=words):
        weights.check_network(published.SmallNet(classes=3, weights=name), view)


def test_weights_of_another_network_are_refused(name):
    with pytest.raises(UserError, match=r"'small_net'.*OtherNet"):
        weights.check_network(published.OtherNet(classes=3, weights=name), weights.view(name))


def test_weights_of_other_shapes_are_refused(name):
    with pytest.raises(UserError, match=r"'batch_stats/trunk/bn/mean'.*shape"):
        weights.check_network(published.SmallNet(classes=3, weights=name, width=6), weights.view(name))


def test_fields_that_the_weights_need_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(published.SmallNet, "FIELDS", {"torchvision": {"padding": "same"}})
    name = weights.import_file(file(tmp_path), ASKED)
    assert weights.info(name).fields == {"padding": "same"}
    with pytest.raises(UserError, match="need padding = 'same', not 'symmetric'"):
        weights.check_network(published.SmallNet(classes=3, weights=name), weights.view(name))


def test_a_bgr_view_is_caffes_arithmetic(name):
    """b - 103.939, g - 116.779, r - 123.68 of grey levels, in this order."""
    from da_bench.data.transforms import evaluation_input

    grey = np.full((1, 8, 8, 3), (10, 20, 30), np.uint8)
    seen = evaluation_input(weights.view(name), grey)[0, 0, 0]
    np.testing.assert_allclose(seen, [30 - 103.939, 20 - 116.779, 10 - 123.68], rtol=1e-5)


def test_the_network_computes_with_what_it_starts_from(name):
    told, arrays = weights.load(name)
    tree = unflatten(arrays)
    params, stats = tree.pop("params"), tree
    model = published.SmallNet(classes=1000, bottleneck=None)
    output, _ = jax.jit(lambda p, s: forward(model, p, s, jnp.asarray(model.probe_input())))(params, stats)
    np.testing.assert_allclose(output.logits[0, :8], told.parity["logits"], rtol=1e-5)
