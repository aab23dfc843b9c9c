"""Wasserstein distance guided representation learning."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Count, NonNegative, Positive
from da_bench.core.types import Array, Batch, TrainState, Tree, named_key
from da_bench.losses.adversarial import gradient_penalty
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer
from da_bench.models import Discriminator


@register
class Wdgrl(Method):
    """Wasserstein distance guided representation learning (WDGRL): a critic estimates the distance of the features.

    The gradient penalty is taken at the features of both domains and at random points between pairs of them, as many as
    the smaller domain has rows.

    Args:
        weight: lambda, >= 0; the authors' code has 0.01 for digits, 0.1 and 1 elsewhere.
        critic_steps: n >= 1, updates of the critic on each batch before the network's, by an Adam of its own.
        critic_rate: learning rate of the critic, alpha_1 > 0.
        penalty: gamma of the critic's gradient penalty, >= 0.
        widths: hidden layers of the critic.

    References:
        Shen, Qu, Zhang and Yu, Wasserstein Distance Guided Representation Learning for Domain Adaptation, AAAI 2018.
        arXiv:1707.01217, Algorithm 1.
    """

    weight: NonNegative = 0.1
    critic_steps: Count = 5
    critic_rate: Positive = 1e-4
    penalty: NonNegative = 10.0
    widths: tuple[int, ...] = (100,)

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the critic and the state of its optimizer."""
        critic = Discriminator(self.widths).init_params(spec.constants_key, spec.output.features)
        return MethodState(memory={"critic": critic, "optimizer": self._optimizer().init(critic)})

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Update the critic `critic_steps` times, then the network on source cross-entropy + weight * distance."""
        key = trainer.step_key(state)

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Tree, Metrics]]:
            dropout = named_key(key, "dropout")
            source, target, stats = trainer.forward_domains(params["model"], state.stats, batch, dropout)
            task = trainer.cross_entropy(source, batch.labels)
            features = source.features, target.features
            memory = self.update_critic(state.memory, *jax.lax.stop_gradient(features), named_key(key, "critic"))
            distance = self.distance(memory["critic"], *features)
            term = self.weight * distance
            metrics = {**trainer.metrics(task + term, task, term), "distance": distance}
            return task + term, (stats, memory, metrics)

        gradients, (stats, memory, metrics) = jax.grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats)._replace(memory=memory), metrics

    def distance(self, critic: Tree, source: Array, target: Array) -> Array:
        """Mean of the critic over source features [n, d] minus its mean over target features [m, d].

        For an optimal critic this is the Wasserstein distance.
        """
        value = self._critic(critic)
        return value(source).mean() - value(target).mean()

    def update_critic(self, memory: Tree, source: Array, target: Array, key: Array) -> Tree:
        """Return the memory after `critic_steps` updates of the critic on features [n, d] and [m, d]."""

        def update(memory: Tree, key: Array) -> tuple[Tree, None]:
            gradients = jax.grad(self.critic_loss)(memory["critic"], source, target, key)
            updates, optimizer = self._optimizer().update(gradients, memory["optimizer"])
            return {"critic": optax.apply_updates(memory["critic"], updates), "optimizer": optimizer}, None

        updated, _ = jax.lax.scan(update, memory, jax.random.split(key, self.critic_steps))
        return updated

    def critic_loss(self, critic: Tree, source: Array, target: Array, key: Array) -> Array:
        """penalty * gradient penalty - distance."""
        pairs = min(len(source), len(target))
        share = jax.random.uniform(key, (pairs, 1), source.dtype)
        between = target[:pairs] + share * (source[:pairs] - target[:pairs])
        points = jnp.concatenate([source, target, between])
        return self.penalty * gradient_penalty(self._critic(critic), points) - self.distance(critic, source, target)

    def _critic(self, params: Tree) -> Callable[[Array], Array]:
        return functools.partial(Discriminator(self.widths).logits, params)

    def _optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.critic_rate)
