"""Terms stay finite for batches that occur in training: one row, unequal domains, huge logits, dead features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.core.types import Output
from da_bench.methods import METHODS, Penalty
from tests.helpers.method_inputs import loss_context, method_spec

PENALTIES = [name for name, cls in METHODS.items() if issubclass(cls, Penalty)]


def value_and_gradients(name, source, target, labels):
    method = METHODS[name]()
    own = method.init(jax.random.key(0), method_spec(source))

    def term(params, source, target):
        return method.loss(loss_context(source, target, labels, params, constants=own.constants, key=2))

    return jax.jit(jax.value_and_grad(term, (0, 1, 2)))(own.params, source, target)


def random_outputs(rng, rows, features=1.0, logits=1.0):
    widths = {"features": features, "logits": logits}
    return [
        Output(*(scale * jnp.asarray(rng.normal(size=(n, 4)), jnp.float32) for scale in widths.values())) for n in rows
    ]


def finite(tree):
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("scales", [(1.0, 1e4), (0.0, 0.0), (100.0, 100.0)])
def test_huge_logits_and_dead_features(name, scales, rng):
    pair = random_outputs(rng, (6, 6), *scales)
    assert finite(value_and_gradients(name, *pair, jnp.arange(6) % 3))


@pytest.mark.conformance
@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("rows", [(1, 1), (1, 5), (3, 2)])
def test_few_and_unequal_rows_give_finite_terms_or_a_user_error(name, rows, rng):
    try:
        value, reason = value_and_gradients(name, *random_outputs(rng, rows), jnp.zeros(rows[0], int)), ""
    except UserError as error:
        value, reason = (), str(error)
    assert finite(value)
    assert not reason or (min(rows) == 1 and "2 rows of each domain" in reason)


@pytest.mark.parametrize("name", PENALTIES)
def test_every_row_the_same_within_a_domain(name, rng):
    pair = [jax.tree.map(lambda x: jnp.tile(x[:1], (6, 1)), output) for output in random_outputs(rng, (6, 6))]
    assert finite(value_and_gradients(name, *pair, jnp.arange(6) % 3))


@pytest.mark.parametrize("name", PENALTIES)
def test_the_term_does_not_depend_on_the_order_of_target_rows(name, rng):
    """This holds for the defaults; a linear-time estimate depends on the order."""
    source, target = random_outputs(rng, (6, 7))
    order = np.random.default_rng(1).permutation(7)
    permuted = jax.tree.map(lambda x: x[order], target)
    labels = jnp.arange(6) % 3
    value, gradients = value_and_gradients(name, source, target, labels)
    permuted_value, permuted_gradients = value_and_gradients(name, source, permuted, labels)
    assert permuted_value == pytest.approx(float(value), rel=1e-4, abs=1e-6)
    for gradient, permuted_gradient in zip(
        jax.tree.leaves(gradients[2]), jax.tree.leaves(permuted_gradients[2]), strict=True
    ):
        np.testing.assert_allclose(
            permuted_gradient, gradient[order], rtol=1e-3, atol=1e-5 * max(1.0, float(jnp.abs(gradient).max()))
        )
