"""BERT: a transformer over words."""

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
SMALL = nn.initializers.truncated_normal(0.02)
Pooling = Literal["pooler", "class", "mean"]


@register
class Bert(Backbone):
    """BERT's encoder over token ids int32 [n, l], 0 being padding; by default BERT-base, 768 features.

    The ids come from the model's own tokenizer, [CLS] first and [SEP] last, one segment: there is none here, since any
    other would give the published weights words that they do not mean. What is padding is not attended to. pooling:
    features are the first token's through the published layer of tanh units ("pooler"), the first token's as it is
    ("class"), or the mean over all that is not padding ("mean"). vocabulary: number of ids; positions: the most tokens
    of a text; width: of a token, a multiple of heads; dropout: of embeddings, attention and every branch, in training.
    References: Devlin et al., NAACL 2019. arXiv:1810.04805, Sections 3 and A.2.
    """

    # in files of bert-base-uncased and others of its time normalisation has gamma and beta: "huggingface_gamma"
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("huggingface", "huggingface_gamma")
    # the heads of its pretraining; the last is there for "pooler" alone
    IGNORED: ClassVar[tuple[str, ...]] = ("cls.", "bert.embeddings.position_ids", "bert.pooler.")
    # as many as BERT-large has layers; those that a smaller one lacks hold nothing
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
        """The input of the parity vector: one text of 16 ids, the last two of them padding."""
        ids = 1 + 7 * np.arange(16, dtype=np.int32) % (self.vocabulary - 1)
        return np.where(np.arange(16) < 14, ids, PADDING).astype(np.int32)[None]

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`; there is no original classifier."""
        self.check_convention(convention)
        norm = _old_norm if convention == "huggingface_gamma" else torch_norm
        for table, name in EMBEDDINGS.items():
            yield PublishedArray(("params", "trunk", "embed", table, "embedding"), f"bert.embeddings.{name}.weight")
        yield from norm(("trunk", "embed", "norm"), "bert.embeddings.LayerNorm")
        for i in range(self.layers):
            ours, name = ("trunk", f"layer{i:02}"), f"bert.encoder.layer.{i}"
            for part, theirs in LINEAR.items():
                yield from torch_linear((*ours, *part.split("/")), f"{name}.{theirs}")
            for part, theirs in NORMS.items():
                yield from norm((*ours, part), f"{name}.{theirs}")
        if self.pooling == "pooler":
            yield from torch_linear(("trunk", "pooler"), "bert.pooler.dense")


def _old_norm(layer: Layer, name: str) -> Iterator[PublishedArray]:
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
    """See `Bert`."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    positions: int


class Trunk(nn.Module):
    """[n, l] -> [n, width]."""

    sizes: Sizes
    pooling: Pooling
    dropout: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, l] -> [n, width].

        Raises:
            ValueError: the inputs are no ids, or more in a row than there are positions.
        """
        if inputs.ndim != 2 or not jnp.issubdtype(inputs.dtype, jnp.integer) or inputs.shape[1] > self.sizes.positions:
            raise ValueError(f"it takes token ids, integers [n, l], of at most {self.sizes.positions} tokens")
        there = inputs != PADDING
        tokens = Embedding(self.sizes, self.dropout, name="embed")(inputs, train)
        for i in range(self.sizes.layers):
            tokens = Block(self.sizes.heads, self.dropout, name=f"layer{i:02}")(tokens, there, train)
        if self.pooling == "mean":
            weights = there.astype(tokens.dtype)[:, :, None]
            return (tokens * weights).sum(axis=1) / jnp.maximum(weights.sum(axis=1), 1)  # a row of padding alone
        first = tokens[:, 0]
        return jnp.tanh(Dense(self.sizes.width, name="pooler")(first)) if self.pooling == "pooler" else first


class Embedding(nn.Module):
    """Of a token: its word's, its position's and its segment's vectors, added and normalised."""

    sizes: Sizes
    dropout: float

    @nn.compact
    def __call__(self, ids: Array, train: bool) -> Array:
        """[n, l] -> [n, l, width]."""
        width = self.sizes.width
        words = nn.Embed(self.sizes.vocabulary, width, embedding_init=SMALL, name="words")(ids)
        positions = nn.Embed(self.sizes.positions, width, embedding_init=SMALL, name="positions")
        segments = nn.Embed(2, width, embedding_init=SMALL, name="segments")
        places = jnp.arange(ids.shape[1])
        tokens = words + (positions(places) + segments(jnp.zeros_like(places)))[None]
        return nn.Dropout(self.dropout)(layer_norm(EPSILON, "norm")(tokens), deterministic=not train)


class Block(nn.Module):
    """Attention, then two layers of GELU units four times as wide, each added to its input and normalised after."""

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, tokens: Array, there: Array, train: bool) -> Array:
        """[n, l, width], [n, l] bools of what is no padding -> [n, l, width]."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        mixed = SelfAttention(self.heads, self.dropout, name="attention")(tokens, train, there[:, None, None])
        tokens = layer_norm(EPSILON, "norm1")(tokens + drop(mixed))
        width = tokens.shape[-1]
        hidden = nn.gelu(Dense(4 * width, name="mlp1")(tokens), approximate=False)
        return layer_norm(EPSILON, "norm2")(tokens + drop(Dense(width, name="mlp2")(hidden)))
