"""Self-training: losses against loops over rows in float64, stopped gradients, and the network that predicts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.config import UserError
from da_bench.core.types import Batch, Output, named_key
from da_bench.losses.pseudo_labels import align_distribution, confident_cross_entropy
from da_bench.methods import AdaMatch, Atdoc, FixMatch, MeanTeacher, PseudoLabel, Trainer
from da_bench.methods._augment import perturb
from da_bench.methods._ema import ema_update
from da_bench.methods._memory_bank import MemoryBank, empty_bank
from da_bench.methods.atdoc import sharpen
from tests.helpers import tiny
from tests.helpers.method_inputs import loss_context

KEY = jax.random.key(0)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def confident(logits, q, threshold):
    """FixMatch's Eq. 4, row by row."""
    p = softmax(logits)
    return sum(-np.log(p[i, q[i].argmax()]) if q[i].max() >= threshold else 0.0 for i in range(len(p))) / len(p)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_confident_cross_entropy_row_by_row(threshold, rng, x64):
    strong, weak = rng.normal(size=(6, 3)), 2 * rng.normal(size=(6, 3))
    loss = confident_cross_entropy(jnp.asarray(strong), jnp.asarray(softmax(weak)), threshold)
    assert loss == pytest.approx(confident(strong, softmax(weak), threshold), rel=1e-10)
    counted = (softmax(weak).max(axis=1) >= threshold).sum()
    assert {0.0: counted == 6, 0.5: 0 < counted < 6, 1.0: counted == 0}[threshold]


def test_pseudo_labels_carry_no_gradient(rng, x64):
    weak, strong = (jnp.asarray(rng.normal(size=(6, 3))) for _ in range(2))
    of_weak, of_strong = jax.grad(FixMatch(threshold=0.0).loss, argnums=(0, 1))(weak, strong)
    assert np.abs(of_weak).max() == 0
    expected = (softmax(np.asarray(strong)) - np.eye(3)[np.asarray(weak).argmax(axis=1)]) / 6
    np.testing.assert_allclose(of_strong, expected, rtol=1e-9)


@pytest.mark.parametrize(("progress", "share"), [(0.05, 0.0), (0.2, 0.0), (0.3, 0.25), (0.6, 1.0), (0.9, 1.0)])
def test_pseudo_label_rises_linearly(progress, share, rng, x64):
    logits = rng.normal(size=(6, 3))
    outputs = [Output(jnp.zeros((6, 2)), jnp.asarray(z)) for z in (rng.normal(size=(6, 3)), logits)]
    method = PseudoLabel(weight=2.0, begin=0.2, end=0.6, threshold=0.5)
    loss = method.loss(loss_context(*outputs, progress=progress))
    assert loss == pytest.approx(2 * share * confident(logits, softmax(logits), 0.5), rel=1e-10)


def test_pseudo_label_can_switch_on_at_one_step(rng):
    outputs = [Output(jnp.zeros((6, 2)), jnp.asarray(rng.normal(size=(6, 3)))) for _ in range(2)]
    early, late = (PseudoLabel(begin=0.5, end=0.5).loss(loss_context(*outputs, progress=p)) for p in (0.5, 0.51))
    assert early == 0 < late


def test_mean_teachers_loss_row_by_row(rng, x64):
    student, teacher = rng.normal(size=(6, 3)), 2 * rng.normal(size=(6, 3))
    p, q = softmax(student), softmax(teacher)
    counted = [i for i in range(6) if q[i].max() > 0.6]
    assert 0 < len(counted) < 6
    consistency = sum(sum((p[i, k] - q[i, k]) ** 2 for k in range(3)) / 3 for i in counted) / 6
    mean = p.mean(axis=0)
    balance = sum(-(1 / 3) * np.log(m) - (2 / 3) * np.log(1 - m) for m in mean) * len(counted) / 6
    method = MeanTeacher(weight=2.0, threshold=0.6, balance=0.05)
    assert method.loss(jnp.asarray(student), jnp.asarray(teacher)) == pytest.approx(
        2 * (consistency + 0.05 * balance), rel=1e-10
    )
    assert np.abs(jax.grad(method.loss, argnums=1)(jnp.asarray(student), jnp.asarray(teacher))).max() == 0


