"""SHOT and NRC: losses against loops over rows in float64, updated parameters, and ignored inputs."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.config import UserError
from da_bench.core.types import Batch, Output
from da_bench.losses.clusters import centroids, nearest_centroid, nearest_neighbours
from da_bench.losses.entropy import information_maximisation, marginal_divergence
from da_bench.methods import Nrc, Shot, Trainer
from da_bench.methods._memory_bank import MemoryBank, bank_entries, empty_bank, update_bank
from da_bench.methods.shot import class_centroids
from tests.helpers import tiny
from tests.helpers.method_inputs import method_spec

ROWS = np.array([4, 1, 6])


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def bank_and_batch(rng, rows=8, width=4, classes=3):
    """A bank with two unseen rows, and a batch of three other rows."""
    seen = np.ones(rows, bool)
    seen[[0, 5]] = False
    bank = MemoryBank(
        *map(jnp.asarray, (rng.normal(size=(rows, width)), rng.dirichlet(np.ones(classes), size=rows), seen))
    )
    target = Output(jnp.asarray(rng.normal(size=(3, width))), jnp.asarray(rng.normal(size=(3, classes))))
    return bank, target, update_bank(bank, ROWS, entries_of(target))


def entries_of(target):
    return bank_entries(target.features, jax.nn.softmax(target.logits))


def cosine(x, y):
    return x @ y / np.sqrt((x @ x) * (y @ y))


def test_information_maximisation_by_hand(rng, x64):
    logits = rng.normal(size=(5, 3))
    p = softmax(logits)
    mean = p.mean(axis=0)
    divergence = sum(m * np.log(m / (1 / 3)) for m in mean)
    assert marginal_divergence(jnp.asarray(logits)) == pytest.approx(divergence, rel=1e-10)
    entropy = -np.mean([sum(q * np.log(q) for q in row) for row in p])
    assert information_maximisation(jnp.asarray(logits)) == pytest.approx(entropy + divergence, rel=1e-10)


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_information_maximisation_stays_finite(scale, rng):
    logits = jnp.asarray(scale * rng.normal(size=(4, 3)), jnp.float32)
    value, gradient = jax.value_and_grad(information_maximisation)(logits)
    assert np.isfinite(value)
    assert np.isfinite(np.asarray(gradient)).all()


def shots_labels(bank, classes=3):
    """Section 3.3 with loops: two rounds of centroids over the seen rows."""
    features, p, seen = map(np.asarray, bank)
    known = np.flatnonzero(seen)
    weights = p.copy()
    for _ in range(2):
        centres = {
            k: sum(weights[i, k] * features[i] for i in known) for k in range(classes) if weights[known, k].sum()
        }
        labels = [max(centres, key=lambda k, f=f: cosine(f, centres[k])) for f in features]
        weights = np.eye(classes)[labels]
    return np.array(labels)


def test_shots_pseudo_labels_are_the_papers(rng, x64):
    for _ in range(20):
        *_, bank = bank_and_batch(rng)
        labels = nearest_centroid(bank.features[ROWS], *class_centroids(bank))
        np.testing.assert_array_equal(labels, shots_labels(bank)[ROWS])


def test_a_class_without_members_takes_no_row(rng, x64):
    """Its centroid would be 0, and the cosine 0 is larger than every negative cosine."""
    centres, present = centroids(jnp.asarray([[-1.0, 0.1], [-1.0, -0.1]]), jnp.asarray([[1.0, 0.0], [1.0, 0.0]]))
    assert present.tolist() == [True, False]
    assert nearest_centroid(jnp.asarray([[1.0, 0.0], [0.0, 0.0]]), centres, present).tolist() == [0, 0]


@pytest.mark.parametrize("variant", ["shot", "im"])
def test_shots_loss_and_that_labels_carry_no_gradient(variant, rng, x64):
    bank, target, new = bank_and_batch(rng)
    method = Shot(weight=1.5, beta=0.4, variant=variant)
    memory = {"bank": bank, "centroids": class_centroids(bank)} if variant == "shot" else {}
    loss, new_memory = method.loss(target, memory, ROWS)
    p, labels = softmax(np.asarray(target.logits)), shots_labels(new)[ROWS]
    expected = float(information_maximisation(target.logits))
    if variant == "shot":
        expected -= 0.4 * np.log(p[np.arange(3), labels]).mean()
        assert equal_bits(
            method.merge_memory(memory, new_memory, ROWS), {"bank": new, "centroids": class_centroids(new)}
        )
    else:
        assert new_memory == method.merge_memory(memory, new_memory, ROWS) == {}
    assert loss == pytest.approx(1.5 * expected, rel=1e-10)
    of_features = jax.grad(lambda f: method.loss(Output(f, target.logits), memory, ROWS)[0])(target.features)
    assert np.abs(of_features).max() == 0


@pytest.mark.parametrize("due", [True, False])
def test_shots_centroids_change_only_when_due(due, rng, x64):
    """The previous centroids give the labels; if there are none yet, new ones are computed."""
    bank, target, new = bank_and_batch(rng)
    method, before = Shot(beta=0.4), (-class_centroids(new)[0], class_centroids(new)[1])
    loss, new_memory = method.loss(target, {"bank": bank, "centroids": before}, ROWS, due)
    centres = class_centroids(new) if due else before
    assert equal_bits(new_memory["centroids"], centres)
    centre_features, exists = map(np.asarray, centres)
    p = softmax(np.asarray(target.logits))
    labels = [
        max(np.flatnonzero(exists), key=lambda k, f=f: cosine(f, centre_features[k]))
        for f in np.asarray(target.features)
    ]
    expected = float(information_maximisation(target.logits)) - 0.4 * np.log(p[np.arange(3), labels]).mean()
    assert loss == pytest.approx(expected, rel=1e-10)
    of_none = method.init(jax.random.key(0), method_spec(target, 8)).memory
    first = method.loss(target, of_none, ROWS, due)[1]["centroids"]
    assert equal_bits(first, class_centroids(update_bank(of_none["bank"], ROWS, entries_of(target))))


def test_shot_renews_its_centroids_every_renew_steps(rng):
    method = Shot(pretrain=0.0, renew=2)
    trainer, state, batch = initial_run(rng, method)
    centres = [state.memory["centroids"]]
    for _ in range(4):
        state, _ = tiny.step(method, trainer, state, batch)
        centres.append(state.memory["centroids"])
    assert [equal_bits(*pair) for pair in itertools.pairwise(centres)] == [False, True, False, True]


def nearest_by_sorting(features, seen, i, count):
    others = [j for j in range(len(features)) if j != i and seen[j]]
    return sorted(others, key=lambda j: -cosine(features[i], features[j]))[:count]


def nrcs_loss(method, logits, bank):
    """Eq. 3, 6, 7 and the two regularisers, with loops."""
    features, s, seen = map(np.asarray, bank)
    p = softmax(logits)
    total = 0.0
    for own, i in zip(p, ROWS, strict=True):
        total -= s[i] @ own
        for k in nearest_by_sorting(features, seen, i, method.neighbours):
            extended = nearest_by_sorting(features, seen, k, method.extended)
            total -= (1.0 if i in extended else method.r) * (s[k] @ own)
            total -= sum(method.r * (s[m] @ own) for m in extended)
    mean = p.mean(axis=0)
    return method.weight * (total / len(p) + np.sum(mean * np.log(3 * mean)))


@pytest.mark.parametrize(("near", "extended"), [(3, 2), (1, 1), (7, 6)])
def test_nrcs_loss_is_the_papers(near, extended, rng, x64):
    """7 neighbours are more than the seen rows."""
    _, target, bank = bank_and_batch(rng)
    method = Nrc(weight=1.5, neighbours=near, extended=extended, r=0.2)
    loss = method.loss(target, bank, ROWS)
    assert loss == pytest.approx(nrcs_loss(method, np.asarray(target.logits), bank), rel=1e-10)
    gradient = jax.grad(lambda z: method.loss(Output(target.features, z), bank, ROWS))(target.logits)
    nudge = np.zeros((3, 3))
    nudge[1, 2] = 1e-6
    up, down = (nrcs_loss(method, np.asarray(target.logits) + sign * nudge, bank) for sign in (1, -1))
    assert gradient[1, 2] == pytest.approx((up - down) / 2e-6, rel=1e-5)


def test_too_few_rows_for_the_neighbours_are_refused(rng):
    features = jnp.ones((3, 2))
    with pytest.raises(UserError, match="3 neighbours of a target row need more than 3 target rows, not 3"):
        nearest_neighbours(features, jnp.arange(3), features, jnp.ones(3, bool), 3)


def initial_run(rng, method):
    settings = train.Training(steps=4, evaluations=1, learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    batch = Batch(*map(jnp.asarray, (rng.normal(size=(7, 2)), np.arange(7) % 3, rng.normal(size=(5, 2)), np.arange(5))))
    trainer = Trainer(tiny.MODEL.clone(classes=3), settings.make_optimizer(), 4)
    return trainer, train.init_state(jax.random.key(0), method, trainer, batch.source, 9), batch


def equal_bits(tree, other_tree):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other_tree), strict=True))


@pytest.mark.parametrize(("method", "head_moves"), [(Shot(), False), (Nrc(), True)], ids=["shot", "nrc"])
def test_first_the_source_alone_then_the_target_alone(method, head_moves, rng, x64):
    trainer, state, batch = initial_run(rng, method)
    other_target, other_source = batch._replace(target=batch.target + 1), batch._replace(source=batch.source + 1)
    state, _ = tiny.step(method, trainer, state, batch)
    assert equal_bits(
        tiny.step(method, trainer, state, batch)[0].params, tiny.step(method, trainer, state, other_target)[0].params
    )
    state, _ = tiny.step(method, trainer, state, batch)
    assert equal_bits(state.memory["bank"], empty_bank(Output(jnp.zeros((1, 6)), jnp.zeros((1, 3))), 9))
    after, _ = tiny.step(method, trainer, state, batch)
    assert equal_bits(after.params, tiny.step(method, trainer, state, other_source)[0].params)
    assert equal_bits(after.params["model"]["head"], state.params["model"]["head"]) != head_moves
    assert not equal_bits(after.params["model"]["layers_0"], state.params["model"]["layers_0"])
    assert after.memory["bank"].seen.tolist() == [True] * 5 + [False] * 4


@pytest.mark.parametrize("method", [Shot(restart=True), Nrc(restart=True)], ids=["shot", "nrc"])
def test_the_bank_is_not_copied_from_step_to_step(method, rng):
    """Two copies are allowed: one at the start of the steps, and one where the whole bank is read."""
    trainer, _, batch = initial_run(rng, method)
    state = train.init_state(jax.random.key(0), method, trainer, batch.source, 999)
    steps = jax.jit(lambda s: jax.lax.scan(lambda s, _: (method.step(trainer, s, batch)[0], None), s, length=3)[0])
    program = steps.lower(state).compile().as_text()
    assert "f32[999,6]" in program
    assert len(re.findall(r"= f32\[999,6\]\S* copy\(", program)) <= 2


def test_the_sources_labels_are_smoothed(rng, x64):
    """Labels are (1 - a) of the label + a / c of every class."""
    method = Shot(smoothing=0.3)
    trainer, state, batch = initial_run(rng, method)
    _, metrics = method.step(trainer, state, batch)
    output, _ = trainer.forward(state.params["model"], state.stats, batch.source)
    q = 0.7 * np.eye(3)[np.asarray(batch.labels)] + 0.1
    assert metrics["task"] == pytest.approx(-np.sum(q * np.log(softmax(np.asarray(output.logits)))) / 7, rel=1e-10)


@pytest.mark.conformance
@pytest.mark.parametrize("method", [Shot(), Nrc(neighbours=1, extended=1)], ids=["shot", "nrc"])
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_one_row_and_extreme_logits_stay_finite(method, scale, rng):
    target = Output(jnp.zeros((1, 4)), jnp.asarray(scale * rng.normal(size=(1, 3)), jnp.float32))
    memory, rows = method.init(jax.random.key(0), method_spec(target, 4)).memory, jnp.asarray([2])

    def loss(target):
        if isinstance(method, Shot):
            return method.loss(target, memory, rows)[0]
        return method.loss(target, update_bank(memory["bank"], rows, entries_of(target)), rows)

    value, gradients = jax.value_and_grad(loss)(target)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
