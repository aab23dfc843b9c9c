"""FixMatch, with the target domain as its unlabelled set."""

import jax
import jax.numpy as jnp

from da_bench.core.config import Fraction, NonNegative
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.entropy import conditional_entropy
from da_bench.losses.pseudo_labels import confident_cross_entropy
from da_bench.methods._augment import Perturbation, perturb
from da_bench.methods.base import Method, register
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "order_within_a_batch_does_not_matter": "every row has noise of its own, by its place in the batch",
        "weight_zero_is_source_only": "the target's rows take part in the pass, augmented",
        "gains_on_moved_domains": "its pseudo-labels are those of source-only training, and some are wrong here",
    }
)
class FixMatch(Method):
    """FixMatch: learn confident predictions of target rows on perturbed versions of the same rows.

    The loss is the source cross-entropy + weight * the mean over target rows of the cross-entropy between the
    prediction of the perturbed row and the most probable class of the unperturbed row, or 0 if that is not confident.

    Args:
        weight: lambda_u, >= 0; 1 as in the paper.
        threshold: tau in [0, 1], the confidence from which a row counts; 0.95 as in the paper.
        perturbation: the strong augmentation, "noise" or, for images, "cutout". The weak one is the view's.
        strength: >= 0; of the noise in standard deviations of the inputs, of cutout as a share of the image's side.

    Deviations: the paper's strong augmentations (RandAugment, CTAugment) are for photographs. Its unlabelled batch is
    mu = 7 times the labelled one; here both sizes are those of the run.

    References:
        Sohn, Berthelot, Li, Zhang, Carlini, Cubuk, Kurakin, Zhang and Raffel, FixMatch: Simplifying Semi-Supervised
        Learning with Consistency and Confidence, NeurIPS 2020. arXiv:2001.07685, Eq. 3-4. For domain adaptation as in
        AdaMatch, arXiv:2106.04732.
    """

    weight: NonNegative = 1.0
    threshold: Fraction = 0.95
    perturbation: Perturbation = "noise"
    strength: NonNegative = 0.5

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take one optimizer step on the source cross-entropy + the term of the perturbed target."""
        key, m = trainer.step_key(state), len(batch.target)
        strong = perturb(named_key(key, "strong"), batch.target, self.perturbation, self.strength)
        doubled = batch._replace(target=jnp.concatenate([batch.target, strong]))

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            dropout = named_key(key, "dropout")
            source, target, stats = trainer.forward_domains(params["model"], state.stats, doubled, dropout)
            task = trainer.cross_entropy(source, batch.labels)
            term = self.loss(target.logits[:m], target.logits[m:])
            return task + term, (stats, trainer.metrics(task + term, task, term))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats), metrics

    def loss(self, weak: Array, strong: Array) -> Array:
        """weight * the confident cross-entropy, from logits [m, c] of the rows unperturbed and perturbed."""
        return self.weight * confident_cross_entropy(strong, jax.nn.softmax(weak), self.threshold)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Mean entropy of the target predictions."""
        return conditional_entropy(target.logits)
