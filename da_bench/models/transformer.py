"""What transformers over patches and over words share."""

import flax.linen as nn

from da_bench.core.types import Array
from da_bench.models.layers import Dense


class SelfAttention(nn.Module):
    """Softmax attention of every token to every other, scaled by the root of a head's width; `query`, `key`, `value`
    and `out` are linear maps with bias; dropout: of the attention's weights.

    References: Vaswani et al., Attention Is All You Need, NeurIPS 2017. arXiv:1706.03762, Section 3.2.
    """

    heads: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, tokens: Array, train: bool, mask: Array | None = None) -> Array:
        """[n, l, d] -> [n, l, d]; mask: [n, 1, 1, l] bools, the tokens that may be attended to; None: all."""
        n, length, width = tokens.shape
        apart = n, length, self.heads, width // self.heads
        query, key, value = (Dense(width, name=name)(tokens).reshape(apart) for name in ("query", "key", "value"))
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
    """Over the last axis, within a module; the variance as a mean of squares of what is centred already, since tokens
    of trained transformers have single values far from all others, whose squares would swallow the rest.
    """
    return nn.LayerNorm(epsilon=epsilon, use_fast_variance=False, name=name)
