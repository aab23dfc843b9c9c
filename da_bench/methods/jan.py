"""Joint adaptation networks."""

from typing import Literal

import jax
import jax.numpy as jnp

from da_bench.core.config import NonNegative
from da_bench.core.types import Array, Output
from da_bench.losses.distances import squared_distances
from da_bench.losses.mmd import Estimator, gaussian_kernel, mmd, multi_gaussian_kernel
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.schedules import Schedule, scheduled

# of the authors' code: bandwidths on the features as multiples of the centre, and the bandwidth on the predictions
FEATURE_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
PREDICTION_BANDWIDTH = 1.68


@register(expected_failures={"gradient_is_that_of_finite_differences": "bandwidths carry no gradient"})
class Jan(Penalty):
    """Joint adaptation network (JAN): joint MMD, with the product of a kernel on features and one on predictions.

    Bandwidths carry no gradient; the softmax of the predictions does.

    Args:
        weight: lambda at full strength, >= 0.
        schedule: of lambda: "ramp", the paper's 2 / (1 + exp(-10 p)) - 1; "constant" (TLlib); or another of
            `methods.schedules`.
        estimator: of the joint MMD: "unbiased" or "biased", in quadratic time; "linear", in linear time, as in the
            paper; "cyclic", TLlib's variant of it.
        kernels: "official", as in the authors' code: on the features the sum of five Gaussians around the mean squared
            distance, on the softmax one Gaussian of bandwidth 1.68. "median", as in the paper: one Gaussian each, with
            the median squared distance as its bandwidth, which goes to 0 as predictions become certain.

    References:
        Long, Zhu, Wang and Jordan, Deep Transfer Learning with Joint Adaptation Networks, ICML 2017. arXiv:1605.06636.
    """

    weight: NonNegative = 1.0
    schedule: Schedule = "ramp"
    estimator: Estimator = "unbiased"
    kernels: Literal["official", "median"] = "official"

    def loss(self, ctx: LossContext) -> Array:
        """weight * joint MMD^2."""
        return scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps) * self.joint_mmd(ctx.source, ctx.target)

    def joint_mmd(self, source: Output, target: Output) -> Array:
        """Squared joint MMD between source [n, ...] and target [m, ...]."""
        features = jnp.concatenate([source.features, target.features])
        predictions = jax.nn.softmax(jnp.concatenate([source.logits, target.logits]))
        return mmd(self._kernel(features, predictions), source.features.shape[0], self.estimator)

    def _kernel(self, features: Array, predictions: Array) -> Array:
        if self.kernels == "median":
            return gaussian_kernel(features, "median", (1.0,)) * gaussian_kernel(predictions, "median", (1.0,))
        distances = squared_distances(predictions, predictions)
        on_predictions = multi_gaussian_kernel(distances, jnp.asarray(PREDICTION_BANDWIDTH), (1.0,))
        return len(FEATURE_FACTORS) * gaussian_kernel(features, "mean", FEATURE_FACTORS) * on_predictions
