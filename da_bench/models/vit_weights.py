"""Vision transformers of different publishers: how they differ, and what their files call the arrays."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from da_bench.core.config import Registry
from da_bench.models.weight_names import Layer, PublishedArray, torch_array, torch_layout, torch_linear, torch_norm

LAYERS = 12  # transformer blocks of all these networks


class Recipe(NamedTuple):
    """Differences between the networks of different publishers.

    Attributes:
        conventions: whose files hold such a network.
        epsilon: of layer normalisation.
        clip: patches are mapped without bias, tokens are normalised before the first block, and features are projected.
        quick_gelu: GELU as x sigmoid(1.702 x), else exact.
        layer_scale: every branch is scaled channel by channel before it is added.
        registers: number of additional tokens.
        antialias: how positions are resized, see `bicubic`.
        offset: how positions are resized, see `bicubic`.
    """

    conventions: tuple[str, ...]
    epsilon: float = 1e-6
    clip: bool = False
    quick_gelu: bool = False
    layer_scale: bool = False
    registers: int = 0
    antialias: bool = True
    offset: float = 0.0


RECIPES: Registry[Recipe] = Registry("recipe")
RECIPES.add("supervised", Recipe(("timm", "torchvision", "torchvision_linear")))
RECIPES.add("huggingface", Recipe(("huggingface_vit", "huggingface_vit_bare"), epsilon=1e-12))
RECIPES.add("dinov2", Recipe(("dinov2",), layer_scale=True, antialias=False, offset=0.1))
RECIPES.add("dinov2_registers", Recipe(("dinov2",), layer_scale=True, registers=4))
RECIPES.add("clip", Recipe(("open_clip", "huggingface"), epsilon=1e-5, clip=True, quick_gelu=True))
RECIPES.add("open_clip", Recipe(("open_clip", "huggingface"), epsilon=1e-5, clip=True))


class Names(NamedTuple):
    """Names of the parts of a network in the files of one convention.

    Attributes:
        token: class token.
        positions: position embeddings.
        patches: convolution that maps patches.
        last: normalisation after the last block.
        block: prefix of a block, before its number.
        attention: within a block: prefix of the tensor that holds queries, keys and values, or the names of the three.
        out: within a block: linear map after the attention.
        norms: within a block: both normalisations.
        mlp: within a block: both linear maps.
        head: classifier; None if the files have none.
    """

    token: str
    positions: str
    patches: str
    last: str
    block: str
    attention: str | tuple[str, str, str]
    out: str
    norms: tuple[str, str]
    mlp: tuple[str, str]
    head: str | None = None


TIMM = Names(
    token="cls_token",
    positions="pos_embed",
    patches="patch_embed.proj",
    last="norm",
    block="blocks.",
    attention="attn.qkv.",
    out="attn.proj",
    norms=("norm1", "norm2"),
    mlp=("mlp.fc1", "mlp.fc2"),
    head="head",
)
TORCHVISION = Names(
    token="class_token",
    positions="encoder.pos_embedding",
    patches="conv_proj",
    last="encoder.ln",
    block="encoder.layers.encoder_layer_",
    attention="self_attention.in_proj_",
    out="self_attention.out_proj",
    norms=("ln_1", "ln_2"),
    mlp=("mlp.0", "mlp.3"),
    head="heads.head",
)
OPEN_CLIP = Names(
    token="visual.class_embedding",
    positions="visual.positional_embedding",
    patches="visual.conv1",
    last="visual.ln_post",
    block="visual.transformer.resblocks.",
    attention="attn.in_proj_",
    out="attn.out_proj",
    norms=("ln_1", "ln_2"),
    mlp=("mlp.c_fc", "mlp.c_proj"),
)
HUGGINGFACE = Names(
    token="vision_model.embeddings.class_embedding",
    positions="vision_model.embeddings.position_embedding.weight",
    patches="vision_model.embeddings.patch_embedding",
    last="vision_model.post_layernorm",
    block="vision_model.encoder.layers.",
    attention=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    out="self_attn.out_proj",
    norms=("layer_norm1", "layer_norm2"),
    mlp=("mlp.fc1", "mlp.fc2"),
)
HUGGINGFACE_VIT = Names(
    token="vit.embeddings.cls_token",
    positions="vit.embeddings.position_embeddings",
    patches="vit.embeddings.patch_embeddings.projection",
    last="vit.layernorm",
    block="vit.encoder.layer.",
    attention=("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    out="attention.output.dense",
    norms=("layernorm_before", "layernorm_after"),
    mlp=("intermediate.dense", "output.dense"),
    head="classifier",
)
NAMES = {
    "timm": TIMM,
    "torchvision": TORCHVISION,
    "torchvision_linear": TORCHVISION._replace(mlp=("mlp.linear_1", "mlp.linear_2")),  # its first files
    "dinov2": TIMM._replace(head=None),
    "open_clip": OPEN_CLIP,
    "huggingface": HUGGINGFACE,  # of CLIP
    "huggingface_vit": HUGGINGFACE_VIT,
    "huggingface_vit_bare": HUGGINGFACE_VIT._replace(  # without a classifier
        token="embeddings.cls_token",
        positions="embeddings.position_embeddings",
        patches="embeddings.patch_embeddings.projection",
        last="layernorm",
        block="encoder.layer.",
        head=None,
    ),
}
FIRST_NORM = {"open_clip": "visual.ln_pre", "huggingface": "vision_model.pre_layrnorm"}  # the publisher's spelling
PROJECTION: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "open_clip": ("visual.proj", np.asarray),
    "huggingface": ("visual_projection.weight", torch_layout),
}


def vit_arrays(recipe: Recipe, convention: str) -> Iterator[PublishedArray]:
    """Every array of a network of this recipe, see `Backbone.published_arrays`."""
    names, embed = NAMES[convention], ("params", "trunk", "embed")
    yield PublishedArray((*embed, "token"), names.token, np.ravel)
    yield PublishedArray((*embed, "positions"), names.positions, _flatten_rows)
    yield torch_array((*embed, "patches", "kernel"), names.patches)
    if recipe.registers:
        yield PublishedArray((*embed, "registers"), "register_tokens", _flatten_rows)
    if not recipe.clip:
        yield torch_array((*embed, "patches", "bias"), names.patches)
    for i in range(LAYERS):
        yield from _block_arrays(("trunk", f"block{i:02}"), f"{names.block}{i}.", names, recipe.layer_scale)
    yield from torch_norm(("trunk", "top_norm"), names.last)
    if recipe.clip:
        yield from torch_norm(("trunk", "embed", "norm"), FIRST_NORM[convention])
        yield PublishedArray(("params", "trunk", "top_projection", "kernel"), *PROJECTION[convention])
    if names.head:
        yield from torch_linear(("head",), names.head)


def _block_arrays(layer: Layer, prefix: str, names: Names, layer_scale: bool) -> Iterator[PublishedArray]:
    for i in (1, 2):
        yield from torch_norm((*layer, f"norm{i}"), prefix + names.norms[i - 1])
        yield from torch_linear((*layer, f"mlp{i}"), prefix + names.mlp[i - 1])
        if layer_scale:
            yield PublishedArray(("params", *layer, f"scale{i}"), f"{prefix}ls{i}.gamma")
    attention = *layer, "attention"
    yield from torch_linear((*attention, "out"), prefix + names.out)
    for i, part in enumerate(("query", "key", "value")):
        if isinstance(names.attention, tuple):
            yield from torch_linear((*attention, part), prefix + names.attention[i])
        else:
            kernel, bias = (("params", *attention, part, leaf) for leaf in ("kernel", "bias"))
            yield PublishedArray(kernel, f"{prefix}{names.attention}weight", functools.partial(_split_qkv, index=i))
            yield PublishedArray(bias, f"{prefix}{names.attention}bias", functools.partial(_split_qkv, index=i))


def _split_qkv(array: np.ndarray, index: int) -> np.ndarray:
    return np.split(array, 3)[index].T


def _flatten_rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])
