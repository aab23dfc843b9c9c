"""Methods with one fault each, as found in published suites or first drafts, and the check that catches each."""

import functools
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from da_bench.core.config import NonNegative, config_dataclass, snake_case
from da_bench.core.types import named_key
from da_bench.losses.adversarial import domain_cross_entropy, reverse_gradient
from da_bench.losses.moments import covariance, covariance_gap
from da_bench.methods import LossContext, Method, MethodState, Penalty
from da_bench.methods.schedules import sigmoid_ramp
from da_bench.models import Discriminator

PLANTED = {}


def caught_by(check):
    """Make the class a method outside the registry, and record the check that must fail for it."""

    def plant(cls):
        cls.name = snake_case(cls.__name__)
        method = config_dataclass(cls)
        PLANTED[cls.name] = method, check
        return method

    return plant


class Moments(Penalty):
    """A correct base class: the squared distance of the means."""

    def gap(self, source, target):
        return jnp.sum((source.mean(axis=0) - target.mean(axis=0)) ** 2)

    def loss(self, ctx):
        return self.gap(ctx.source.features, ctx.target.features)


class Adversarial(Penalty):
    """A correct base class: a small domain classifier."""

    rate = 10.0

    def init(self, key, spec):
        return MethodState(params=Discriminator((8,)).init_params(key, spec.output.features))

    def reverse(self, features, progress):
        return reverse_gradient(features, sigmoid_ramp(self.rate * progress))

    def loss(self, ctx):
        logits = [
            Discriminator((8,)).logits(ctx.params, self.reverse(x.features, ctx.progress))
            for x in (ctx.source, ctx.target)
        ]
        return domain_cross_entropy(*logits)


@caught_by("has_no_field_named_like_an_option")
class OwnSeeds(Moments):
    """`da-bench run` cannot have two options `--seeds`."""

    seeds: NonNegative = 1.0


@caught_by("lowers_what_it_says")
class NotReversed(Adversarial):
    """The encoder helps the domain classifier: the reversal has the wrong sign."""

    def reverse(self, features, progress):
        return reverse_gradient(features, -sigmoid_ramp(self.rate * progress))


@caught_by("lowers_what_it_says")
class NegativeSchedule(Adversarial):
    """gamma = -10 in the schedule: lambda falls from 0 to -1 (CuthbertCai/pytorch_DANN #10)."""

    rate = -10.0


@caught_by("term_moves_the_encoder")
class SoftmaxOfOne(Adversarial):
    """A softmax over one unit is always 1, and its gradient always 0 (skada's default domain classifier)."""

    def loss(self, ctx):
        logits = [
            Discriminator((8,)).logits(ctx.params, self.reverse(x.features, ctx.progress))
            for x in (ctx.source, ctx.target)
        ]
        return domain_cross_entropy(*(nn.softmax(each[:, None])[:, 0] for each in logits))


@caught_by("moves_every_parameter")
class FrozenDiscriminator(Adversarial):
    """The gradient of its own parameters is stopped."""

    def loss(self, ctx):
        return super().loss(ctx._replace(params=jax.lax.stop_gradient(ctx.params)))


class OwnStep(Method):
    """A correct base class: source cross-entropy in a step of its own."""

    def objective(self, trainer, state, batch, params, key):
        output, stats = trainer.forward(params["model"], state.stats, batch.source, key)
        return optax.softmax_cross_entropy_with_integer_labels(output.logits, batch.labels).mean(), stats

    def step(self, trainer, state, batch):
        key = named_key(jax.random.fold_in(state.key, state.step), "dropout")
        objective = functools.partial(self.objective, trainer, state, batch, key=key)
        (task, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats), {"loss": task}


@caught_by("weight_zero_is_source_only")
class NoTaskGradient(Penalty):
    """The encoder is trained by the alignment alone, not by the task (adapt's DeepCORAL)."""

    weight: NonNegative = 1.0

    def loss(self, ctx):
        return self.weight * covariance_gap(ctx.source.features, ctx.target.features)

    def step(self, trainer, state, batch):
        def objective(params):
            source, target, stats = trainer.forward_domains(params["model"], state.stats, batch, state.key)
            logits = trainer.model.apply(
                {"params": params["model"]}, jax.lax.stop_gradient(source.features), method="classify"
            )
            task = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()
            ctx = LossContext(source, target, batch.labels, {}, {}, state.step, trainer.num_steps, state.key)
            return task + self.loss(ctx), stats

        gradients, stats = jax.grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats), {}


@caught_by("weight_zero_is_source_only")
class WeightOnTheTask(Penalty):
    """The weight also multiplies the loss of the task."""

    weight: NonNegative = 1.0

    def loss(self, ctx):
        task = optax.softmax_cross_entropy_with_integer_labels(ctx.source.logits, ctx.labels).mean()
        return self.weight * covariance_gap(ctx.source.features, ctx.target.features) + (self.weight - 1) * task


