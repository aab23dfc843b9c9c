"""Domain-adversarial training of neural networks."""

import functools
from typing import ClassVar, Literal

from da_bench.core.config import NonNegative, field
from da_bench.core.types import Array, Output, Tree
from da_bench.losses.adversarial import Schedule, domain_adversarial_loss, scheduled
from da_bench.methods.base import Penalty, register
from da_bench.methods.search_space import REVERSED_WEIGHT
from da_bench.models import Discriminator


@register
class Dann(Penalty):
    """A domain classifier on the features, whose reversed gradient makes the features indistinguishable.

    weight: lambda at full strength. schedule: "ramp" multiplies it by 2 / (1 + exp(-10 p)) - 1 (Section 5.2.2),
    "constant" does not (the shallow networks of Section 5.1); the suites' others: `losses.adversarial.scheduled`.
    widths: hidden layers of the domain classifier; () is logistic. scaled: what lambda acts on: "encoder" alone (the
    convolutional experiments: a layer that reverses the gradient), or "both", the domain classifier's own gradient too
    (Algorithm 1). domain_loss: "sum" of the two domains' means (1/n and 1/n', Section 4), or their "mean", half of it
    (the authors' Caffe network and most suites). start: the domain classifier's last layer at the start, "random", or
    "zero" (Algorithm 1): at small rates one that starts at random leads the features one way for long, past their
    meeting point, and leaves them further apart than they were.

    References: Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand and Lempitsky, Domain-Adversarial
    Training of Neural Networks, JMLR 17(59), 2016. arXiv:1505.07818, Sections 4 and 5.2.2, Algorithm 1.
    """

    checked_with: ClassVar = {"widths": (16,)}
    expected_failed_checks: ClassVar = {
        "gradient_is_that_of_finite_differences": "the gradient is reversed on its way to the features"
    }

    searched: ClassVar = {"weight": REVERSED_WEIGHT}

    weight: NonNegative = 1.0
    schedule: Schedule = "ramp"
    widths: tuple[int, ...] = (1024, 1024)
    scaled: Literal["encoder", "both"] = "encoder"
    domain_loss: Literal["sum", "mean"] = "sum"
    start: Literal["random", "zero"] = field(default="random", since="0.1")

    def init(self, key: Array, output: Output) -> Tree:
        """The domain classifier's parameters."""
        return Discriminator(self.widths, self.start == "zero").init_params(key, output.features)

    def loss(self, params: Tree, source: Output, target: Output, labels: Array, progress: Array, key: Array) -> Array:
        """The domain classifier's loss, with the gradient reversed on its way to the features."""
        strength = scheduled(self.weight, self.schedule, progress)
        inside, outside = (strength, 1.0) if self.scaled == "encoder" else (1.0, strength)
        judge = functools.partial(Discriminator(self.widths).logits, params)
        scale = outside if self.domain_loss == "sum" else outside / 2
        return scale * domain_adversarial_loss(judge, source.features, target.features, inside)
