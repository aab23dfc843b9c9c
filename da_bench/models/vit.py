"""Vision transformers: supervised, DINOv2's, and the image towers of CLIP."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import Registry, UserError
from da_bench.core.types import Array
from da_bench.models.backbone import Backbone
from da_bench.models.base import register
from da_bench.models.layers import Dense
from da_bench.models.transformer import SelfAttention, layer_norm
from da_bench.models.weight_names import Layer, PublishedArray, torch_array, torch_layout, torch_linear, torch_norm

LAYERS = 12


class Recipe(NamedTuple):
    """In what the networks of different publishers differ.

    conventions: whose files hold such a network. epsilon: of layer normalisation. clip: patches are mapped without
    bias, tokens normalised before the first layer, features projected. quick: GELU as x sigmoid(1.702 x), else exact.
    layer_scale: every branch is scaled, channel by channel, before it is added. registers: tokens besides. antialias,
    offset: how positions are brought to another size, see `bicubic`.
    """

    conventions: tuple[str, ...]
    epsilon: float = 1e-6
    clip: bool = False
    quick: bool = False
    layer_scale: bool = False
    registers: int = 0
    antialias: bool = True
    offset: float = 0.0


RECIPES: Registry[Recipe] = Registry("recipe")
RECIPES.add("supervised", Recipe(("timm", "torchvision", "torchvision_linear")))
RECIPES.add("huggingface", Recipe(("huggingface_vit", "huggingface_vit_bare"), epsilon=1e-12))
RECIPES.add("dinov2", Recipe(("dinov2",), layer_scale=True, antialias=False, offset=0.1))
RECIPES.add("dinov2_registers", Recipe(("dinov2",), layer_scale=True, registers=4))
RECIPES.add("clip", Recipe(("open_clip", "huggingface"), epsilon=1e-5, clip=True, quick=True))
RECIPES.add("open_clip", Recipe(("open_clip", "huggingface"), epsilon=1e-5, clip=True))


class Names(NamedTuple):
    """What a convention calls the parts, of one block beneath `block` and its number.

    attention: where queries, keys and values are one tensor, how its name begins; else their three names. head: of the
    classifier, None: files have none.
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
    "torchvision_linear": TORCHVISION._replace(mlp=("mlp.linear_1", "mlp.linear_2")),  # as its first files have it
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
FIRST = {"open_clip": "visual.ln_pre", "huggingface": "vision_model.pre_layrnorm"}  # so written there
PROJECTION: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "open_clip": ("visual.proj", np.asarray),
    "huggingface": ("visual_projection.weight", torch_layout),
}