LEAKED = []


@caught_by("target_labels_cannot_reach_it")
class LeakThroughAGlobal(OwnStep):
    """`skip` stores the target labels in a global, and the step trains on them."""

    def skip(self, task):
        LEAKED[:] = [np.asarray(task.target.train.labels)]

    def objective(self, trainer, state, batch, params, key):
        task, stats = super().objective(trainer, state, batch, params, key)
        output, _ = trainer.forward(params["model"], state.stats, batch.target, key)
        labels = jnp.asarray(LEAKED[0])[batch.rows] if LEAKED else jnp.zeros_like(batch.rows)
        return task + optax.softmax_cross_entropy_with_integer_labels(output.logits, labels).mean(), stats


@caught_by("target_labels_cannot_reach_it")
class LeakThroughItsMemory(OwnStep):
    """The memory holds the labels; a trace of a step does not show its values."""

    def skip(self, task):
        LEAKED[:] = [np.asarray(task.target.train.labels)]

    def init(self, key, spec):
        n = spec.num_targets
        return MethodState(memory={"labels": jnp.asarray(LEAKED[0][:n]) if LEAKED else jnp.zeros(n, jnp.int32)})


@caught_by("same_seed_same_bits")
class NumpyRandomness(Moments):
    """numpy draws once per trace: the same numbers in all steps, others in another process."""

    def loss(self, ctx):
        noise = np.random.default_rng().normal(size=ctx.source.features.shape).astype(ctx.source.features.dtype)
        return self.gap(ctx.source.features + noise, ctx.target.features)


@caught_by("uses_no_key_twice")
class OneKeyTwice(Moments):
    """Both domains get the same noise."""

    def loss(self, ctx):
        noisy = [x.features + jax.random.normal(ctx.key, x.features.shape) for x in (ctx.source, ctx.target)]
        return self.gap(*noisy)


@caught_by("term_does_not_grow_with_the_batch")
class ScatterMatrices(Penalty):
    """Covariances without 1 / (n - 1): the term grows with the square of the batch (AdaTime's CORAL)."""

    def loss(self, ctx):
        scatters = [covariance(x.features) * (x.features.shape[0] - 1) for x in (ctx.source, ctx.target)]
        return jnp.mean((scatters[0] - scatters[1]) ** 2)


