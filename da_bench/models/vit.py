"""Vision transformers: supervised ones, DINOv2's, and the image towers of CLIP."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array
from da_bench.models.backbone import Backbone
from da_bench.models.base import register
from da_bench.models.layers import Dense
from da_bench.models.transformer import SelfAttention, layer_norm
from da_bench.models.vit_weights import LAYERS, NAMES, RECIPES, Recipe, vit_arrays
from da_bench.models.weight_names import PublishedArray


class Vit(Backbone):
    """Images [n, h, w, 3] -> the class token after the last normalisation. No dropout, no stochastic depth.

    Attributes:
        patch: side of a patch in pixels.
        side: side in pixels of the images for which positions are learnt. For other images, whose sides must be
            multiples of `patch`, positions are interpolated.
        recipe: whose network it is. "supervised": timm, torchvision and the paper. "huggingface": the same with another
            epsilon. "dinov2" and "dinov2_registers": patches of 14 and positions for 518 pixels. "clip": OpenAI's image
            tower. "open_clip": the same with the exact GELU. Features of the last two are projected to the space that
            they share with texts.

    References: Dosovitskiy et al., ICLR 2021, arXiv:2010.11929, Eqs. 1-4; Oquab et al., DINOv2, arXiv:2304.07193;
        Darcet et al., arXiv:2309.16588; Radford et al., CLIP, arXiv:2103.00020.
    """

    CONVENTIONS: ClassVar[tuple[str, ...]] = tuple(NAMES)
    # the network that such files usually hold; another recipe of the same names must be asked for
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dinov2": {"recipe": "dinov2", "patch": 14, "side": 518},
        "open_clip": {"recipe": "clip"},
        "huggingface": {"recipe": "clip"},
        "huggingface_vit": {"recipe": "huggingface"},
        "huggingface_vit_bare": {"recipe": "huggingface"},
    }
    # mask token of DINOv2's training; text towers of CLIP and the settings in OpenAI's archives; Hugging Face's layer
    # after the class token, which its classifiers do not use
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
        """See `Backbone`. A tensor that holds queries, keys and values is listed three times, once for each third.

        Raises:
            UserError: files of the convention hold no network of this recipe.
        """
        self.check_convention(convention)
        recipe = RECIPES[self.recipe]
        if convention not in recipe.conventions:
            fitting = " or ".join(f"'{name}'" for name, other in RECIPES.items() if convention in other.conventions)
            raise UserError(
                f"{convention} files hold no vision transformer of recipe='{self.recipe}'; set recipe={fitting}"
            )
        return vit_arrays(recipe, convention)


@register
class VitS16(Vit):
    """ViT-S, by default with patches of 16 pixels: 384 features, 6 heads, 22 million parameters."""

    SIZE = 384, 6, 384


@register
class VitB16(Vit):
    """ViT-B, by default with patches of 16 pixels: 768 features, 12 heads, 86 million parameters."""

    SIZE = 768, 12, 512


class Trunk(nn.Module):
    """[n, h, w, 3] -> [n, d]: embed patches, apply blocks, normalise the class token.

    Attributes:
        patch: side of a patch in pixels.
        grid: patches on a side of the images for which positions are learnt.
        size: width, heads, and width of CLIP's projection.
        recipe: whose network it is.
    """

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
    """Images -> tokens with their positions: the class token, registers, and one token a patch."""

    patch: int
    grid: int
    width: int
    recipe: Recipe

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[n, h, w, 3] -> [n, l, width].

        Raises:
            ValueError: the inputs are not images whose sides are multiples of the patch.
        """
        if inputs.ndim != 4 or inputs.shape[1] % self.patch or inputs.shape[2] % self.patch:
            raise ValueError(f"it needs images [n, h, w, c] whose sides are multiples of {self.patch} pixels")
        side = self.patch, self.patch
        maps = nn.Conv(self.width, side, side, "VALID", use_bias=not self.recipe.clip, name="patches")(inputs)
        n, height, width, _ = maps.shape
        tokens = jnp.concatenate([self._learnt_tokens("token", n), maps.reshape(n, -1, self.width)], axis=1)
        positions = self.param("positions", TOKEN_INIT, (1 + self.grid**2, self.width))
        tokens = tokens + resize_positions(positions, (height, width), self.recipe)[None]
        if self.recipe.registers:
            tokens = jnp.concatenate([tokens[:, :1], self._learnt_tokens("registers", n), tokens[:, 1:]], axis=1)
        return layer_norm(self.recipe.epsilon, "norm")(tokens) if self.recipe.clip else tokens

    def _learnt_tokens(self, name: str, n: int) -> Array:
        """Learnt tokens [n, k, width], the same for all images."""
        shape = (self.width,) if name == "token" else (self.recipe.registers, self.width)
        learnt = self.param(name, TOKEN_INIT, shape)
        return jnp.broadcast_to(learnt.reshape(1, -1, self.width), (n, learnt.size // self.width, self.width))


TOKEN_INIT = nn.initializers.truncated_normal(0.02)


class Block(nn.Module):
    """Attention, then an MLP with GELU units four times as wide; each is normalised before and added to its input."""

    heads: int
    recipe: Recipe

    @nn.compact
    def __call__(self, tokens: Array, train: bool) -> Array:
        """[n, l, d] -> [n, l, d]."""
        width, epsilon = tokens.shape[-1], self.recipe.epsilon
        mixed = SelfAttention(self.heads, name="attention")(layer_norm(epsilon, "norm1")(tokens), train)
        tokens = tokens + self._scaled("scale1", mixed)
        hidden = Dense(4 * width, name="mlp1")(layer_norm(epsilon, "norm2")(tokens))
        hidden = hidden * nn.sigmoid(1.702 * hidden) if self.recipe.quick_gelu else nn.gelu(hidden, approximate=False)
        return tokens + self._scaled("scale2", Dense(width, name="mlp2")(hidden))

    def _scaled(self, name: str, branch: Array) -> Array:
        if not self.recipe.layer_scale:
            return branch
        return branch * self.param(name, nn.initializers.constant(1e-5), branch.shape[-1:])[None, None]


def resize_positions(positions: Array, patches: tuple[int, int], recipe: Recipe) -> Array:
    """Interpolate position embeddings to another number of patches.

    Args:
        positions: [1 + g^2, d], of the class token and a square of g x g patches.
        patches: h and w, rows and columns of patches wanted.
        recipe: how to interpolate.

    Returns:
        [1 + h w, d].
    """
    grid = round((len(positions) - 1) ** 0.5)
    if patches == (grid, grid):
        return positions
    rows, columns = (jnp.asarray(bicubic(grid, size, recipe), positions.dtype) for size in patches)
    square = positions[1:].reshape(grid, grid, -1)
    interpolated = jnp.einsum("hg,gkd,wk->hwd", rows, square, columns)
    return jnp.concatenate([positions[:1], interpolated.reshape(-1, positions.shape[-1])])


def bicubic(size: int, wanted: int, recipe: Recipe) -> np.ndarray:
    """Weights of bicubic interpolation along one axis, as torch computes them.

    With antialias: Keys' kernel of a = -1/2, as wide as the coarser of both grids, cut off at the ends, with weights
    that sum to 1. Without: Keys' kernel of a = -3/4, as wide as the given grid, with its ends repeated. The step
    between two interpolated values is size / (wanted + offset). DINOv2's code adds 0.1 against an error of rounding,
    and its published numbers depend on it.

    Args:
        size: number of given values.
        wanted: number of interpolated values.
        recipe: antialias and offset.

    Returns:
        float64 [wanted, size].

    References: Keys, Cubic Convolution Interpolation, IEEE TASSP 29(6), 1981, Eqs. 4 and 15.
    """
    step = size / (wanted + recipe.offset)
    centres = (np.arange(wanted) + 0.5) * step - 0.5
    if recipe.antialias:
        weights = cubic((np.arange(size)[None] - centres[:, None]) / max(step, 1.0), -0.5)
        return weights / weights.sum(axis=1, keepdims=True)
    neighbours = np.floor(centres).astype(int)[:, None] + np.arange(-1, 3)[None]
    weights = np.zeros((wanted, size))
    rows = np.broadcast_to(np.arange(wanted)[:, None], neighbours.shape)
    np.add.at(weights, (rows, neighbours.clip(0, size - 1)), cubic(neighbours - centres[:, None], -0.75))
    return weights


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel with parameter a at distances in steps, any shape; 0 from distance 2 on."""
    t = np.abs(distance)
    inner = ((a + 2) * t - (a + 3)) * t * t + 1
    outer = a * (((t - 5) * t + 8) * t - 4)
    return np.where(t <= 1, inner, np.where(t < 2, outer, 0.0))
