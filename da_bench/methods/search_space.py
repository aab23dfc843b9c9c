"""Search spaces of hyper-parameters, and the published ones."""

import abc
import dataclasses
import math

from da_bench.core.config import UserError, round_to_digits

DIGITS = 4  # significant digits of a drawn value, so that a value in a table can be typed again


@dataclasses.dataclass(frozen=True)
class Space(abc.ABC):
    """A distribution of the values of one float field.

    Args:
        low: the lowest value.
        high: the highest value.

    Raises:
        UserError: `low` is not below `high`, or one of them is not finite.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UserError(f"{self}: low and high must be finite, and low below high")

    @abc.abstractmethod
    def quantile(self, share: float) -> float:
        """The value below which `share` in [0, 1] of all draws lie, rounded to `DIGITS` digits."""

    def contains(self, value: float) -> bool:
        """Whether the value is within the bounds."""
        return self.low <= value <= self.high

    def round(self, value: float) -> float:
        """Round to `DIGITS` digits, within the bounds."""
        return min(max(round_to_digits(value, DIGITS), self.low), self.high)


@dataclasses.dataclass(frozen=True)
class Uniform(Space):
    """A uniform distribution."""

    def quantile(self, share: float) -> float:
        """low + share (high - low)."""
        return self.round(self.low + share * (self.high - self.low))


@dataclasses.dataclass(frozen=True)
class LogUniform(Space):
    """A log-uniform distribution.

    Raises:
        UserError: as `Space`, or `low` is not positive.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise UserError(f"{self}: a logarithm needs low > 0; give a positive number, or use Uniform")

    def quantile(self, share: float) -> float:
        """low (high / low)^share."""
        return self.round(self.low * (self.high / self.low) ** share)


# Published search spaces.
# Reality check: Musgrave, Belongie and Lim, Unsupervised Domain Adaptation: A Reality Check, 2021. arXiv:2111.15672;
# its code, powerful-benchmarker, searches each method by 100 random trials in at most 5 fields.
# skada-bench: Lalou et al., SKADA-Bench, 2024. arXiv:2407.11676.

# Reality check
LEARNING_RATE = LogUniform(1e-5, 0.1)
# weight of a reversed gradient: from 1e-3 (skada-bench's grid for DANN; Ganin et al., JMLR 2016, have 1e-2 to 1) to 10
# (the reality check's highest)
REVERSED_WEIGHT = LogUniform(1e-3, 10.0)
# weight of a distance whose scale depends on the features: skada-bench's grid for Deep CORAL
DISTANCE_WEIGHT = LogUniform(1e-5, 1e3)
# weight of a loss that spans orders of magnitude, such as the spectral and the norm terms: reality check
SMALL_WEIGHT = LogUniform(1e-6, 1.0)
# weight of any other loss: reality check
LOSS_WEIGHT = Uniform(0.0, 1.0)


def loss_weight(default: float) -> Space:
    """The published space of loss weights, extended to the default if that is larger (not published)."""
    return Uniform(0.0, default) if default > LOSS_WEIGHT.high else LOSS_WEIGHT
