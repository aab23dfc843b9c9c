"""Maximum classifier discrepancy."""

from collections.abc import Callable

import jax
import optax

from da_bench.core.config import Count, NonNegative
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.disagreement import classifier_discrepancy
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer
from da_bench.models import Head

Disagreement = Callable[[Array, Array, Array], Array]  # probabilities [n, c] of both classifiers and a key -> scalar


@register(
    expected_failures={
        "weight_zero_is_source_only": "two classifiers learn the source, and the network learns from both",
    }
)
class Mcd(Method):
    """Maximum classifier discrepancy (MCD): two classifiers disagree on the target; the encoder makes them agree.

    Each step makes the paper's three updates on one batch:

    - A: encoder and classifiers minimise the sum of both cross-entropies on the source;
    - B: the classifiers alone minimise that sum - weight * mean |p_1 - p_2| on the target;
    - C, `num_k` times: the encoder alone minimises weight * mean |p_1 - p_2|.

    The first classifier is the network's own head, which predicts. The second is linear, as that is.

    Args:
        weight: of the disagreement in B and C, >= 0. The paper has none, hence 1.
        num_k: number of updates C per step, the paper's n, >= 1.

    Deviations: one optimizer makes all updates (the authors' code has one for the encoder and one for the classifiers).
    Optimizer state of parameters that an update excludes stays unchanged, and the learning rate advances once per step.
    As in the authors' code, A passes the source alone and C the target alone, so `Training.batch_norm` = "joint" only
    concerns B.

    References:
        Saito, Watanabe, Ushiku and Harada, Maximum Classifier Discrepancy for Unsupervised Domain Adaptation, CVPR
        2018. arXiv:1712.02560, Section 3.3, Eq. 2-6.
    """

    weight: NonNegative = 1.0
    num_k: Count = 4

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the second classifier."""
        return MethodState(params=init_second_head(key, spec.output))

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Make the updates A, B and C."""

        def disagreement(first: Array, second: Array, key: Array) -> Array:
            return self.weight * classifier_discrepancy(first, second)

        return three_updates(trainer, state, batch, disagreement, self.num_k)


def init_second_head(key: Array, output: Output) -> Tree:
    """Parameters of a second linear classifier, for outputs of these shapes."""
    return Head((), output.logits.shape[1]).init_params(key, output.features)


def three_updates(
    trainer: Trainer, state: TrainState, batch: Batch, disagreement: Disagreement, num_k: int
) -> tuple[TrainState, Metrics]:
    """Make the updates A and B once and C `num_k` times.

    Args:
        trainer: see `Method.step`.
        state: before the step.
        batch: source and target rows.
        disagreement: of the classifiers on target rows, times its weight.
        num_k: number of updates C.
    """
    key = trainer.step_key(state)
    learned, task = _update_on_source(trainer, state, batch, named_key(key, "a"))
    heads, alignment = _maximise_disagreement(trainer, learned, batch, disagreement, named_key(key, "b"))
    keys = jax.random.split(named_key(key, "c"), num_k)
    after = jax.lax.fori_loop(
        0, num_k, lambda k, state: _minimise_disagreement(trainer, state, batch, disagreement, keys[k]), heads
    )
    return after, trainer.metrics(task - alignment, task, alignment)


def _update_on_source(trainer: Trainer, state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Array]:
    """Update A, the one that the learning-rate schedule counts."""

    def objective(params: Tree) -> tuple[Array, Tree]:
        source, stats = trainer.forward(params["model"], state.stats, batch.source, key)
        return _sum_of_cross_entropies(params, source, batch.labels), stats

    (task, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    return trainer.apply_gradients(state, gradients, stats), task


def _maximise_disagreement(
    trainer: Trainer, state: TrainState, batch: Batch, disagreement: Disagreement, key: Array
) -> tuple[TrainState, Array]:
    """Update B, of the two classifiers."""

    def objective(params: Tree) -> tuple[Array, tuple[Tree, Array, Output]]:
        dropout = named_key(key, "dropout")
        source, target, stats = trainer.forward_domains(params["model"], state.stats, batch, dropout)
        gap = disagreement(*_both_predictions(params, target), named_key(key, "gap"))
        return _sum_of_cross_entropies(params, source, batch.labels) - gap, (stats, gap, target)

    gradients, (stats, gap, target) = jax.grad(objective, has_aux=True)(state.params)
    mask = {"model": trainer.head_mask(state.params["model"], target.features), "method": True}
    return trainer.inner_update(state, gradients, mask)._replace(stats=stats), gap


def _minimise_disagreement(
    trainer: Trainer, state: TrainState, batch: Batch, disagreement: Disagreement, key: Array
) -> TrainState:
    """Update C, of the encoder."""

    def objective(params: Tree) -> tuple[Array, tuple[Tree, Output]]:
        dropout = named_key(key, "dropout")
        target, stats = trainer.forward(params["model"], state.stats, batch.target, dropout, "target")
        return disagreement(*_both_predictions(params, target), named_key(key, "gap")), (stats, target)

    gradients, (stats, target) = jax.grad(objective, has_aux=True)(state.params)
    mask = {"model": trainer.encoder_mask(state.params["model"], target.features), "method": False}
    return trainer.inner_update(state, gradients, mask)._replace(stats=stats)


def _sum_of_cross_entropies(params: Tree, source: Output, labels: Array) -> Array:
    logits = source.logits, _second_logits(params, source)
    first, second = (optax.softmax_cross_entropy_with_integer_labels(each, labels).mean() for each in logits)
    return first + second


def _second_logits(params: Tree, output: Output) -> Array:
    return Head((), output.logits.shape[1]).logits(params["method"], output.features)


def _both_predictions(params: Tree, target: Output) -> tuple[Array, Array]:
    return jax.nn.softmax(target.logits), jax.nn.softmax(_second_logits(params, target))
