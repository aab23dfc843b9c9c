"""FixMatch, from an unlabelled set to a target domain."""

import jax
import jax.numpy as jnp

from da_bench.core.config import Fraction, NonNegative
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.entropy import conditional_entropy
from da_bench.losses.pseudo_labels import confident_cross_entropy
from da_bench.methods._augment import Perturbation, perturbed
from da_bench.methods.base import Method, register
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "order_within_a_batch_does_not_matter": "every row has noise of its own, by its place in the batch",
        "weight_zero_is_source_only": "the target's rows take part in the pass, augmented",
        "gains_on_moved_domains": "its pseudo-labels are those of source only, and here some are wrong",
    }
)
class FixMatch(Method):
    """What is predicted with confidence of a target row is to be predicted of it when it is disturbed.

    Minimised is the source cross-entropy + weight * the mean over target rows of the cross-entropy between the
    disturbed row's prediction and the likeliest class of the row as it is, 0 where that is not confident.

    weight: lambda_u. threshold: tau, least confidence for a row to count. perturbation: what disturbs, "noise" or, of
    images, "cutout"; the weak augmentation is the view's. strength: of the noise in standard deviations of the
    inputs, of cutout as a share of the side. The paper's strong augmentations (RandAugment, CTAugment) are of
    photographs, and its unlabelled batch is mu = 7 times the labelled one; here it is the run's.

    References: Sohn, Berthelot, Li, Zhang, Carlini, Cubuk, Kurakin, Zhang and Raffel, FixMatch: Simplifying
    Semi-Supervised Learning with Consistency and Confidence, NeurIPS 2020. arXiv:2001.07685, Eq. 3-4; for domain
    adaptation as in AdaMatch, arXiv:2106.04732.
    """

    weight: NonNegative = 1.0
    threshold: Fraction = 0.95
    perturbation: Perturbation = "noise"
    strength: NonNegative = 0.5

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One optimizer step on the source cross-entropy + weight * that of the disturbed target."""
        key, m = trainer.step_key(state), len(batch.target)
        strong = perturbed(named_key(key, "strong"), batch.target, self.perturbation, self.strength)
        seen = batch._replace(target=jnp.concatenate([batch.target, strong]))

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            source, target, stats = trainer.forward_domains(
                params["model"], state.stats, seen, named_key(key, "dropout")
            )
            task = trainer.cross_entropy(source, batch.labels)
            gap = self.loss(target.logits[:m], target.logits[m:])
            return task + gap, (stats, trainer.metrics(task + gap, task, gap))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats), metrics

    def loss(self, weak: Array, strong: Array) -> Array:
        """weight * the confident cross-entropy, of logits [n, c] of rows as they are and disturbed."""
        return self.weight * confident_cross_entropy(strong, jax.nn.softmax(weak), self.threshold)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """The mean entropy of the target's predictions."""
        return conditional_entropy(target.logits)
