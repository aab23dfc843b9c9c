"""Checks of single steps and of whole trainings of deep methods; accuracy checks of all methods."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError, config_dataclass, float_fields
from da_bench.core.types import Array, Batch
from da_bench.methods import LossContext, Penalty
from da_bench.methods.source_only import SourceOnly
from da_bench.testing.base import CheckSkipped, check, require
from da_bench.testing.method_under_test import (
    MethodUnderTest,
    accuracy,
    all_finite,
    discrepancy,
    equal_bits,
    make_trainer,
    random_batch,
    relative_difference,
    source_only,
)

MIN_GAIN, MAX_LOSS = 0.05, 0.05  # accuracy that adapting must win on moved domains, and may lose on equal ones
COMPILER_TOLERANCE = 1e-6  # between two compilations of the same sums in single precision
SINGLE_TOLERANCE = 1e-5  # of a step between sums in another order, in single precision
MIN_DECREASE = 0.02  # share by which the discrepancy must fall


@check("deep")
def takes_a_step(under_test: MethodUnderTest) -> None:
    """A step counts itself, keeps all shapes of the state, and returns finite scalar metrics."""
    before = under_test.state()
    after, metrics = under_test.step(random_batch(), state=before)
    require(int(after.step) == int(before.step) + 1, "the state's step does not increase by one")
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), state) for state in (before, after)]
    require(shapes[0] == shapes[1], "shapes or types in the state change with a step")
    wrong = [name for name, value in metrics.items() if jnp.shape(value) != () or not bool(jnp.isfinite(value))]
    require(not wrong, f"metrics that are not finite scalars: {', '.join(wrong)}")
    require(all_finite(after), "the state is not finite after one step")


@check("deep")
def leaves_its_inputs_alone(under_test: MethodUnderTest) -> None:
    """A step does not change the arrays of its batch."""
    arrays = jax.tree.map(np.array, random_batch())
    copies = jax.tree.map(np.copy, arrays)
    jax.make_jaxpr(lambda state: under_test.method.step(make_trainer(), state, arrays))(under_test.state())
    require(equal_bits(arrays, copies), "the step changes the batch")


@check("deep")
def moves_every_parameter(under_test: MethodUnderTest) -> None:
    """Training changes every parameter of the network and of the method."""
    start = under_test.state()
    after = jax.tree.map(lambda leaf: leaf[0], under_test.trained().state)
    unchanged = [
        jax.tree_util.keystr(path)
        for (path, old), new in zip(
            jax.tree_util.tree_leaves_with_path(start.params), jax.tree.leaves(after.params), strict=True
        )
        if np.array_equal(old, new)
    ]
    require(not unchanged, f"parameters that never change: {', '.join(unchanged)}")


@check("deep")
def learns_the_source(under_test: MethodUnderTest) -> None:
    """A trained network classifies the source's test set."""
    reached = accuracy(under_test.trained(), "source")
    require(reached > 0.9, f"accuracy on the source is {reached:.0%}; the gradient of the task may be missing")


@check("deep")
def order_within_a_batch_does_not_matter(under_test: MethodUnderTest) -> None:
    """A step on the same rows in another order is the same: no statistic is of a part of the batch."""
    rng = np.random.default_rng(3)
    batch, source, target = random_batch(), rng.permutation(8), rng.permutation(8)
    permuted = Batch(batch.source[source], batch.labels[source], batch.target[target], batch.rows[target])
    difference = relative_difference(*(under_test.step(each)[0].params for each in (batch, permuted)))
    require(
        difference < SINGLE_TOLERANCE,
        f"parameters differ by {difference:.1e} after a step on the same rows in another order",
    )