class Vit(Backbone):
    """Images [n, h, w, 3] -> the class token after the last normalisation; no dropout, no stochastic depth.

    patch: pixels on a side. side: of the images that positions are learnt for, pixels; other images, whose sides
    are multiples of `patch`, get them interpolated. recipe: whose network it is: "supervised", as timm, torchvision
    and the paper; "huggingface", that with another epsilon; "dinov2" and "dinov2_registers", of patches of 14 and
    positions for 518 pixels; "clip", OpenAI's image tower; "open_clip", that with the exact GELU; features of the last
    two are projected to where texts are.
    References: Dosovitskiy et al., ICLR 2021, arXiv:2010.11929, Eqs. 1-4; Oquab et al., DINOv2, arXiv:2304.07193;
    Darcet et al., arXiv:2309.16588; Radford et al., CLIP, arXiv:2103.00020.
    """

    CONVENTIONS: ClassVar[tuple[str, ...]] = tuple(NAMES)
    # with which a network is what such a file mostly holds; another recipe of the same names has to be asked for
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dinov2": {"recipe": "dinov2", "patch": 14, "side": 518},
        "open_clip": {"recipe": "clip"},
        "huggingface": {"recipe": "clip"},
        "huggingface_vit": {"recipe": "huggingface"},
        "huggingface_vit_bare": {"recipe": "huggingface"},
    }
    # a token of DINOv2's training; the text towers of CLIP and what OpenAI's archives say of themselves; Hugging Face's
    # layer after the class token, which no classifier of theirs reads
    IGNORED: ClassVar[tuple[str, ...]] = (
        "mask_token",
        "transformer.",
        "token_embedding.",
        "positional_embedding",
        "ln_final.",
        "text_projection",
        "text_model.",
        "logit_scale",
        "vision_model.embeddings.position_ids",
        "input_resolution",
        "context_length",
        "vocab_size",
        "pooler.",
    )
    STAGES: ClassVar[tuple[str, ...]] = ("embed", *(f"block{i:02}" for i in range(LAYERS)), "top")
    SIZE: ClassVar[tuple[int, int, int]]  # width, heads, and the width of CLIP's projection

    patch: int = 16
    side: int = 224
    recipe: str = "supervised"

    def make_trunk(self) -> nn.Module:
        """[n, h, w, 3] -> [n, d]."""
        return Trunk(self.patch, self.side // self.patch, self.SIZE, RECIPES[self.recipe])

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`; a tensor that holds queries, keys and values comes three times, each with its third.

        Raises:
            UserError: files of the convention hold no network of this recipe.
        """
        self.check_convention(convention)
        recipe = RECIPES[self.recipe]
        if convention not in recipe.conventions:
            fitting = " or ".join(f"'{name}'" for name, one in RECIPES.items() if convention in one.conventions)
            raise UserError(
                f"files of {convention} hold no vision transformer of recipe='{self.recipe}'; give it recipe={fitting}"
            )
        return _published(recipe, convention)


@register
class VitS16(Vit):
    """ViT-S, by default with patches of 16 pixels: 384 features, 6 heads, 22 million parameters."""

    SIZE = 384, 6, 384


@register
class VitB16(Vit):
    """ViT-B, by default with patches of 16 pixels: 768 features, 12 heads, 86 million parameters."""

    SIZE = 768, 12, 512


def _published(recipe: Recipe, convention: str) -> Iterator[PublishedArray]:
    names, embed = NAMES[convention], ("params", "trunk", "embed")
    yield PublishedArray((*embed, "token"), names.token, np.ravel)
    yield PublishedArray((*embed, "positions"), names.positions, _rows)
    yield torch_array((*embed, "patches", "kernel"), names.patches)
    if recipe.registers:
        yield PublishedArray((*embed, "registers"), "register_tokens", _rows)
    if not recipe.clip:
        yield torch_array((*embed, "patches", "bias"), names.patches)
    for i in range(LAYERS):
        yield from _block(("trunk", f"block{i:02}"), f"{names.block}{i}.", names, recipe.layer_scale)
    yield from torch_norm(("trunk", "top_norm"), names.last)
    if recipe.clip:
        yield from torch_norm(("trunk", "embed", "norm"), FIRST[convention])
        yield PublishedArray(("params", "trunk", "top_projection", "kernel"), *PROJECTION[convention])
    if names.head:
        yield from torch_linear(("head",), names.head)


def _block(ours: Layer, block: str, names: Names, layer_scale: bool) -> Iterator[PublishedArray]:
    for i in (1, 2):
        yield from torch_norm((*ours, f"norm{i}"), block + names.norms[i - 1])
        yield from torch_linear((*ours, f"mlp{i}"), block + names.mlp[i - 1])
        if layer_scale:
            yield PublishedArray(("params", *ours, f"scale{i}"), f"{block}ls{i}.gamma")
    attention = *ours, "attention"
    yield from torch_linear((*attention, "out"), block + names.out)
    for i, part in enumerate(("query", "key", "value")):
        if isinstance(names.attention, tuple):
            yield from torch_linear((*attention, part), block + names.attention[i])
        else:
            kernel, bias = (("params", *attention, part, leaf) for leaf in ("kernel", "bias"))
            yield PublishedArray(kernel, f"{block}{names.attention}weight", functools.partial(_third, place=i))
            yield PublishedArray(bias, f"{block}{names.attention}bias", functools.partial(_third, place=i))


def _third(array: np.ndarray, place: int) -> np.ndarray:
    return np.split(array, 3)[place].T


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])


class Trunk(nn.Module):
    """[n, h, w, 3] -> [n, d]: tokens of patches, blocks, the class token normalised; `grid`: patches on a side."""

    patch: int
    grid: int
    size: tuple[int, int, int]
    recipe: Recipe

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, d]."""
        width, heads, projected = self.size
        tokens = Embedding(self.patch, self.grid, width, self.recipe, name="embed")(inputs)
        for i in range(LAYERS):
            tokens = Block(heads, self.recipe, name=f"block{i:02}")(tokens, train)
        features = layer_norm(self.recipe.epsilon, "top_norm")(tokens[:, 0])
        return Dense(projected, use_bias=False, name="top_projection")(features) if self.recipe.clip else features


class Embedding(nn.Module):
    """Images -> tokens: the class token, registers, one a patch, with their positions."""

    patch: int
    grid: int
    width: int
    recipe: Recipe

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[n, h, w, 3] -> [n, l, width].

        Raises:
            ValueError: the inputs are no images, or their sides no multiples of the patch.
        """
        if inputs.ndim != 4 or inputs.shape[1] % self.patch or inputs.shape[2] % self.patch:
            raise ValueError(f"it takes images [n, h, w, c] whose sides are multiples of {self.patch} pixels")
        side = self.patch, self.patch
        maps = nn.Conv(self.width, side, side, "VALID", use_bias=not self.recipe.clip, name="patches")(inputs)
        n, height, width, _ = maps.shape
        tokens = jnp.concatenate([self._extra("token", n), maps.reshape(n, -1, self.width)], axis=1)
        positions = self.param("positions", SMALL, (1 + self.grid**2, self.width))
        tokens = tokens + resized(positions, (height, width), self.recipe)[None]
        if self.recipe.registers:
            tokens = jnp.concatenate([tokens[:, :1], self._extra("registers", n), tokens[:, 1:]], axis=1)
        return layer_norm(self.recipe.epsilon, "norm")(tokens) if self.recipe.clip else tokens

    def _extra(self, name: str, n: int) -> Array:
        """[n, k, width]: learnt tokens, the same for all images."""
        shape = (self.width,) if name == "token" else (self.recipe.registers, self.width)
        learnt = self.param(name, SMALL, shape)
        return jnp.broadcast_to(learnt.reshape(1, -1, self.width), (n, learnt.size // self.width, self.width))


SMALL = nn.initializers.truncated_normal(0.02)


class Block(nn.Module):
    """Attention, then two layers of GELU units four times as wide, each normalised before and added to its input."""

    heads: int
    recipe: Recipe

    @nn.compact
    def __call__(self, tokens: Array, train: bool) -> Array:
        """[n, l, d] -> [n, l, d]."""
        width, epsilon = tokens.shape[-1], self.recipe.epsilon
        mixed = SelfAttention(self.heads, name="attention")(layer_norm(epsilon, "norm1")(tokens), train)
        tokens = tokens + self._scaled("scale1", mixed)
        hidden = Dense(4 * width, name="mlp1")(layer_norm(epsilon, "norm2")(tokens))
        hidden = hidden * nn.sigmoid(1.702 * hidden) if self.recipe.quick else nn.gelu(hidden, approximate=False)
        return tokens + self._scaled("scale2", Dense(width, name="mlp2")(hidden))

    def _scaled(self, name: str, branch: Array) -> Array:
        if not self.recipe.layer_scale:
            return branch
        return branch * self.param(name, nn.initializers.constant(1e-5), branch.shape[-1:])[None, None]


def resized(positions: Array, wanted: tuple[int, int], recipe: Recipe) -> Array:
    """Positions [1 + g^2, d] of the class token and a square of patches -> [1 + h w, d] of one of h x w patches."""
    grid = round((len(positions) - 1) ** 0.5)
    if wanted == (grid, grid):
        return positions
    rows, columns = (jnp.asarray(bicubic(grid, size, recipe), positions.dtype) for size in wanted)
    square = positions[1:].reshape(grid, grid, -1)
    placed = jnp.einsum("hg,gkd,wk->hwd", rows, square, columns)
    return jnp.concatenate([positions[:1], placed.reshape(-1, positions.shape[-1])])


def bicubic(size: int, wanted: int, recipe: Recipe) -> np.ndarray:
    """[wanted, size]: the weights of `size` values on a line for each of `wanted` in their place; float64.

    As torch's: with antialias, Keys' kernel of a = -1/2 as wide as the coarser of both grids, cut off at the ends and
    its weights made to sum to 1; without, that of a = -3/4 as wide as the given grid, its ends repeated. The step
    between two wanted values is size / (wanted + offset): DINOv2's code adds 0.1, against an error of rounding, and its
    numbers come from it.
    References: Keys, Cubic Convolution Interpolation, IEEE TASSP 29(6), 1981, Eqs. 4 and 15.
    """
    step = size / (wanted + recipe.offset)
    centres = (np.arange(wanted) + 0.5) * step - 0.5
    if recipe.antialias:
        weights = cubic((np.arange(size)[None] - centres[:, None]) / max(step, 1.0), -0.5)
        return weights / weights.sum(axis=1, keepdims=True)
    near = np.floor(centres).astype(int)[:, None] + np.arange(-1, 3)[None]
    matrix = np.zeros((wanted, size))
    each = np.broadcast_to(np.arange(wanted)[:, None], near.shape)
    np.add.at(matrix, (each, near.clip(0, size - 1)), cubic(near - centres[:, None], -0.75))
    return matrix


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel at distances in steps, any shape; 0 from 2 on."""
    t = np.abs(distance)
    inner = ((a + 2) * t - (a + 3)) * t * t + 1
    outer = a * (((t - 5) * t + 8) * t - 4)
    return np.where(t <= 1, inner, np.where(t < 2, outer, 0.0))
