"""Vision transformers against timm's and Hugging Face's with the same weights."""

import numpy as np
import pytest

from da_bench.models import VitB16, VitS16
from da_bench.models.vit import resize_positions
from da_bench.models.vit_weights import RECIPES
from da_bench.pretrained import safetensors_file
from tests.helpers import parity

pytestmark = pytest.mark.filterwarnings("default")  # warnings of other libraries
LABELS = np.array([1, 4])


def reference_timm(name, **fields):
    parity.import_torchvision()
    return parity.randomise(pytest.importorskip("timm").create_model(name, **fields)).eval()


def test_timm_in_evaluation():
    images, model = parity.random_images(2, 224), VitS16(classes=10, bottleneck=None)
    network = reference_timm("vit_small_patch16_224", num_classes=10)
    params, stats = parity.variables(model, "timm", parity.state_arrays(network))
    expected = network(parity.to_torch(images)).detach()
    assert parity.relative_error(parity.evaluate(model, params, stats, images).logits, expected) < 1e-4


def test_timm_in_a_training_step(x64):
    images, model = parity.random_images(2, 96, "float64"), VitS16(classes=10, bottleneck=None, side=96)
    network = reference_timm("vit_small_patch16_224", num_classes=10, img_size=96).double()
    params, stats = parity.variables(model, "timm", parity.state_arrays(network))
    loss, stepped, _ = parity.sgd_step(model, params, stats, images, LABELS, 0.1)
    expected, state = parity.torch_sgd_step(network, parity.to_torch(images), LABELS, 0.1)
    expected_params, _ = parity.variables(model, "timm", state)
    errors = parity.step_errors(stepped, expected_params, params)
    assert parity.relative_error(loss, expected) < 1e-4
    # the key's bias has no gradient: adding the same vector to all keys does not change the softmax
    assert max(error for name, error in errors.items() if "['key']['bias']" not in name) < 1e-4


def test_timm_at_another_size():
    images, model = parity.random_images(2, 160), VitS16(classes=10, bottleneck=None)
    network = reference_timm("vit_small_patch16_224", num_classes=10, dynamic_img_size=True)
    params, stats = parity.variables(model, "timm", parity.state_arrays(network))
    expected = network(parity.to_torch(images)).detach()
    assert parity.relative_error(parity.evaluate(model, params, stats, images).logits, expected) < 1e-4


def features(model, params, stats, images):
    width = model.SIZE[2] if RECIPES[model.recipe].clip else model.SIZE[0]
    params = {**params, "head": {"kernel": np.zeros((width, 10), "float32"), "bias": np.zeros(10, "float32")}}
    return parity.evaluate(model, params, stats, images).features


def test_dinov2_in_evaluation():
    fields = {"recipe": "dinov2", "patch": 14, "side": 518}
    images, model = parity.random_images(1, 518), VitS16(classes=10, bottleneck=None, **fields)
    network = reference_timm("vit_small_patch14_dinov2", num_classes=0)
    state = {**parity.state_arrays(network), "mask_token": np.zeros((1, 384))}
    params, stats = parity.variables(model, "dinov2", state)
    expected = network(parity.to_torch(images)).detach()
    assert parity.relative_error(features(model, params, stats, images), expected) < 1e-4


def test_dinov2_with_registers_in_evaluation():
    """timm itself converts the file to its own names."""
    fields = {"recipe": "dinov2_registers", "patch": 14, "side": 224}
    images, model = parity.random_images(2, 224), VitS16(classes=10, bottleneck=None, **fields)
    network = reference_timm("vit_small_patch14_reg4_dinov2", num_classes=0, img_size=224)
    rng, state = np.random.default_rng(0), parity.state_arrays(network)
    registers, positions = rng.normal(size=(1, 4, 384)), rng.normal(size=(1, 257, 384))
    del state["reg_token"]
    file = {**state, "register_tokens": registers, "pos_embed": positions, "mask_token": np.zeros((1, 384))}
    file = {name: array.astype("float32") for name, array in file.items()}
    _load(network, file)
    params, stats = parity.variables(model, "dinov2", file)
    expected = network(parity.to_torch(images)).detach()
    assert parity.relative_error(features(model, params, stats, images), expected) < 1e-4


def _load(network, file):
    import timm
    import torch

    converted = timm.models.vision_transformer.checkpoint_filter_fn(
        {name: torch.from_numpy(array) for name, array in file.items()}, network
    )
    network.load_state_dict(converted)


def test_hugging_face_s_clip_in_evaluation():
    pytest.importorskip("torch")
    parity.import_torchvision()  # transformers imports it if it is installed
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(patch_size=16, hidden_size=768, intermediate_size=3072, projection_dim=512)
    network = parity.randomise(transformers.CLIPVisionModelWithProjection(config)).eval()
    images, model = parity.random_images(2, 224), VitB16(classes=10, bottleneck=None, recipe="clip")
    params, stats = parity.variables(model, "huggingface", parity.state_arrays(network))
    expected = network(parity.to_torch(images)).image_embeds.detach()
    assert parity.relative_error(features(model, params, stats, images), expected) < 1e-4
    exact = VitB16(classes=10, bottleneck=None, recipe="open_clip")
    assert parity.relative_error(features(exact, params, stats, images), expected) > 1e-3