@caught_by("order_within_a_batch_does_not_matter")
class HalfTheBatch(Moments):
    """A statistic of one shard: the means of the first half of the rows."""

    def loss(self, ctx):
        return self.gap(*(x.features[: (len(x.features) + 1) // 2] for x in (ctx.source, ctx.target)))


@caught_by("order_within_a_batch_does_not_matter")
class OrderOfTheTarget(Moments):
    """Later rows of the target count more."""

    def loss(self, ctx):
        weights = jnp.arange(1.0, len(ctx.target.features) + 1)[:, None]
        return self.gap(ctx.source.features, ctx.target.features * weights / weights.mean())


@caught_by("stands_degenerate_inputs")
class RootOfZero(Penalty):
    """Distances by a square root, whose gradient at 0 is not a number."""

    def loss(self, ctx):
        pairs = ctx.source.features[:, None] - ctx.target.features[None]
        return jnp.sqrt(jnp.sum(pairs**2, axis=2)).mean()


@caught_by("stands_degenerate_inputs")
class LogarithmOfZero(Penalty):
    """Entropy as p log p of a softmax that can be 0."""

    def loss(self, ctx):
        p = nn.softmax(ctx.target.logits)
        return -(p * jnp.log(p)).sum(axis=1).mean()


@caught_by("takes_any_batch")
class OneRowHasNoSpread(Penalty):
    """Standard deviations over n - 1, of batches of one row too."""

    def loss(self, ctx):
        spreads = [x.features.var(axis=0, ddof=1) for x in (ctx.source, ctx.target)]
        return jnp.sum((spreads[0] - spreads[1]) ** 2)


@caught_by("takes_any_batch")
class EveryClassIsThere(Penalty):
    """Class means as sums divided by counts, which can be 0."""

    def loss(self, ctx):
        members = jax.nn.one_hot(ctx.labels, ctx.source.logits.shape[1])
        means = members.T @ ctx.source.features / members.sum(axis=0)[:, None]
        return jnp.sum((means.mean(axis=0) - ctx.target.features.mean(axis=0)) ** 2)


@caught_by("calls_nothing_from_a_step")
class CallsPython(Moments):
    """The term is computed by numpy, on the host, in every step."""

    def loss(self, ctx):
        value = jax.pure_callback(
            lambda x: np.float32(np.mean(x)), jax.ShapeDtypeStruct((), jnp.float32), jax.lax.stop_gradient(ctx.progress)
        )
        return super().loss(ctx) + 0 * value


@caught_by("calls_nothing_from_a_step")
class OpensAFile(Moments):
    """Reads its settings from a file when it is traced."""

    def loss(self, ctx):
        scale = float(len(Path("/etc/hostname").read_text()) > 0) if Path("/etc/hostname").exists() else 1.0
        return scale * super().loss(ctx)


@caught_by("leaves_its_inputs_alone")
class WritesIntoTheBatch(OwnStep):
    """Normalises the batch in place."""

    def objective(self, trainer, state, batch, params, key):
        if isinstance(batch.source, np.ndarray):
            batch.source[...] -= batch.source.mean(axis=0)
        return super().objective(trainer, state, batch, params, key)


@caught_by("takes_a_step")
class MemoryThatGrows(Moments):
    """The memory grows, so its shape changes in every step."""

    def init(self, key, spec):
        return MethodState(memory={"bank": jnp.zeros((1, 2))})

    def step(self, trainer, state, batch):
        state, metrics = super().step(trainer, state, batch)
        return state._replace(memory={"bank": jnp.concatenate([state.memory["bank"], batch.target[:1]])}), metrics


@caught_by("takes_a_step")
class ForgetsToCount(OwnStep):
    """The step counter stays 0, so every step draws the same numbers."""

    def step(self, trainer, state, batch):
        after, metrics = super().step(trainer, state, batch)
        return after._replace(step=state.step), metrics


@caught_by("takes_a_step")
class VectorMetric(OwnStep):
    """A metric with a value per row."""

    def step(self, trainer, state, batch):
        after, _ = super().step(trainer, state, batch)
        return after, {"rows": jnp.zeros(len(batch.source))}


@caught_by("lowers_what_it_says")
class MaximisesEntropy(Penalty):
    """The sign of the entropy is wrong."""

    def loss(self, ctx):
        return jnp.sum(nn.softmax(ctx.target.logits) * nn.log_softmax(ctx.target.logits), axis=1).mean()

    def discrepancy(self, source, target):
        return -jnp.sum(nn.softmax(target.logits) * nn.log_softmax(target.logits), axis=1).mean()


@caught_by("gains_on_moved_domains")
class DoesNothing(Penalty):
    """The term has almost no effect."""

    def loss(self, ctx):
        return 1e-6 * jnp.sum(ctx.target.features.mean(axis=0) ** 2)


@caught_by("does_no_harm_on_equal_domains")
class PullsApart(Penalty):
    """Makes all target predictions uncertain, also where both domains are equal."""

    def loss(self, ctx):
        return 100.0 * (ctx.target.logits**2).mean()


@functools.partial(jax.custom_vjp, nondiff_argnums=())
def half_gradient(x):
    return jnp.sum(x**2)


half_gradient.defvjp(lambda x: (jnp.sum(x**2), x), lambda x, g: (g * x,))


@caught_by("gradient_is_that_of_finite_differences")
class HalfTheGradient(Penalty):
    """A hand-written gradient that lacks a factor 2."""

    def loss(self, ctx):
        return half_gradient(ctx.source.features.mean(axis=0) - ctx.target.features.mean(axis=0))


@caught_by("term_is_a_finite_scalar")
class TermOfEveryRow(Penalty):
    """Not averaged over the rows."""

    def loss(self, ctx):
        return jnp.sum(ctx.target.features**2, axis=1)


@caught_by("refuses_bad_fields")
class AnyWeight(Moments):
    """A negative weight is accepted and inverts the term."""

    weight: float = 1.0


@caught_by("documents_its_paper_and_fields")
class Undocumented(Moments):
    """The docstring explains no field and names no paper."""

    strength: NonNegative = 1.0


@caught_by("is_registered_and_survives_json")
class NotRegistered(Moments):
    """No @register."""


@caught_by("compiles_once_and_stays_on_the_device")
class CompilesAnew(Moments):
    """A float that is no array leaf, so each of its values is compiled again."""

    weight: float | None = 1.0

    def loss(self, ctx):
        return self.weight * super().loss(ctx)


@caught_by("seeds_and_devices_do_not_change_a_run")
class StatisticsOfOneShard(Moments):
    """The mean of the values that each device computes on its own rows, without a reduction between devices."""

    def gap(self, source, target):
        shards = jax.sharding.get_abstract_mesh().shape.get("data", 1)
        parts = zip(jnp.split(source, shards), jnp.split(target, shards), strict=True)
        return sum(Moments.gap(self, *part) for part in parts) / shards


@caught_by("predictions_belong_to_their_rows")
class DeploysSomethingElse(Moments):
    """The inference variables are not a function of the state."""

    def inference_variables(self, state):
        noise = np.random.default_rng().normal()
        return jax.tree.map(lambda leaf: leaf * (1 + noise), state.params["model"]), state.stats


@caught_by("learns_the_source")
class DeploysTheStart(OwnStep):
    """Predicts with the initial parameters."""

    def init(self, key, spec):
        return MethodState(memory=spec.network_params)

    def inference_variables(self, state):
        return state.memory, state.stats
