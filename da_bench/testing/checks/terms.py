"""Checks of the term that a penalty adds to the source cross-entropy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.types import Array, Output, Tree
from da_bench.methods import LossContext, MethodSpec, MethodState
from da_bench.models import initialise
from da_bench.testing.base import CheckSkipped, check, require
from da_bench.testing.method_under_test import MethodUnderTest, compiled
from da_bench.testing.problem import CLASSES, NETWORK


class TermInputs(NamedTuple):
    """Outputs [b, ...] and [b', ...] of source and target, and labels [b] of the source."""

    source: Output
    target: Output
    labels: Array


@check("penalty")
def term_is_a_finite_scalar(under_test: MethodUnderTest) -> None:
    """The added term is one finite number."""
    value = _term(under_test, _shifted_outputs())
    require(value.shape == (), f"the term has shape {value.shape}")
    require(bool(jnp.isfinite(value)), f"the term is {value}")


@check("penalty")
def term_moves_the_encoder(under_test: MethodUnderTest) -> None:
    """The added term alone has a gradient on the network's outputs."""
    if not under_test.cls.metadata.adapts:
        raise CheckSkipped("it does not adapt")
    source, target, labels = _shifted_outputs()
    gradients = compiled(jax.grad(lambda pair: _term(under_test, TermInputs(pair[0], pair[1], labels))))(
        (source, target)
    )
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradients))
    require(largest > 1e-7, f"the largest gradient of the term on features and logits is {largest:.1e}")


@check("penalty")
def gradient_is_that_of_finite_differences(under_test: MethodUnderTest) -> None:
    """In double precision, the term's gradient on its parameters and outputs equals a difference quotient."""
    with jax.enable_x64(True):
        source, target, labels = _shifted_outputs(np.float64)
        own = jax.tree.map(lambda leaf: leaf.astype(float), _init(under_test, source))

        def term(point: Tree) -> Array:
            return _term_of(under_test, own._replace(params=point[0]), TermInputs(point[1], point[2], labels))

        point, epsilon = (own.params, source, target), 1e-6
        value_and_gradient = compiled(jax.value_and_grad(term))
        gradient, direction = value_and_gradient(point)[1], _random_direction(point)
        values = [
            value_and_gradient(jax.tree.map(lambda x, d, h=h: x + h * d, point, direction))[0]
            for h in (epsilon, -epsilon)
        ]
        quotient = float(values[0] - values[1]) / (2 * epsilon)
        leaves = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
        exact = float(sum(jnp.vdot(g, d) for g, d in leaves))
    require(
        abs(exact - quotient) <= 1e-5 * max(1.0, abs(exact), abs(quotient)),
        f"along a random direction the gradient is {exact:.6g}, differences give {quotient:.6g}",
    )


@check("penalty")
def term_does_not_grow_with_the_batch(under_test: MethodUnderTest) -> None:
    """For batches drawn from the same two domains, the size of the term does not depend on the number of rows."""
    term = compiled(lambda inputs: _term(under_test, inputs))
    few, many = (np.mean([float(term(_random_outputs(rows, seed))) for seed in range(8)]) for rows in (24, 96))
    if max(abs(few), abs(many)) < 1e-8:
        raise CheckSkipped("the term is 0 here")
    require(0.4 < many / few < 2.5, f"the mean term is {few:.3g} for 24 rows a domain and {many:.3g} for 96")


def _random_direction(tree: Tree) -> Tree:
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), tree)


def _shifted_outputs(dtype: type = np.float32, rows: int = 9) -> TermInputs:
    """Outputs whose domains differ in mean and spread."""
    rng = np.random.default_rng(0)
    features, logits = rng.normal(size=(rows, 5)), rng.normal(size=(rows, CLASSES))
    source = Output(*(jnp.asarray(part.astype(dtype)) for part in (features, logits)))
    return TermInputs(source, jax.tree.map(lambda x: 1.5 * x[::-1] + 0.5, source), jnp.arange(rows) % CLASSES)


def _random_outputs(rows: int, seed: int) -> TermInputs:
    """Draw clusters, one per class, with larger distances in the target."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % CLASSES
    features = [(2 * np.eye(CLASSES, 5)[labels] + 0.5 * rng.normal(size=(rows, 5))) * by + by for by in (1.0, 2.0)]
    source, target = (Output(*(jnp.asarray(x, jnp.float32) for x in (f, f[:, :CLASSES] - 1))) for f in features)
    return TermInputs(source, target, jnp.asarray(labels))


def _term(under_test: MethodUnderTest, inputs: TermInputs) -> Array:
    return _term_of(under_test, _init(under_test, inputs.source), inputs)


def _init(under_test: MethodUnderTest, output: Output) -> MethodState:
    shapes = jax.eval_shape(lambda: initialise(NETWORK, jax.random.key(0), jnp.zeros((8, 2)))[0])
    network = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    spec = MethodSpec(output, len(output.features), network, jax.random.key(2))
    own: MethodState = under_test.method.init(jax.random.key(0), spec)
    return own


def _term_of(under_test: MethodUnderTest, own: MethodState, inputs: TermInputs) -> Array:
    """The term in the middle of a run."""
    ctx = LossContext(
        source=inputs.source,
        target=inputs.target,
        labels=inputs.labels,
        params=own.params,
        constants=own.constants,
        step=jnp.asarray(500),
        num_steps=1000,
        key=jax.random.key(1),
    )
    term: Array = under_test.method.loss(ctx)
    return term