def test_torchvision_in_evaluation():
    images, model = parity.random_images(2, 224), VitB16(classes=10, bottleneck=None)
    network = parity.randomise(parity.import_torchvision().models.vit_b_16(num_classes=10)).eval()
    params, stats = parity.variables(model, "torchvision", parity.state_arrays(network))
    expected = network(parity.to_torch(images)).detach()
    assert parity.relative_error(parity.evaluate(model, params, stats, images).logits, expected) < 1e-4


def test_the_names_of_torchvision_s_first_files_are_those_that_it_renames_itself():
    MLPBlock = parity.import_torchvision().models.vision_transformer.MLPBlock
    names = {
        one.name
        for one in VitB16(classes=10).published_arrays("torchvision_linear")
        if ".encoder_layer_3.mlp." in one.name
    }
    block = MLPBlock(768, 3072, 0.0)
    shapes = {name.rpartition("mlp.")[2]: name for name in names}
    kinds = {"linear_1": block[0], "linear_2": block[3]}
    file = {name: getattr(kinds[name.partition(".")[0]], name.partition(".")[2]) for name in shapes}
    assert len(file) == 4
    block.load_state_dict(file)


@pytest.mark.parametrize("bare", [False, True])
def test_hugging_face_s_vit_in_evaluation(bare, tmp_path):
    """Its files keep the names of its first version, although its modules have been renamed."""
    pytest.importorskip("torch")
    parity.import_torchvision()  # transformers imports it if it is installed
    transformers = pytest.importorskip("transformers")
    kind = transformers.ViTModel if bare else transformers.ViTForImageClassification
    network = parity.randomise(kind(transformers.ViTConfig(num_labels=10))).eval()
    network.save_pretrained(tmp_path)
    state = safetensors_file.read(tmp_path / "model.safetensors").arrays
    images, model = parity.random_images(2, 224), VitB16(classes=10, bottleneck=None, recipe="huggingface")
    output = network(parity.to_torch(images))
    params, stats = parity.variables(model, "huggingface_vit_bare" if bare else "huggingface_vit", state)
    if bare:
        expected, actual = output.last_hidden_state[:, 0], features(model, params, stats, images)
    else:
        expected, actual = output.logits, parity.evaluate(model, params, stats, images).logits
    assert parity.relative_error(actual, expected.detach()) < 1e-4


CLIPS = [("clip", "vit_base_patch16_clip_quickgelu_224"), ("open_clip", "vit_base_patch16_clip_224")]


@pytest.mark.parametrize(("recipe", "name"), CLIPS)
def test_open_clip_in_evaluation(recipe, name):
    """timm itself converts the file to its own names."""
    network = reference_timm(name, num_classes=512)
    images, model = parity.random_images(2, 224), VitB16(classes=10, bottleneck=None, recipe=recipe)
    params, stats = parity.variables(model, "open_clip", file := _as_open_clip(parity.state_arrays(network)))
    _load(network, file)
    expected = network(parity.to_torch(images)).detach()
    assert parity.relative_error(features(model, params, stats, images), expected) < 1e-4


def _as_open_clip(state):
    """Arrays of timm under OpenCLIP's names; timm then converts them back."""
    parts = {
        "cls_token": "class_embedding",
        "pos_embed": "positional_embedding",
        "patch_embed.proj": "conv1",
        "norm_pre": "ln_pre",
        "head.weight": "proj",
        "blocks": "transformer.resblocks",
        "attn.qkv.": "attn.in_proj_",
        "attn.proj": "attn.out_proj",
        "norm1": "ln_1",
        "norm2": "ln_2",
        "norm.": "ln_post.",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    shapes = {"cls_token": (-1,), "pos_embed": (197, 768)}
    file = {}
    for name, array in state.items():
        if name == "head.bias":  # exists in timm alone
            continue
        renamed = name
        for old, new in parts.items():
            renamed = renamed.replace(old, new)
        shaped = array.T if name == "head.weight" else array.reshape(shapes.get(name, array.shape))
        file[f"visual.{renamed}"] = np.ascontiguousarray(shaped)
    return file


@pytest.mark.parametrize("wanted", [(16, 16), (10, 23), (37, 37), (50, 40)])
@pytest.mark.parametrize("recipe", ["supervised", "dinov2"])
def test_positions_at_another_size(wanted, recipe):
    torch = pytest.importorskip("torch")
    positions = np.random.default_rng(0).normal(size=(1 + 37 * 37, 5)).astype("float32")
    square = torch.from_numpy(positions[1:].reshape(1, 37, 37, 5)).permute(0, 3, 1, 2)
    if recipe == "supervised":
        size = {"size": wanted, "antialias": True}
    else:  # as in its code
        size = {"scale_factor": tuple((side + 0.1) / 37 for side in wanted)}
    expected = torch.nn.functional.interpolate(square, mode="bicubic", **size)[0].permute(1, 2, 0).reshape(-1, 5)
    actual = resize_positions(positions, wanted, RECIPES[recipe])
    if recipe == "dinov2" and wanted == (37, 37):
        expected = positions[1:]  # its code does not interpolate here
    np.testing.assert_allclose(actual[1:], expected, atol=2e-5)
    np.testing.assert_array_equal(actual[0], positions[0])
