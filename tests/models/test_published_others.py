"""Names and shapes in files of Inception-v3, Xception, vision transformers and BERT. Nothing is computed."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.models import MODELS, initialise
from da_bench.models.weight_names import fresh_session_names

IMAGE, LARGE = ((1, 224, 224, 3), jnp.float32), ((1, 299, 299, 3), jnp.float32)
IDS = ((1, 16), jnp.int32)
DINOV2 = {"patch": 14, "side": 518}
# (name, fields, inputs, convention, numbers in a file without its counters). The last are those that the publishers
# give; for CLIP and DINOv2 they are counted in the published networks, including mask_token where there is one.
FILES = [
    ("inception_v3", {}, LARGE, "torchvision", 23_834_568 + 34_432),
    ("inception_v3", {"library": "keras"}, LARGE, "keras", 23_851_784),
    ("xception", {}, LARGE, "keras", 22_910_480),
    ("xception", {"library": "timm"}, LARGE, "timm", 22_855_952 + 54_528),
    ("vit_s16", {}, IMAGE, "timm", 22_050_664),
    ("vit_b16", {}, IMAGE, "timm", 86_567_656),
    ("vit_b16", {}, IMAGE, "torchvision", 86_567_656),
    ("vit_b16", {}, IMAGE, "torchvision_linear", 86_567_656),
    ("vit_b16", {"recipe": "huggingface"}, IMAGE, "huggingface_vit", 86_567_656),
    ("vit_b16", {"recipe": "huggingface"}, IMAGE, "huggingface_vit_bare", 85_798_656),
    ("vit_s16", {"recipe": "dinov2", **DINOV2}, IMAGE, "dinov2", 22_056_576 - 384),
    ("vit_s16", {"recipe": "dinov2_registers", **DINOV2}, IMAGE, "dinov2", 22_056_576 - 384 + 4 * 384),
    ("vit_b16", {"recipe": "clip"}, IMAGE, "open_clip", 86_192_640),
    ("vit_b16", {"recipe": "open_clip"}, IMAGE, "huggingface", 86_192_640),
    ("bert", {}, IDS, "huggingface", 109_482_240),
    ("bert", {}, IDS, "huggingface_gamma", 109_482_240),
]


@functools.cache
def shapes(model, shape, dtype):
    """Shape of every array that a file may hold, by path."""
    like = jax.ShapeDtypeStruct(shape, dtype)
    params, stats = jax.eval_shape(lambda x: initialise(model, jax.random.key(0), x), like)
    leaves = jax.tree_util.tree_leaves_with_path({"params": params, **stats})
    return {tuple(step.key for step in path): leaf.shape for path, leaf in leaves}


@pytest.mark.conformance
@pytest.mark.parametrize(("name", "fields", "example", "convention", "numbers"), FILES)
def test_names_are_complete_and_unique_and_every_array_has_a_stage(name, fields, example, convention, numbers):
    model = MODELS[name](classes=1000, bottleneck=None, **fields)
    ours, published = shapes(model, *example), list(model.published_arrays(convention))
    paths = [one.path for one in published]
    assert len(set(paths)) == len(paths)
    expected = ours if any(path[1] == "head" for path in paths) else [path for path in ours if path[1] != "head"]
    assert set(paths) == set(expected)
    assert sum(math.prod(ours[path]) for path in paths) == numbers
    whole = [one.name for one in published if not {"query", "key", "value"} & set(one.path)]
    assert len(set(whole)) == len(whole)
    for first in {path[2] for path in ours if path[1] == "trunk"}:
        assert [first.startswith(stage) for stage in model.STAGES].count(True) == 1


@pytest.mark.parametrize(
    ("name", "fields", "convention", "remedy"),
    [
        ("inception_v3", {}, "keras", "library='keras'"),
        ("inception_v3", {"library": "keras"}, "timm", "library='torchvision'"),
        ("xception", {}, "timm", "library='timm'"),
        ("vit_s16", {"recipe": "clip"}, "timm", "recipe='supervised'"),
        ("vit_b16", {"recipe": "dinov2"}, "huggingface", "recipe='clip' or 'open_clip'"),
        ("vit_b16", {}, "huggingface_vit", "recipe='huggingface'"),
    ],
)
def test_a_file_of_another_network_is_refused(name, fields, convention, remedy):
    with pytest.raises(UserError, match=remedy):
        list(MODELS[name](**fields).published_arrays(convention))


@pytest.mark.parametrize(
    ("name", "fields", "near"),
    [
        ("inception_v3", {"library": "kears"}, "keras"),
        ("xception", {"library": "tim"}, "timm"),
        ("vit_s16", {"recipe": "dino"}, "dinov2"),
        ("bert", {"pooling": "means"}, "mean"),
    ],
)
def test_unknown_libraries_and_recipes_are_refused(name, fields, near):
    with pytest.raises(UserError, match=f"did you mean '{near}'"):
        MODELS[name](**fields).make_trunk()


def test_arrays_of_a_file_are_converted():
    """No two axes have the same length, so a wrong transposition would be detected."""
    torch_kernel, keras_depthwise = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7), np.arange(30).reshape(2, 3, 5, 1)
    by_name = {one.name: one for one in MODELS["inception_v3"]().published_arrays("torchvision")}
    kernel = by_name["Mixed_6b.branch7x7_2.conv.weight"].convert(torch_kernel)
    assert kernel.shape == (5, 7, 3, 2)
    assert kernel[4, 6, 2, 1] == torch_kernel[1, 2, 4, 6]
    depthwise = next(one for one in MODELS["xception"]().published_arrays("keras") if "depthwise" in one.name)
    assert depthwise.convert(keras_depthwise)[1, 2, 0, 4] == keras_depthwise[1, 2, 4, 0]


def test_queries_keys_and_values_are_thirds_of_one_tensor():
    array = np.arange(6 * 2).reshape(6, 2)  # two features
    parts = [one for one in MODELS["vit_s16"]().published_arrays("timm") if one.name == "blocks.3.attn.qkv.weight"]
    found = {one.path[-2]: one.convert(array).tolist() for one in parts}
    assert found == {"query": [[0, 2], [1, 3]], "key": [[4, 6], [5, 7]], "value": [[8, 10], [9, 11]]}
    with pytest.raises(ValueError, match="equal division"):
        parts[0].convert(np.zeros((7, 2)))


def test_keras_numbers_inceptions_units_in_its_order():
    """`mixed9` of Keras' source: its seventh unit is the 3x3 of the long branch, after both of the short one's fork."""
    names = [
        one.name for one in MODELS["inception_v3"](library="keras").published_arrays("keras") if "kernel" in one.name
    ]
    paths = [
        one.path[2:-2]
        for one in MODELS["inception_v3"](library="keras").published_arrays("keras")
        if "kernel" in one.name
    ]
    assert names[:3] == ["conv2d/kernel", "conv2d_1/kernel", "conv2d_2/kernel"]
    assert names[93] == "conv2d_93/kernel"
    assert paths[76 + 5] == ("Mixed_7b", "branch3x3dbl_2")


def test_automatic_names_of_any_session_are_renumbered():
    """Files of 2017 count from 1, a second network of a session continues, and text sorts unlike numbers."""
    old = ["conv2d_10", "conv2d_9", "predictions", "batch_normalization_1", "batch_normalization_2", "block1_conv1"]
    assert fresh_session_names(old) == {
        "conv2d_9": "conv2d",
        "conv2d_10": "conv2d_1",
        "batch_normalization_1": "batch_normalization",
        "batch_normalization_2": "batch_normalization_1",
        "predictions": "predictions",
        "block1_conv1": "block1_conv1",
    }