@check("deep")
def weight_zero_is_source_only(under_test: MethodUnderTest) -> None:
    """With weight 0, a step of the network equals that of source-only training or of a penalty that is 0."""
    if "weight" not in float_fields(under_test.cls):
        raise CheckSkipped("it has no field `weight`")
    methods = under_test.cls(**{**under_test.fields, "weight": 0.0}), ZeroPenalty(), SourceOnly()
    weightless, *plain = (under_test.step(random_batch(), method)[0].params["model"] for method in methods)
    difference = min(relative_difference(weightless, each) for each in plain)
    require(
        difference < COMPILER_TOLERANCE,
        f"the network differs by {difference:.1e} after a step with weight 0; if the step calls trainer.inner_update: "
        "a gradient of zero still moves parameters by the optimizer's momentum and weight decay",
    )


@config_dataclass
class ZeroPenalty(Penalty):
    """Source cross-entropy alone, but with the joint pass of both domains."""

    name = "zero_penalty"

    def loss(self, ctx: LossContext) -> Array:
        """0."""
        return jnp.zeros(())


@check("deep")
def lowers_what_it_says(under_test: MethodUnderTest) -> None:
    """After training on moved domains, the method's `discrepancy` is lower than after source-only training."""
    if not under_test.cls.metadata.adapts:
        raise CheckSkipped("it does not adapt")
    adapted, plain = (discrepancy(under_test.method, each) for each in (under_test.trained(), source_only(True)))
    require(
        adapted < plain - MIN_DECREASE * abs(plain),
        f"its discrepancy is {adapted:.4g} after training, and {plain:.4g} after source-only training",
    )


@check("any")
def gains_on_moved_domains(under_test: MethodUnderTest) -> None:
    """Where the target's clusters are moved, target accuracy is clearly better than without adaptation."""
    if not under_test.cls.metadata.adapts:
        raise CheckSkipped("it does not adapt")
    adapted, plain = _target_accuracies(under_test, moved=True)
    require(adapted >= plain + MIN_GAIN, f"target accuracy is {adapted:.1%}, and {plain:.1%} without adaptation")


@check("any")
def does_no_harm_on_equal_domains(under_test: MethodUnderTest) -> None:
    """Where both domains are equal, target accuracy is not clearly worse than without adaptation."""
    adapted, plain = _target_accuracies(under_test, moved=False)
    require(adapted >= plain - MAX_LOSS, f"target accuracy is {adapted:.1%}, and {plain:.1%} without adaptation")


def _target_accuracies(under_test: MethodUnderTest, moved: bool) -> tuple[float, float]:
    """Of the method and without adaptation."""
    if under_test.is_deep:
        return accuracy(under_test.trained(moved)), accuracy(source_only(moved))
    from da_bench.testing.checks.classical import target_accuracies

    return target_accuracies(under_test, moved)


@check("deep")
def takes_any_batch(under_test: MethodUnderTest) -> None:
    """Batches of one row, of odd and unequal size, and without one class give a finite state or a UserError."""
    batch = random_batch()
    for name, each in {
        "of 1 and 1 rows": random_batch(1, 1),
        "of 7 and 5 rows": random_batch(7, 5),
        "without a class": batch._replace(labels=jnp.where(batch.labels == 2, 0, batch.labels)),
    }.items():
        try:
            after, _ = under_test.step(each)
        except UserError:
            continue
        require(all_finite(after), f"the state is not finite after a batch {name}")


@check("deep")
def stands_degenerate_inputs(under_test: MethodUnderTest) -> None:
    """Constant rows, duplicate rows and logits in the thousands leave the state finite."""
    batch = random_batch()
    large_logits = under_test.state()
    head = large_logits.params["model"]["head"]
    large_logits.params["model"]["head"] = jax.tree.map(lambda leaf: 1e4 * (leaf + 0.1), head)
    cases: dict[str, tuple[Batch, Any]] = {
        "constant rows": (batch._replace(source=jnp.ones((8, 2)), target=jnp.ones((8, 2))), None),
        "duplicate rows": (batch._replace(target=batch.source), None),
        "logits in the thousands": (batch, large_logits),
    }
    for name, (each, state) in cases.items():
        after, _ = under_test.step(each, state=state)
        require(all_finite(after), f"the state is not finite after a step with {name}")
