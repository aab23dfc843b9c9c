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

Gap = Callable[[Array, Array, Array], Array]  # two classifiers' probabilities [n, c] and a key -> scalar


@register(
    expected_failures={
        "weight_zero_is_source_only": "two classifiers learn the source, and the network from both",
    }
)
class Mcd(Method):
    """Two classifiers that learn to disagree about the target, and an encoder that learns to make them agree.

    Each step is the paper's three, on one draw. A: encoder and both classifiers on the sum of their cross-entropies on
    the source. B: the classifiers alone on that sum less weight * the mean |p_1 - p_2| on the target. C, `num_k` times:
    the encoder alone on weight * that mean.

    weight: of the disagreement, in B and in C; the paper has none, so 1. num_k: how often C is made, the paper's n.

    The first classifier is the network's own, and the one that predicts; the second is linear, as that is. The
    optimizer is one for all three (the authors' code has one for the encoder, one for the classifiers), its memory of
    what a step does not move stays as it was, and the learning rate goes on once a step. A passes the source alone and
    C the target alone, as in the authors' code, so that `batch_norm` = "joint" concerns B.

    References: Saito, Watanabe, Ushiku and Harada, Maximum Classifier Discrepancy for Unsupervised Domain Adaptation,
    CVPR 2018. arXiv:1712.02560, Section 3.3, Eq. 2-6.
    """

    weight: NonNegative = 1.0
    num_k: Count = 4

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The second classifier's parameters."""
        return MethodState(params=second_head(key, spec.output))

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Steps A, B and C."""
        return three_steps(
            trainer, state, batch, lambda p, q, _: self.weight * classifier_discrepancy(p, q), self.num_k
        )


def second_head(key: Array, output: Output) -> Tree:
    """Parameters of a second classifier for outputs shaped like `output`."""
    return Head((), output.logits.shape[1]).init_params(key, output.features)


def three_steps(trainer: Trainer, state: TrainState, batch: Batch, gap: Gap, num_k: int) -> tuple[TrainState, Metrics]:
    """A, B and `num_k` times C; gap: how far the classifiers disagree about target rows, times its weight."""
    key = trainer.step_key(state)
    learned, task = _learn_source(trainer, state, batch, named_key(key, "a"))
    heads, disagreement = _disagree(trainer, learned, batch, gap, named_key(key, "b"))
    keys = jax.random.split(named_key(key, "c"), num_k)
    last = jax.lax.fori_loop(0, num_k, lambda k, now: _agree(trainer, now, batch, gap, keys[k]), heads)
    # A's update is the one that the schedule counts
    return last, trainer.metrics(task - disagreement, task, disagreement)


def _learn_source(trainer: Trainer, state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Array]:
    def objective(params: Tree) -> tuple[Array, Tree]:
        source, stats = trainer.forward(params["model"], state.stats, batch.source, key)
        return _task(params, source, batch.labels), stats

    (task, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    return trainer.apply_gradients(state, gradients, stats), task


def _disagree(trainer: Trainer, state: TrainState, batch: Batch, gap: Gap, key: Array) -> tuple[TrainState, Array]:
    def objective(params: Tree) -> tuple[Array, tuple[Tree, Array, Output]]:
        source, target, stats = trainer.forward_domains(params["model"], state.stats, batch, named_key(key, "dropout"))
        disagreement = gap(*_probabilities(params, target), named_key(key, "gap"))
        return _task(params, source, batch.labels) - disagreement, (stats, disagreement, target)

    gradients, (stats, disagreement, target) = jax.grad(objective, has_aux=True)(state.params)
    mask = {"model": trainer.head_mask(state.params["model"], target.features), "method": True}
    return trainer.inner_update(state, gradients, mask)._replace(stats=stats), disagreement


def _agree(trainer: Trainer, state: TrainState, batch: Batch, gap: Gap, key: Array) -> TrainState:
    def objective(params: Tree) -> tuple[Array, tuple[Tree, Output]]:
        dropout = named_key(key, "dropout")
        target, stats = trainer.forward(params["model"], state.stats, batch.target, dropout, "target")
        return gap(*_probabilities(params, target), named_key(key, "gap")), (stats, target)

    gradients, (stats, target) = jax.grad(objective, has_aux=True)(state.params)
    mask = {"model": trainer.encoder_mask(state.params["model"], target.features), "method": False}
    return trainer.inner_update(state, gradients, mask)._replace(stats=stats)


def _task(params: Tree, source: Output, labels: Array) -> Array:
    both = source.logits, _second(params, source)
    first, second = (optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean() for logits in both)
    return first + second


def _second(params: Tree, output: Output) -> Array:
    return Head((), output.logits.shape[1]).logits(params["method"], output.features)


def _probabilities(params: Tree, target: Output) -> tuple[Array, Array]:
    return jax.nn.softmax(target.logits), jax.nn.softmax(_second(params, target))