def test_the_teacher_is_first_a_plain_mean_then_an_exponential_one(rng, x64):
    students = rng.normal(size=(7, 2))
    teacher = {"w": jnp.asarray([9.0, 9.0])}
    for step, student in enumerate(students):
        teacher = ema_update(teacher, {"w": jnp.asarray(student)}, jnp.asarray(step), 0.75)
        if step < 4:
            np.testing.assert_allclose(teacher["w"], students[: step + 1].mean(axis=0), rtol=1e-10)
    expected = students[:4].mean(axis=0)
    for student in students[4:]:
        expected = 0.75 * expected + 0.25 * student
    np.testing.assert_allclose(teacher["w"], expected, rtol=1e-10)


def initial_run(rng, method, model=tiny.MODEL):
    settings = train.Training(steps=4, evaluations=1, learning_rate=0.1)
    batch = Batch(*map(jnp.asarray, (rng.normal(size=(7, 2)), np.arange(7) % 3, rng.normal(size=(5, 2)), np.arange(5))))
    trainer = Trainer(model.clone(classes=3), settings.make_optimizer(), 4)
    return trainer, train.init_state(KEY, method, trainer, batch.source, 9), batch


@pytest.mark.parametrize("method", [MeanTeacher(decay=0.9), AdaMatch(decay=0.9)], ids=["mean_teacher", "ada_match"])
def test_the_average_of_the_students_predicts(method, rng, x64):
    trainer, state, batch = initial_run(rng, method)
    students = []
    for _ in range(3):
        state, _ = tiny.step(method, trainer, state, batch)
        students.append(np.asarray(state.params["model"]["head"]["kernel"]))
    variables, _ = method.inference_variables(state)
    np.testing.assert_allclose(variables["head"]["kernel"], np.mean(students, axis=0), rtol=1e-6)


def test_alignment_gives_the_target_the_sources_class_shares(rng, x64):
    """By hand. If all rows are equally undecided, each becomes the mean of the source."""
    q, p = rng.dirichlet(np.ones(3), size=5), rng.dirichlet(np.ones(3), size=4)
    raw = [[q[i, k] * p[:, k].mean() / q[:, k].mean() for k in range(3)] for i in range(5)]
    expected = np.array([np.array(row) / sum(row) for row in raw])
    np.testing.assert_allclose(align_distribution(jnp.asarray(q), jnp.asarray(p)), expected, atol=1e-5)
    even = align_distribution(jnp.full((5, 3), 1 / 3), jnp.asarray(p))
    np.testing.assert_allclose(even, np.tile(p.mean(axis=0), (5, 1)), atol=1e-5)


def test_ada_matchs_threshold_is_relative_to_the_source(rng, x64):
    source, weak, strong = 0.5 * rng.normal(size=(4, 3)), rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    q = np.asarray(align_distribution(jnp.asarray(softmax(weak)), jnp.asarray(softmax(source))))
    threshold = 0.9 * softmax(source).max(axis=1).mean()
    assert (q.max(axis=1) >= threshold).sum() > 0
    loss = AdaMatch(threshold=0.9).loss(*map(jnp.asarray, (source, weak, strong)))
    assert loss == pytest.approx(confident(strong, q, threshold), rel=1e-10)


def test_without_batch_norm_source_logits_are_not_mixed_with_anything_else(rng, x64):
    """Both passes are equal, so the task is the plain cross-entropy for any random shares."""
    method = AdaMatch(strength=0.0)
    trainer, state, batch = initial_run(rng, method)
    _, metrics = method.step(trainer, state, batch)
    logits = np.asarray(trainer.forward(state.params["model"], state.stats, batch.source)[0].logits)
    expected = -np.log(softmax(logits)[np.arange(7), np.asarray(batch.labels)]).mean()
    assert metrics["task"] == pytest.approx(expected, rel=1e-10)


def test_ada_match_mixes_the_two_batch_norms(rng, x64):
    """With weight 0 and no perturbation, logits lie between those of the joint pass and of the source alone."""
    method = AdaMatch(strength=0.0, weight=0.0)
    trainer, state, batch = initial_run(rng, method, tiny.NORMED)
    _, metrics = method.step(trainer, state, batch)
    doubled = Batch(*(jnp.concatenate([x, x]) for x in batch))
    both = trainer.forward_domains(state.params["model"], state.stats, doubled, KEY)[0].logits
    alone = trainer.forward(state.params["model"], state.stats, doubled.source, KEY)[0].logits
    share = jax.random.uniform(
        named_key(jax.random.fold_in(state.key, 0), "share"), both.shape, both.dtype
    )  # the method's own draw
    p = softmax(np.asarray(alone + share * (both - alone)))
    expected = -np.log(p[np.arange(14), np.asarray(doubled.labels)]).mean()
    assert metrics["task"] == pytest.approx(expected, rel=1e-10)


