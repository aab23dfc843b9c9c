"""Domain-adversarial training of neural networks."""

import functools
from typing import Literal

from da_bench.core.config import NonNegative, field
from da_bench.core.types import Array
from da_bench.losses.adversarial import domain_adversarial_loss
from da_bench.methods.base import LossContext, MethodSpec, MethodState, Penalty, register
from da_bench.methods.schedules import Schedule, scheduled
from da_bench.methods.search_space import REVERSED_WEIGHT
from da_bench.models import Discriminator


@register(
    check_overrides={"widths": (16,)},
    expected_failures={
        "gradient_is_that_of_finite_differences": "the gradient is reversed on its way to the features",
    },
    search={"weight": REVERSED_WEIGHT},
)
class Dann(Penalty):
    """Domain-adversarial neural network (DANN): a domain classifier whose reversed gradient aligns the features.

    Args:
        weight: lambda at full strength, >= 0.
        schedule: of lambda: "ramp", 2 / (1 + exp(-10 p)) - 1 (Section 5.2.2); "constant" (the shallow networks of
            Section 5.1); or another of `methods.schedules`.
        widths: hidden layers of the domain classifier; () is logistic regression.
        scaled: what lambda multiplies: the gradient that reaches the "encoder" (the convolutional experiments: a
            gradient reversal layer), or "both", the domain classifier's own gradient too (Algorithm 1).
        domain_loss: "sum" of the two domains' mean losses (1/n and 1/n', Section 4), or their "mean", half of it (the
            authors' Caffe network and most suites).
        start: last layer of the domain classifier at the start: "random", or "zero" (Algorithm 1). At small learning
            rates a random start can push the features in one direction past the point where they meet, and leave them
            further apart than before.

    References:
        Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand and Lempitsky, Domain-Adversarial Training
        of Neural Networks, JMLR 17(59), 2016. arXiv:1505.07818, Sections 4 and 5.2.2, Algorithm 1.
    """

    weight: NonNegative = 1.0
    schedule: Schedule = "ramp"
    widths: tuple[int, ...] = (1024, 1024)
    scaled: Literal["encoder", "both"] = "encoder"
    domain_loss: Literal["sum", "mean"] = "sum"
    start: Literal["random", "zero"] = field(default="random", since="0.1")

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the domain classifier."""
        discriminator = Discriminator(self.widths, self.start == "zero")
        return MethodState(params=discriminator.init_params(key, spec.output.features))

    def loss(self, ctx: LossContext) -> Array:
        """Loss of the domain classifier, with the gradient reversed on its way to the features."""
        strength = scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps)
        reversal, scale = (strength, 1.0) if self.scaled == "encoder" else (1.0, strength)
        if self.domain_loss == "mean":
            scale = scale / 2
        discriminator = functools.partial(Discriminator(self.widths).logits, ctx.params)
        return scale * domain_adversarial_loss(discriminator, ctx.source.features, ctx.target.features, reversal)
