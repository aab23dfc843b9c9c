"""Calibrated batch normalisation: the same function with the statistics of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import pretrained
from da_bench.core.config import UserError
from da_bench.core.trees import unflatten
from da_bench.data.images import decode, resize
from da_bench.data.transforms import evaluation_input
from da_bench.models import forward
from da_bench.pretrained.example_images import find_images
from tests.helpers import published
from tests.helpers.images_on_disk import write_domains

pytestmark = pytest.mark.usefixtures("registered")

REQUEST = pretrained.ImportRequest("small_net", preprocessing="inception")


def import_twice(tmp_path):
    (tmp_path / "some.pth").write_bytes(published.torch_zip(published.arrays()))
    images = write_domains(tmp_path / "images", per_class=6)
    plain = pretrained.import_file(tmp_path / "some.pth", REQUEST)
    return plain, pretrained.import_file(tmp_path / "some.pth", REQUEST._replace(statistics_from=images))


def test_outputs_stay_and_statistics_are_those_of_the_inputs(tmp_path):
    plain, calibrated = import_twice(tmp_path)
    assert plain != calibrated
    before, after = (pretrained.info(name).parity for name in (plain, calibrated))
    np.testing.assert_allclose(after["logits"], before["logits"], rtol=1e-4)
    view, arrays = pretrained.view(calibrated), pretrained.load(calibrated)[1]
    chosen = find_images(tmp_path / "images")
    files = [chosen[i] for i in np.linspace(0, len(chosen) - 1, 32).astype(int)]  # two batches of the 36 images
    pixels = np.stack([resize(decode(file), view.stored_side, view.resize) for file in files])
    x = np.pad(np.asarray(evaluation_input(view, pixels), np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
    maps = np.einsum("nhwiab,oiab->nhwo", windows, published.arrays()["conv.weight"].astype(np.float64))
    np.testing.assert_allclose(arrays["batch_stats", "trunk", "bn", "mean"], maps.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(arrays["batch_stats", "trunk", "bn", "var"], maps.var((0, 1, 2)), rtol=1e-3)


def test_training_mode_starts_from_nearly_the_same_function(tmp_path):
    """Features in training mode, with batch statistics, against those in evaluation mode."""
    differences = []
    for name in import_twice(tmp_path):
        tree, view = unflatten(pretrained.load(name)[1]), pretrained.view(name)
        params, stats = tree.pop("params"), tree
        model = published.SmallNet(classes=1000, bottleneck=None)
        pixels = np.stack([resize(decode(f), view.stored_side, view.resize) for f in find_images(tmp_path / "images")])
        inputs = jnp.asarray(evaluation_input(view, pixels))
        evaluated = forward(model, params, stats, inputs)[0].features
        trained = forward(model, params, stats, inputs, jax.random.key(0))[0].features
        differences.append(float(jnp.abs(trained - evaluated).max() / jnp.abs(evaluated).max()))
    assert differences[0] > 0.2
    assert differences[1] < 0.05  # four of the images do not enter the statistics


def test_too_few_images_are_refused(tmp_path):
    (tmp_path / "some.pth").write_bytes(published.torch_zip(published.arrays()))
    images = write_domains(tmp_path / "images", domains=("one",), per_class=2)
    with pytest.raises(UserError, match="6 images are too few"):
        pretrained.import_file(tmp_path / "some.pth", REQUEST._replace(statistics_from=images))
    assert pretrained.imported_names() == []