def cosine(x, y):
    return x @ y / np.sqrt((x @ x) * (y @ y))


def test_atdocs_loss_row_by_row(rng, x64):
    rows, seen = np.array([4, 1, 6]), np.array([0, 1, 1, 1, 1, 0, 1, 1], bool)
    features, votes = rng.normal(size=(8, 4)), rng.dirichlet(np.ones(3), size=8)
    target = Output(jnp.asarray(rng.normal(size=(3, 4))), jnp.asarray(rng.normal(size=(3, 3))))
    loss = Atdoc(neighbours=3).loss(target, MemoryBank(*map(jnp.asarray, (features, votes, seen))), rows)

    weights, losses = [], []
    for own, logits, i in zip(np.asarray(target.features), np.asarray(target.logits), rows, strict=True):
        others = [j for j in range(8) if j != i and seen[j]]
        near = sorted(others, key=lambda j, own=own: -cosine(own, features[j]))[:3]
        vote = np.mean([votes[j] for j in near], axis=0)
        weights.append(vote.max())
        losses.append(-np.log(softmax(logits[None])[0, vote.argmax()]))
    assert loss == pytest.approx(np.dot(weights, losses) / np.sum(weights), rel=1e-10)


def test_atdoc_stores_sharpened_and_balanced_predictions(rng, x64):
    logits = rng.normal(size=(5, 3))
    p = softmax(logits)
    expected = [[p[i, k] ** 2 / sum(p[j, k] ** 2 for j in range(5)) for k in range(3)] for i in range(5)]
    np.testing.assert_allclose(sharpen(jnp.asarray(logits)), expected, rtol=1e-9)


def test_atdoc_is_source_only_while_its_memory_is_empty(rng):
    method = Atdoc(neighbours=3)
    target = Output(jnp.asarray(rng.normal(size=(5, 6))), jnp.asarray(rng.normal(size=(5, 3))))
    loss, gradient = jax.value_and_grad(lambda t: method.loss(t, empty_bank(target, 9), jnp.arange(5)))(target)
    assert loss == 0
    assert all(np.abs(leaf).max() == 0 for leaf in gradient)


def test_noise_is_in_standard_deviations_of_the_inputs(rng, x64):
    inputs = jnp.asarray(100 + 7 * rng.normal(size=(400, 50)))
    added = perturb(KEY, inputs, "noise", 0.5) - inputs
    assert added.std() == pytest.approx(0.5 * 7, rel=0.05)
    assert abs(added.mean()) < 0.1
    np.testing.assert_array_equal(perturb(KEY, inputs, "noise", 0.0), inputs)


def test_cutout_paints_squares_in_the_mean(rng, x64):
    inputs = jnp.asarray(rng.normal(size=(200, 12, 16, 2)))
    outcome = np.asarray(perturb(KEY, inputs, "cutout", 0.5))
    painted = outcome != np.asarray(inputs)
    assert np.array_equal(painted[..., 0], painted[..., 1])
    np.testing.assert_allclose(outcome[painted], float(inputs.mean()), rtol=1e-12)
    areas = painted[..., 0].sum(axis=(1, 2))
    assert areas.max() == 36  # a side of 6 pixels, half of 12
    for image in painted[..., 0]:  # one rectangle
        assert image.sum() == image.any(axis=0).sum() * image.any(axis=1).sum()
    assert len(set(areas.tolist())) > 3  # some lie partly outside
    np.testing.assert_array_equal(perturb(KEY, inputs, "cutout", 0.0), inputs)


def test_cutout_needs_images():
    with pytest.raises(UserError, match=r"cutout.*\[5, 2\].*perturbation = 'noise'"):
        perturb(KEY, jnp.ones((5, 2)), "cutout", 0.5)


ALL = [PseudoLabel(begin=0.0), MeanTeacher(), FixMatch(), AdaMatch(), Atdoc()]


@pytest.mark.conformance
@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_one_row_and_extreme_logits_stay_finite(method, scale, rng):
    trainer, state, batch = initial_run(rng, method)
    state = state._replace(params=jax.tree.map(lambda x: scale * x, state.params))
    one_row = Batch(batch.source[:1], batch.labels[:1], batch.target[:1], batch.rows[:1])
    for _ in range(2):
        state, metrics = tiny.step(method, trainer, state, one_row)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.params, metrics)))
