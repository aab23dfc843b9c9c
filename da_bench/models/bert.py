"""BERT, a transformer over words."""

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple, get_args

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError, did_you_mean
from da_bench.core.types import Array
from da_bench.models.backbone import Backbone
from da_bench.models.base import register
from da_bench.models.layers import Dense
from da_bench.models.transformer import SelfAttention, layer_norm
from da_bench.models.weight_names import Layer, PublishedArray, torch_linear, torch_norm

PADDING = 0
EPSILON = 1e-12  # of layer normalisation, as published
EMBEDDING_INIT = nn.initializers.truncated_normal(0.02)
Pooling = Literal["pooler", "class", "mean"]


@register
class Bert(Backbone):
    """BERT's encoder over token ids int32 [n, l], 0 being padding; by default BERT-base, 768 features.

    Ids must come from the model's own tokenizer, with [CLS] first, [SEP] last and one segment. No tokenizer is
    included: the ids of another one would mean other words to the published weights. Padding is not attended to.

    Attributes:
        layers: number of transformer blocks.
        width: numbers of a token, a multiple of `heads`.
        heads: attention heads.
        vocabulary: number of ids.
        positions: greatest number of tokens in a text.
        pooling: features are the first token after the published tanh layer ("pooler"), the first token ("class"), or
            the mean over all tokens that are not padding ("mean").
        dropout: rate in training, of embeddings, attention weights and every branch.

    References: Devlin et al., NAACL 2019. arXiv:1810.04805, Sections 3 and A.2.
    """

    # "huggingface_gamma": old files such as bert-base-uncased, whose normalisations have gamma and beta
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("huggingface", "huggingface_gamma")
    # heads of its pretraining; the pooler is read for pooling = "pooler" alone
    IGNORED: ClassVar[tuple[str, ...]] = ("cls.", "bert.embeddings.position_ids", "bert.pooler.")
    # as many as BERT-large has layers; stages that a smaller network lacks are empty
    STAGES: ClassVar[tuple[str, ...]] = ("embed", *(f"layer{i:02}" for i in range(24)), "pooler")

    layers: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 30522
    positions: int = 512
    pooling: Pooling = "pooler"
    dropout: float = 0.1

    def make_trunk(self) -> nn.Module:
        """[n, l] -> [n, width].

        Raises:
            UserError: there is no such pooling.
        """
        if self.pooling not in get_args(Pooling):
            raise UserError(f"bert has no pooling '{self.pooling}'{did_you_mean(self.pooling, get_args(Pooling))}")
        sizes = Sizes(self.layers, self.width, self.heads, self.vocabulary, self.positions)
        return Trunk(sizes, self.pooling, self.dropout)

    @nn.nowrap
    def probe_input(self) -> np.ndarray:
        """See `Backbone`: one text of 16 ids, the last two padding; int32 [1, 16]."""
        ids = 1 + 7 * np.arange(16, dtype=np.int32) % (self.vocabulary - 1)
        return np.where(np.arange(16) < 14, ids, PADDING).astype(np.int32)[None]

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`; BERT has no original classifier."""
        self.check_convention(convention)
        norm = _gamma_norm if convention == "huggingface_gamma" else torch_norm
        for table, name in EMBEDDINGS.items():
            yield PublishedArray(("params", "trunk", "embed", table, "embedding"), f"bert.embeddings.{name}.weight")
        yield from norm(("trunk", "embed", "norm"), "bert.embeddings.LayerNorm")
        for i in range(self.layers):
            layer, prefix = ("trunk", f"layer{i:02}"), f"bert.encoder.layer.{i}"
            for part, name in LINEAR.items():
                yield from torch_linear((*layer, *part.split("/")), f"{prefix}.{name}")
            for part, name in NORMS.items():
                yield from norm((*layer, part), f"{prefix}.{name}")
        if self.pooling == "pooler":
            yield from torch_linear(("trunk", "pooler"), "bert.pooler.dense")


def _gamma_norm(layer: Layer, name: str) -> Iterator[PublishedArray]:
    yield PublishedArray(("params", *layer, "scale"), f"{name}.gamma")
    yield PublishedArray(("params", *layer, "bias"), f"{name}.beta")


EMBEDDINGS = {"words": "word_embeddings", "positions": "position_embeddings", "segments": "token_type_embeddings"}
LINEAR = {
    "attention/query": "attention.self.query",
    "attention/key": "attention.self.key",
    "attention/value": "attention.self.value",
    "attention/out": "attention.output.dense",
    "mlp1": "intermediate.dense",
    "mlp2": "output.dense",
}
NORMS = {"norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}


class Sizes(NamedTuple):
    """Sizes of the encoder, see `Bert`."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    positions: int


class Trunk(nn.Module):
    """Encoder: token ids [n, l] -> features [n, width]."""

    sizes: Sizes
    pooling: Pooling
    dropout: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, l] -> [n, width].

        Raises:
            ValueError: the inputs are not integers [n, l], or longer than the number of positions.
        """
        if inputs.ndim != 2 or not jnp.issubdtype(inputs.dtype, jnp.integer) or inputs.shape[1] > self.sizes.positions:
            raise ValueError(f"it needs token ids, integers [n, l], of at most {self.sizes.positions} tokens")
        is_token = inputs != PADDING
        tokens = Embedding(self.sizes, self.dropout, name="embed")(inputs, train)
        for i in range(self.sizes.layers):
            tokens = Block(self.sizes.heads, self.dropout, name=f"layer{i:02}")(tokens, is_token, train)
        if self.pooling == "mean":
            weights = is_token.astype(tokens.dtype)[:, :, None]
            return (tokens * weights).sum(axis=1) / jnp.maximum(weights.sum(axis=1), 1)  # 1 for rows of padding alone
        first = tokens[:, 0]
        return jnp.tanh(Dense(self.sizes.width, name="pooler")(first)) if self.pooling == "pooler" else first


class Embedding(nn.Module):
    """Sum of the vectors of a token's word, position and segment, normalised."""

    sizes: Sizes
    dropout: float

    @nn.compact
    def __call__(self, ids: Array, train: bool) -> Array:
        """[n, l] -> [n, l, width]."""
        width = self.sizes.width
        words = nn.Embed(self.sizes.vocabulary, width, embedding_init=EMBEDDING_INIT, name="words")(ids)
        positions = nn.Embed(self.sizes.positions, width, embedding_init=EMBEDDING_INIT, name="positions")
        segments = nn.Embed(2, width, embedding_init=EMBEDDING_INIT, name="segments")
        index = jnp.arange(ids.shape[1])
        tokens = words + (positions(index) + segments(jnp.zeros_like(index)))[None]
        return nn.Dropout(self.dropout)(layer_norm(EPSILON, "norm")(tokens), deterministic=not train)


class Block(nn.Module):
    """Attention, then an MLP with GELU units four times as wide; each is added to its input, then normalised."""

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, tokens: Array, is_token: Array, train: bool) -> Array:
        """Tokens [n, l, width], mask [n, l] of tokens that are not padding -> [n, l, width]."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        mixed = SelfAttention(self.heads, self.dropout, name="attention")(tokens, train, is_token[:, None, None])
        tokens = layer_norm(EPSILON, "norm1")(tokens + drop(mixed))
        width = tokens.shape[-1]
        hidden = nn.gelu(Dense(4 * width, name="mlp1")(tokens), approximate=False)
        return layer_norm(EPSILON, "norm2")(tokens + drop(Dense(width, name="mlp2")(hidden)))
