"""The trainer: how batch normalisation treats the two domains, from the running averages after one pass."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.types import Batch, Output
from da_bench.methods import SourceOnly, Trainer
from da_bench.models import Network

KEY = jax.random.key(0)


class Plain(Network):
    """Batch normalisation of the inputs, whose running averages are the last batch's."""

    def setup(self):
        self.norm = nn.BatchNorm(momentum=0.0, use_bias=False, use_scale=False)
        self.head = nn.Dense(self.classes)

    def __call__(self, inputs, train):
        features = self.norm(inputs, use_running_average=not train)
        return Output(features, self.classify(features))

    def classify(self, features):
        return self.head(features)


def one_pass(rng, batch_norm):
    """Batch, trainer, parameters, source and target output, and statistics of one pass in training mode."""
    source, target = rng.normal(size=(6, 3)), 3 * rng.normal(size=(4, 3)) + 5
    batch = Batch(*map(jnp.asarray, (source, np.zeros(6, int), target, np.arange(4))))
    trainer = Trainer(Plain(classes=2), train.Training().make_optimizer(), 1, batch_norm=batch_norm)
    state = train.init_state(KEY, SourceOnly(), trainer, batch.source, 4)
    return (
        batch,
        trainer,
        state.params["model"],
        *trainer.forward_domains(state.params["model"], state.stats, batch, KEY),
    )


def standardised(x, like):
    x, like = np.asarray(x), np.asarray(like)
    return (x - like.mean(axis=0)) / np.sqrt(like.var(axis=0) + 1e-5)


def test_joint_normalises_both_domains_by_all_rows(rng, x64):
    batch, _, _, source, target, stats = one_pass(rng, "joint")
    rows = np.concatenate([batch.source, batch.target])
    np.testing.assert_allclose(source.features, standardised(batch.source, rows), rtol=1e-9)
    np.testing.assert_allclose(target.features, standardised(batch.target, rows), rtol=1e-9)
    np.testing.assert_allclose(stats["batch_stats"]["norm"]["mean"], rows.mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize("batch_norm", ["split", "domain_specific"])
def test_split_and_domain_specific_normalise_each_domain_by_its_own_rows(batch_norm, rng, x64):
    batch, _, _, source, target, _ = one_pass(rng, batch_norm)
    np.testing.assert_allclose(source.features, standardised(batch.source, batch.source), rtol=1e-9)
    np.testing.assert_allclose(target.features, standardised(batch.target, batch.target), rtol=1e-9)


def test_domain_specific_predicts_each_domain_with_its_own_averages(rng, x64):
    batch, trainer, params, _, _, stats = one_pass(rng, "domain_specific")
    request = train.PredictRequest(jnp.concatenate([batch.source, batch.target]), jnp.arange(10), jnp.arange(10) >= 6)
    features = train.predict(trainer, (params, stats), request).features
    np.testing.assert_allclose(features[:6], standardised(batch.source, batch.source), rtol=1e-9)
    np.testing.assert_allclose(features[6:], standardised(batch.target, batch.target), rtol=1e-9)


def test_source_only_predicts_both_domains_with_the_averages_of_the_source(rng, x64):
    batch, trainer, *_ = one_pass(rng, "domain_specific")
    state = train.init_state(KEY, SourceOnly(), trainer, batch.source, 4)
    state, _ = SourceOnly().step(trainer, state, batch)
    request = train.PredictRequest(batch.target, jnp.arange(4), jnp.ones(4, bool))
    features = train.predict(trainer, SourceOnly().inference_variables(state), request).features
    np.testing.assert_allclose(features, standardised(batch.target, batch.source), rtol=1e-9)
