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
    expected_failures={"gradient_is_that_of_finite_differences": "the gradient is reversed on its way to the features"},
    search={"weight": REVERSED_WEIGHT},
)
class Dann(Penalty):
    """A domain classifier on the features, whose reversed gradient makes the features indistinguishable.

    weight: lambda at full strength. schedule: "ramp" multiplies it by 2 / (1 + exp(-10 p)) - 1 (Section 5.2.2),
    "constant" does not (the shallow networks of Section 5.1); the suites' others: `methods.schedules`.
    widths: hidden layers of the domain classifier; () is logistic. scaled: what lambda acts on: "encoder" alone (the
    convolutional experiments: a layer that reverses the gradient), or "both", the domain classifier's own gradient too
    (Algorithm 1). domain_loss: "sum" of the two domains' means (1/n and 1/n', Section 4), or their "mean", half of it
    (the authors' Caffe network and most suites). start: the domain classifier's last layer at the start, "random", or
    "zero" (Algorithm 1): at small rates one that starts at random leads the features one way for long, past their
    meeting point, and leaves them further apart than they were.

    References: Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand and Lempitsky, Domain-Adversarial
    Training of Neural Networks, JMLR 17(59), 2016. arXiv:1505.07818, Sections 4 and 5.2.2, Algorithm 1.
    """

    weight: NonNegative = 1.0
    schedule: Schedule = "ramp"
    widths: tuple[int, ...] = (1024, 1024)
    scaled: Literal["encoder", "both"] = "encoder"
    domain_loss: Literal["sum", "mean"] = "sum"
    start: Literal["random", "zero"] = field(default="random", since="0.1")

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The domain classifier's parameters."""
        discriminator = Discriminator(self.widths, self.start == "zero")
        return MethodState(params=discriminator.init_params(key, spec.output.features))

    def loss(self, ctx: LossContext) -> Array:
        """The domain classifier's loss, with the gradient reversed on its way to the features."""
        strength = scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps)
        inside, outside = (strength, 1.0) if self.scaled == "encoder" else (1.0, strength)
        judge = functools.partial(Discriminator(self.widths).logits, ctx.params)
        scale = outside if self.domain_loss == "sum" else outside / 2
        return scale * domain_adversarial_loss(judge, ctx.source.features, ctx.target.features, inside)
