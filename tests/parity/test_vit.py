"""Vision transformers against timm's and Hugging Face's with the same weights."""

import numpy as np
import pytest
import reference as ref

from da_bench.models import VitB16, VitS16
from da_bench.models.vit import RECIPES, resized

pytestmark = pytest.mark.filterwarnings("default")  # other people's
LABELS = np.array([1, 4])


def of_timm(name, **fields):
    ref.torchvision()
    return ref.scrambled(pytest.importorskip("timm").create_model(name, **fields)).eval()


def test_timm_in_evaluation():
    images, model = ref.pictures(2, 224), VitS16(classes=10, bottleneck=None)
    network = of_timm("vit_small_patch16_224", num_classes=10)
    params, stats = ref.variables(model, "timm", ref.arrays(network))
    expected = network(ref.as_torch(images)).detach()
    assert ref.error(ref.evaluated(model, params, stats, images).logits, expected) < 1e-4


def test_timm_in_a_training_step(x64):
    images, model = ref.pictures(2, 96, "float64"), VitS16(classes=10, bottleneck=None, side=96)
    network = of_timm("vit_small_patch16_224", num_classes=10, img_size=96).double()
    params, stats = ref.variables(model, "timm", ref.arrays(network))
    loss, stepped, _ = ref.stepped(model, params, stats, images, LABELS, 0.1)
    expected, state = ref.torch_stepped(network, ref.as_torch(images), LABELS, 0.1)
    theirs, _ = ref.variables(model, "timm", state)
    errors = ref.step_errors(stepped, theirs, params)
    assert ref.error(loss, expected) < 1e-4
    # no gradient reaches it, the softmax being the same for all keys moved alike
    assert max(error for name, error in errors.items() if "['key']['bias']" not in name) < 1e-4


def test_timm_at_another_size():
    images, model = ref.pictures(2, 160), VitS16(classes=10, bottleneck=None)
    network = of_timm("vit_small_patch16_224", num_classes=10, dynamic_img_size=True)
    params, stats = ref.variables(model, "timm", ref.arrays(network))
    expected = network(ref.as_torch(images)).detach()
    assert ref.error(ref.evaluated(model, params, stats, images).logits, expected) < 1e-4


def features(model, params, stats, images):
    params = {**params, "head": {"kernel": np.zeros((model.SIZE[2], 10), "float32"), "bias": np.zeros(10, "float32")}}
    return ref.evaluated(model, params, stats, images).features


def test_dinov2_in_evaluation():
    fields = {"recipe": "dinov2", "patch": 14, "side": 518}
    images, model = ref.pictures(1, 518), VitS16(classes=10, bottleneck=None, **fields)
    network = of_timm("vit_small_patch14_dinov2", num_classes=0)
    state = {**ref.arrays(network), "mask_token": np.zeros((1, 384))}
    params, stats = ref.variables(model, "dinov2", state)
    expected = network(ref.as_torch(images)).detach()
    assert ref.error(features(model, params, stats, images), expected) < 1e-4


def test_dinov2_with_registers_in_evaluation():
    """Its file is turned into timm's by timm."""
    fields = {"recipe": "dinov2_registers", "patch": 14, "side": 224}
    images, model = ref.pictures(2, 224), VitS16(classes=10, bottleneck=None, **fields)
    network = of_timm("vit_small_patch14_reg4_dinov2", num_classes=0, img_size=224)
    rng, state = np.random.default_rng(0), ref.arrays(network)
    registers, positions = rng.normal(size=(1, 4, 384)), rng.normal(size=(1, 257, 384))
    del state["reg_token"]
    file = {**state, "register_tokens": registers, "pos_embed": positions, "mask_token": np.zeros((1, 384))}
    file = {name: array.astype("float32") for name, array in file.items()}
    _load(network, file)
    params, stats = ref.variables(model, "dinov2", file)
    expected = network(ref.as_torch(images)).detach()
    assert ref.error(features(model, params, stats, images), expected) < 1e-4


def _load(network, file):
    import timm
    import torch

    turned = timm.models.vision_transformer.checkpoint_filter_fn(
        {name: torch.from_numpy(array) for name, array in file.items()}, network
    )
    network.load_state_dict(turned)


def test_hugging_face_s_clip_in_evaluation():
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(patch_size=16, hidden_size=768, intermediate_size=3072, projection_dim=512)
    network = ref.scrambled(transformers.CLIPVisionModelWithProjection(config)).eval()
    images, model = ref.pictures(2, 224), VitB16(classes=10, bottleneck=None, recipe="clip")
    params, stats = ref.variables(model, "huggingface", ref.arrays(network))
    expected = network(ref.as_torch(images)).image_embeds.detach()
    assert ref.error(features(model, params, stats, images), expected) < 1e-4
    exact = VitB16(classes=10, bottleneck=None, recipe="open_clip")
    assert ref.error(features(exact, params, stats, images), expected) > 1e-3


CLIPS = [("clip", "vit_base_patch16_clip_quickgelu_224"), ("open_clip", "vit_base_patch16_clip_224")]


@pytest.mark.parametrize(("recipe", "name"), CLIPS)
def test_open_clip_in_evaluation(recipe, name):
    """Its file is turned into timm's by timm."""
    network = of_timm(name, num_classes=512)
    images, model = ref.pictures(2, 224), VitB16(classes=10, bottleneck=None, recipe=recipe)
    params, stats = ref.variables(model, "open_clip", file := _as_open_clip(ref.arrays(network)))
    _load(network, file)
    expected = network(ref.as_torch(images)).detach()
    assert ref.error(features(model, params, stats, images), expected) < 1e-4


def _as_open_clip(state):
    """Of timm's arrays; timm then turns them back, and has the last word."""
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
        if name == "head.bias":  # timm's own
            continue
        theirs = name
        for old, new in parts.items():
            theirs = theirs.replace(old, new)
        shaped = array.T if name == "head.weight" else array.reshape(shapes.get(name, array.shape))
        file[f"visual.{theirs}"] = np.ascontiguousarray(shaped)
    return file


@pytest.mark.parametrize("wanted", [(16, 16), (10, 23), (37, 37), (50, 40)])
@pytest.mark.parametrize("recipe", ["supervised", "dinov2"])
def test_positions_at_another_size(wanted, recipe):
    torch = pytest.importorskip("torch")
    positions = np.random.default_rng(0).normal(size=(1 + 37 * 37, 5)).astype("float32")
    square = torch.from_numpy(positions[1:].reshape(1, 37, 37, 5)).permute(0, 3, 1, 2)
    if recipe == "supervised":
        size = {"size": wanted, "antialias": True}
    else:  # as its code asks for it
        size = {"scale_factor": tuple((side + 0.1) / 37 for side in wanted)}
    expected = torch.nn.functional.interpolate(square, mode="bicubic", **size)[0].permute(1, 2, 0).reshape(-1, 5)
    found = resized(positions, wanted, RECIPES[recipe])
    if recipe == "dinov2" and wanted == (37, 37):
        expected = positions[1:]  # its code leaves them alone
    np.testing.assert_allclose(found[1:], expected, atol=2e-5)
    np.testing.assert_array_equal(found[0], positions[0])
