"""AdaMatch."""

import jax
import jax.numpy as jnp

from da_bench.core.config import Fraction, NonNegative
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.entropy import conditional_entropy
from da_bench.losses.pseudo_labels import align_distribution, confident_cross_entropy
from da_bench.methods._augment import Perturbation, perturb
from da_bench.methods._ema import ema_update
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.schedules import cosine_rise
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "order_within_a_batch_does_not_matter": "every row has noise of its own, by its place in the batch",
        "weight_zero_is_source_only": "the source too is augmented and interpolated",
        "lowers_what_it_says": "it seeks confident and stable predictions, not similar features",
    }
)
class AdaMatch(Method):
    """AdaMatch: FixMatch with logit interpolation, distribution alignment and a relative confidence threshold.

    - Random logit interpolation: each source logit lies, by a uniform random share of its own, between the logits of a
      pass over both domains and those of a pass over the source alone. They differ by batch normalisation and dropout.
    - Distribution alignment: the pseudo-label of a target row is the most probable class of its prediction times (mean
      source prediction / mean target prediction).
    - Relative threshold: a row counts if its aligned confidence is at least `threshold` times the mean confidence on
      the source.

    Source rows are learned both unperturbed and perturbed (the mean of both). Target rows are labelled unperturbed and
    learned perturbed.

    Args:
        weight: of the target cross-entropy at full strength, >= 0; 1 as in the paper. It is multiplied by
            mu = 1/2 - cos(min(pi, 2 pi p)) / 2 at progress p, which is 1 from the middle of the run.
        threshold: tau in [0, 1], relative to the mean confidence on the source; 0.9 as in the paper.
        decay: of the moving average of the network, which predicts, in [0, 1].
        perturbation: the strong augmentation, "noise" or, for images, "cutout". The weak one is the view's.
        strength: >= 0; of the noise in standard deviations of the inputs, of cutout as a share of the image's side.

    Deviations: both mean predictions are of the batch, where the authors' code keeps running averages. The average of
    the network forgets the random start, see `_ema.ema_update`. The paper's unlabelled batch is 3 times the labelled
    one; here both sizes are those of the run.

    References:
        Berthelot, Roelofs, Sohn, Carlini and Kurakin, AdaMatch: A Unified Approach to Semi-Supervised Learning and
        Domain Adaptation, ICLR 2022. arXiv:2106.04732, Section 3.
    """

    weight: NonNegative = 1.0
    threshold: Fraction = 0.9
    decay: Fraction = 0.999
    perturbation: Perturbation = "noise"
    strength: NonNegative = 0.5

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Start the moving average at the network's own parameters."""
        return MethodState(memory={"average": spec.network_params})

    def inference_variables(self, state: TrainState) -> tuple[Tree, Tree]:
        """Predict with the moving average."""
        return state.memory["average"], state.stats

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take one optimizer step, then update the moving average."""
        key = trainer.step_key(state)
        weight = self.weight * cosine_rise(state.step, trainer.num_steps)
        augmented = self._with_perturbed_rows(key, batch)

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            dropout = named_key(key, "dropout")
            joint, target, stats = trainer.forward_domains(params["model"], state.stats, augmented, dropout)
            alone, _ = trainer.forward(params["model"], state.stats, augmented.source, named_key(key, "alone"))
            share = jax.random.uniform(named_key(key, "share"), joint.logits.shape, joint.logits.dtype)
            source = joint._replace(logits=alone.logits + share * (joint.logits - alone.logits))
            task = trainer.cross_entropy(source, augmented.labels)
            term = weight * self.loss(source.logits[: len(batch.source)], *jnp.split(target.logits, 2))
            return task + term, (stats, trainer.metrics(task + term, task, term))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        after = trainer.apply_gradients(state, gradients, stats)
        average = ema_update(state.memory["average"], after.params["model"], state.step, self.decay)
        return after._replace(memory={"average": average}), metrics

    def _with_perturbed_rows(self, key: Array, batch: Batch) -> Batch:
        """All rows unperturbed, followed by all rows perturbed."""

        def doubled(name: str, inputs: Array) -> Array:
            return jnp.concatenate([inputs, perturb(named_key(key, name), inputs, self.perturbation, self.strength)])

        source, target = doubled("source", batch.source), doubled("target", batch.target)
        return Batch(source, jnp.tile(batch.labels, 2), target, jnp.tile(batch.rows, 2))

    def loss(self, source: Array, weak: Array, strong: Array) -> Array:
        """Cross-entropy of confident target rows with their aligned pseudo-labels.

        Args:
            source: [n, c] logits of unperturbed source rows.
            weak: [m, c] logits of unperturbed target rows.
            strong: [m, c] logits of the same rows perturbed.
        """
        p, q = (jax.nn.softmax(jax.lax.stop_gradient(logits)) for logits in (source, weak))
        return confident_cross_entropy(strong, align_distribution(q, p), self.threshold * p.max(axis=1).mean())

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Mean entropy of the target predictions."""
        return conditional_entropy(target.logits)
