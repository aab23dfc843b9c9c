"""What every method promises, over everything registered: a new file is tested on arrival."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from da_bench import execute, train
from da_bench.experiment import Experiment
from da_bench.methods import METHODS, Method, Penalty, Shallow, load_plugins
from da_bench.settings import UserError, as_dict, leaf_names
from da_bench.types import Output

load_plugins()
DEEP = [name for name, cls in METHODS.items() if issubclass(cls, Method)]
PENALTIES = [name for name, cls in METHODS.items() if issubclass(cls, Penalty)]
WEIGHTED = [name for name in PENALTIES if "weight" in leaf_names(METHODS[name])]


def permuted_target(task):
    """The same task with every target label wrong or moved, in every split."""

    def shuffled(domain):
        return domain._replace(labels=(domain.labels + 1) % len(task.classes))

    return dataclasses.replace(task, target=type(task.target)(*map(shuffled, task.target)))


def predictions(method, task, seed=0):
    experiment = Experiment(
        task=task.name, method=method, model=tiny.model_for(method), training=tiny.TRAINING, seed=seed
    )
    if isinstance(method, Shallow):
        return execute.fit(experiment, task)[0]
    return tiny.made(experiment, task)


@functools.cache
def plain(name):
    """What several tests hold another run against."""
    return predictions(METHODS[name](), tiny.task())


@pytest.mark.parametrize("name", METHODS)
def test_target_labels_leave_every_prediction_bit_identical(name):
    honest, blind = plain(name), predictions(METHODS[name](), permuted_target(tiny.task()))
    assert honest.logits.keys() == blind.logits.keys()
    for probe in honest.logits:
        np.testing.assert_array_equal(honest.logits[probe], blind.logits[probe])


def test_the_leak_test_can_fail():
    """Trained on target labels, as the upper bound is, predictions do change when they are permuted."""
    bound = {
        "method": METHODS["source_only"](),
        "model": tiny.MODEL,
        "training": tiny.TRAINING,
        "labels_from": "target",
    }
    task = tiny.task()
    experiment = Experiment(task=task.name, **bound)
    honest, other = (tiny.made(experiment, one) for one in (task, permuted_target(task)))
    assert not np.array_equal(honest.logits["target_test"], other.logits["target_test"])


@pytest.mark.parametrize("name", DEEP)
def test_evaluation_does_not_depend_on_order(name):
    """A prediction belongs to its row, whatever stands around it: the WILDS rule against batch statistics."""
    task = tiny.task()
    turned = dataclasses.replace(
        task, target=task.target._replace(test=type(task.target.test)(*(part[::-1] for part in task.target.test)))
    )
    straight = plain(name).logits["target_test"]
    np.testing.assert_allclose(predictions(METHODS[name](), turned).logits["target_test"], straight[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("name", DEEP)
def test_same_seed_same_bits_other_seed_other_bits(name):
    first = plain(name).logits["target_test"]
    again, other = (predictions(METHODS[name](), tiny.task(), seed).logits["target_test"] for seed in (0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_the_source(name):
    task = tiny.task()
    method = METHODS[name]()
    apart = "domain_specific" if method.needs_batch_norm else "joint"  # else the target's averages predict the source
    training = train.Training(steps=60, evaluations=1, batch_size=15, learning_rate=0.3, batch_norm=apart)
    experiment = Experiment(task=task.name, method=method, model=tiny.model_for(method), training=training)
    deep = isinstance(experiment.method, Method)
    found = tiny.made(experiment, task, at_once=1) if deep else execute.fit(experiment, task)[0]
    logits = found.logits["source_test"][-1]
    assert (logits.argmax(axis=1) == task.source.test.labels).mean() > 0.9


@pytest.mark.parametrize("name", METHODS)
def test_docstring_names_its_paper(name):
    cls = METHODS[name]
    assert cls.__doc__
    if cls.adapts:
        assert "References:" in cls.__doc__
        assert "arXiv:" in cls.__doc__ or "doi:" in cls.__doc__


@pytest.mark.parametrize("name", METHODS)
def test_docstring_explains_every_field(name):
    cls = METHODS[name]
    for field in dataclasses.fields(cls):
        assert f"{field.name}:" in cls.__doc__


@pytest.mark.parametrize("name", METHODS)
def test_fields_survive_json(name):
    method = METHODS[name]()
    fields = json.loads(json.dumps(as_dict(method)))
    assert METHODS[fields.pop("name")](**fields) == method


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, cls in METHODS.items() for field in leaf_names(cls)]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "much"])
def test_wrong_values_are_refused_by_name(name, field, value):
    with pytest.raises(UserError, match=rf"{METHODS[name].__name__}\.{field}"):
        METHODS[name](**{field: value})


@pytest.mark.parametrize("name", METHODS)
def test_unknown_fields_are_refused(name):
    with pytest.raises(UserError, match="has no field 'wieght'"):
        METHODS[name](wieght=1.0)


def outputs(rng, rows=9, width=5, classes=3):
    """A source and a target output that differ in mean and spread."""
    source = Output(jnp.asarray(rng.normal(size=(rows, width))), jnp.asarray(rng.normal(size=(rows, classes))))
    target = jax.tree.map(lambda x: 1.5 * x[::-1] + 0.5, source)
    return source, target, jnp.arange(rows) % classes


def term(method, source, target, labels, progress=0.5):
    params = method.init(jax.random.key(0), source)
    return method.loss(params, source, target, labels, jnp.asarray(progress), jax.random.key(1))


@pytest.mark.parametrize("name", PENALTIES)
def test_the_term_is_a_finite_scalar(name, rng):
    value = term(METHODS[name](), *outputs(rng))
    assert value.shape == ()
    assert jnp.isfinite(value)


@pytest.mark.parametrize("name", [name for name in PENALTIES if METHODS[name].adapts])
def test_the_term_alone_moves_the_encoder(name, rng):
    """A default that leaves the encoder without a gradient is source only under another name."""
    source, target, labels = outputs(rng)
    gradients = jax.grad(lambda s, t: term(METHODS[name](), s, t, labels), argnums=(0, 1))(source, target)
    for side in gradients:
        assert max(float(jnp.abs(leaf).max()) for leaf in side) > 1e-6


@pytest.mark.parametrize("name", [name for name in PENALTIES if METHODS[name].adapts])
def test_every_own_parameter_gets_a_gradient(name, rng):
    source, target, labels = outputs(rng)
    method = METHODS[name]()
    params = method.init(jax.random.key(0), source)
    gradients = jax.grad(lambda p: method.loss(p, source, target, labels, jnp.asarray(0.5), jax.random.key(1)))(params)
    assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("name", PENALTIES)
def test_collapsed_features_give_finite_gradients(name):
    """Dead units or duplicate images: every row is the same, in both domains."""
    same = Output(jnp.ones((6, 5)), jnp.ones((6, 3)))
    labels = jnp.zeros(6, int)
    value, gradients = jax.value_and_grad(lambda s: term(METHODS[name](), s, same, labels))(same)
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(leaf).all() for leaf in gradients)


@pytest.mark.parametrize("name", WEIGHTED)
def test_weight_zero_is_source_only(name):
    task = tiny.task()
    plain = predictions(METHODS["source_only"](), task).logits["target_test"]
    weightless = predictions(METHODS[name](weight=0.0), task).logits["target_test"]
    np.testing.assert_allclose(weightless, plain, atol=1e-5)


@pytest.mark.parametrize("name", DEEP)
def test_no_key_is_used_twice(name):
    """JAX's own checker, eager and traced."""
    task = tiny.task()
    data = jax.tree.map(
        jnp.asarray, train.gather(task.source.train, task.target.train.inputs, [task.target.test.inputs])
    )
    training = train.Training(steps=2, evaluations=1, batch_size=8)
    with jax.debug_key_reuse(True):
        jax.jit(train.run, static_argnums=3)(
            jax.random.key(0), METHODS[name](), training, tiny.model_for(METHODS[name]).clone(classes=3), data
        )
