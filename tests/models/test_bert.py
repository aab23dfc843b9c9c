import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models import Bert
from tests.helpers.tiny import forward, initialise

IDS = jnp.asarray([[7, 3, 9, 4], [7, 5, 4, 0]], jnp.int32)


def tiny(**fields):
    return Bert(classes=3, bottleneck=None, layers=2, width=8, heads=2, vocabulary=11, positions=6, **fields)


def features(model, ids):
    params, stats = initialise(model, jax.random.key(0), IDS)
    output = forward(model, params, stats, ids)[0]
    assert output.logits.shape == (len(ids), 3)
    return output.features


@pytest.mark.conformance
@pytest.mark.parametrize("pooling", ["pooler", "class", "mean"])
def test_padding_does_not_change_features(pooling):
    model = tiny(pooling=pooling)
    short, padded = features(model, IDS[1:, :3]), features(model, jnp.pad(IDS, ((0, 0), (0, 2))))
    np.testing.assert_allclose(padded[1], short[0], atol=1e-6)
    assert float(jnp.abs(padded[0] - padded[1]).max()) > 1e-3


def test_order_matters_and_a_text_of_padding_alone_is_finite():
    swapped = IDS[:, np.array([0, 2, 1, 3])]
    assert float(jnp.abs(features(tiny(), IDS) - features(tiny(), swapped))[0].max()) > 1e-3
    assert bool(jnp.isfinite(features(tiny(pooling="mean"), jnp.zeros((1, 4), jnp.int32))).all())


def test_dropout_acts_in_training_and_gradients_reach_every_parameter():
    params, stats = initialise(tiny(), jax.random.key(0), IDS)

    def total(params, key):
        return (forward(tiny(), params, stats, IDS, key)[0].logits ** 2).sum()

    value, gradients = jax.value_and_grad(total)(params, jax.random.key(0))
    assert float(value) != float(total(params, jax.random.key(1)))
    assert float(total(params, None)) == float(total(params, None))
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        name = jax.tree_util.keystr(path)
        if "['key']['bias']" not in name:  # adding a vector to all keys does not change the softmax
            assert float(jnp.abs(gradient).max()) > 0, name


def test_the_probe_input_has_valid_ids_and_padding():
    probe = tiny().clone(positions=16).probe_input()
    assert probe.dtype == np.int32
    assert probe.min() == 0
    assert probe.max() < 11
    assert len(set(probe[0])) > 8
    assert features(tiny().clone(positions=16), probe).shape == (1, 8)


@pytest.mark.parametrize("inputs", [jnp.zeros((2, 4)), jnp.zeros((2, 7), jnp.int32), jnp.zeros((2, 4, 1), jnp.int32)])
def test_inputs_that_are_not_ids_are_refused(inputs):
    with pytest.raises(ValueError, match="at most 6 tokens"):
        initialise(tiny(), jax.random.key(0), inputs)
