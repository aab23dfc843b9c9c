"""Layers shared by transformers over image patches and over words."""

import flax.linen as nn

from da_bench.core.types import Array
from da_bench.models.layers import Dense


class SelfAttention(nn.Module):
    """Multi-head softmax attention of every token to every other, scaled by the root of a head's width.

    `query`, `key`, `value` and `out` are linear maps with bias.

    Attributes:
        heads: number of heads, a divisor of the tokens' width.
        dropout: rate of the attention weights in training.

    References: Vaswani et al., Attention Is All You Need, NeurIPS 2017. arXiv:1706.03762, Section 3.2.
    """

    heads: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, tokens: Array, train: bool, mask: Array | None = None) -> Array:
        """Attend.

        Args:
            tokens: [n, l, d].
            train: whether dropout is on.
            mask: [n, 1, 1, l] bool, the tokens that may be attended to; None: all.

        Returns:
            [n, l, d].
        """
        n, length, width = tokens.shape
        by_head = n, length, self.heads, width // self.heads
        query, key, value = (Dense(width, name=name)(tokens).reshape(by_head) for name in ("query", "key", "value"))
        dropping = train and self.dropout > 0
        mixed = nn.dot_product_attention(
            query,
            key,
            value,
            mask=mask,
            broadcast_dropout=False,
            dropout_rng=self.make_rng("dropout") if dropping else None,
            dropout_rate=self.dropout,
            deterministic=not dropping,
        )
        return Dense(width, name="out")(mixed.reshape(tokens.shape))


def layer_norm(epsilon: float, name: str) -> nn.LayerNorm:
    """Layer normalisation over the last axis, to be called within a module.

    The variance is computed as the mean square of centred values. Tokens of trained transformers have single values far
    from all others, whose squares would swallow the rest in the fast formula.
    """
    return nn.LayerNorm(epsilon=epsilon, use_fast_variance=False, name=name)
