"""The checks, in the order in which they are worth reading: what fails early explains what fails later."""

import dataclasses
import json
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError, as_dict, leaf_names, setting
from da_bench.core.types import Array, Batch, Output, Task, TrainState, Tree
from da_bench.methods import METHODS, LossContext, MethodSpec, MethodState, Penalty
from da_bench.methods.source_only import SourceOnly
from da_bench.models import initialise
from da_bench.testing import problem
from da_bench.testing.base import Failed, Skipped, check, need
from da_bench.testing.problem import CLASSES, NETWORK, PROBES
from da_bench.testing.subject import (
    QUICKLY,
    SEEDS,
    Subject,
    Traced,
    accuracy,
    apart,
    batch,
    compiled,
    discrepancy,
    finite,
    given,
    long,
    make_trainer,
    on_device,
    same,
    source_only,
)
from da_bench.training import step as train

GAIN, HARM = 0.05, 0.05  # accuracy that adapting must win on moved domains, and may lose on equal ones
EXACT = 1e-6  # equal but for what a compiler makes of the same sums in single precision
ROUNDING, SINGLE = 1e-9, 1e-5  # of sums in another order, in double and in single precision, after a step
HELD = 0.02  # share by which the discrepancy must fall at least


@check("any")
def is_registered_and_survives_json(subject: Subject) -> None:
    """It is known by its name, and its fields written as JSON make the same method again."""
    need(METHODS.get(subject.cls.name) is subject.cls, "it is not registered: put @register above the class")
    fields = json.loads(json.dumps(as_dict(subject.method), allow_nan=False))
    need(fields.pop("name") == subject.cls.name, "its name is not that of its class")
    need(subject.cls(**fields) == subject.method, "its fields do not come back from JSON as they were")


@check("any")
def refuses_bad_fields(subject: Subject) -> None:
    """NaN, infinity, negative numbers where they mean nothing, text and unknown fields are refused by name."""
    for field in leaf_names(subject.cls):
        for value in (math.nan, math.inf, "much"):
            _refused(subject, field, value)
    _refused(subject, "wieght", 1.0)
    if "weight" in leaf_names(subject.cls):
        _refused(subject, "weight", -1.0)


def _refused(subject: Subject, field: str, value: Any) -> None:
    try:
        subject.cls(**{field: value})
    except UserError as error:
        need(field in str(error), f"the error for {field} = {value} does not name the field: {error}")
    else:
        raise Failed(f"{field} = {value} is accepted; annotate it, for example as NonNegative")


@check("any")
def documents_its_paper_and_fields(subject: Subject) -> None:
    """The docstring explains every field, and names the paper where the method adapts."""
    text = subject.cls.__doc__ or ""
    cls: Any = subject.cls
    missing = [f.name for f in dataclasses.fields(cls) if not re.search(rf"\b{f.name}\b[^.]*:", text)]
    need(not missing, f"the docstring does not explain {', '.join(missing)}; write `name: what it is`")
    cited = "References:" in text and ("arXiv:" in text or "doi:" in text)
    need(cited or not subject.cls.metadata.adapts, "the docstring has no References: with arXiv: or doi:")


@check("deep")
def takes_a_step(subject: Subject) -> None:
    """A step counts itself, keeps the shapes of all parts of the state, and its metrics are finite scalars."""
    before = subject.state()
    after, metrics = subject.step(batch(), state=before)
    need(int(after.step) == int(before.step) + 1, "the state's step is not one more")
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), state) for state in (before, after)]
    need(shapes[0] == shapes[1], "shapes or types in the state change with a step")
    wrong = [name for name, value in metrics.items() if jnp.shape(value) != () or not bool(jnp.isfinite(value))]
    need(not wrong, f"metrics that are no finite scalars: {', '.join(wrong)}")
    need(finite(after), "the state is not finite after one step")


@check("deep")
def leaves_its_inputs_alone(subject: Subject) -> None:
    """Arrays handed to a step are what they were afterwards."""
    arrays = jax.tree.map(np.array, batch())
    copies = jax.tree.map(np.copy, arrays)
    jax.make_jaxpr(lambda state: subject.method.step(make_trainer(), state, arrays))(subject.state())
    need(same(arrays, copies), "the batch is not what it was before the step")


@check("deep")
def moves_every_parameter(subject: Subject) -> None:
    """In training every trainable leaf moves, of the network and of the method's own."""
    start = subject.state()
    after = jax.tree.map(lambda leaf: leaf[0], subject.trained().state)
    still = [
        jax.tree_util.keystr(path)
        for (path, old), new in zip(
            jax.tree_util.tree_leaves_with_path(start.params), jax.tree.leaves(after.params), strict=True
        )
        if np.array_equal(old, new)
    ]
    need(not still, f"never moved: {', '.join(still)}")


@check("deep")
def learns_the_source(subject: Subject) -> None:
    """After training the source's test set is classified."""
    reached = accuracy(subject.trained(), "source")
    need(reached > 0.9, f"accuracy on the source is {reached:.0%}; the task's own gradient may be missing")


@check("penalty")
def term_is_a_finite_scalar(subject: Subject) -> None:
    """The added term is one finite number."""
    value = _term(subject, *_outputs())
    need(value.shape == (), f"the term has shape {value.shape}")
    need(bool(jnp.isfinite(value)), f"the term is {value}")


@check("penalty")
def term_moves_the_encoder(subject: Subject) -> None:
    """The added term alone has a gradient on the network's outputs."""
    if not subject.cls.metadata.adapts:
        raise Skipped("it does not adapt")
    source, target, labels = _outputs()
    gradients = compiled(jax.grad(lambda pair: _term(subject, pair[0], pair[1], labels)))((source, target))
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradients))
    need(largest > 1e-7, f"the largest gradient of the term on features and logits is {largest:.1e}")


@check("penalty")
def gradient_is_that_of_finite_differences(subject: Subject) -> None:
    """The gradient of the term equals difference quotients in double precision, for its own parameters and outputs."""
    with jax.enable_x64(True):
        source, target, labels = _outputs(np.float64)
        own = jax.tree.map(lambda leaf: leaf.astype(float), _init(subject, source))
        at = own.params, source, target
        value = compiled(
            jax.value_and_grad(lambda at: _term_of(subject, own._replace(params=at[0]), at[1], at[2], labels))
        )
        gradient, along, step = value(at)[1], _directions(at), 1e-6
        values = [value(jax.tree.map(lambda x, d, s=s: x + s * d, at, along))[0] for s in (step, -step)]
        quotient = float(values[0] - values[1]) / (2 * step)
        exact = float(sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, along)), strict=True)))
    need(
        abs(exact - quotient) <= 1e-5 * max(1.0, abs(exact), abs(quotient)),
        f"along a random direction the gradient is {exact:.6g}, differences give {quotient:.6g}",
    )


def _directions(tree: Tree) -> Tree:
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), tree)


Drawn = tuple[Output, Output, Array]


def _outputs(dtype: type = np.float32, rows: int = 9) -> Drawn:
    """A source and a target output that differ in mean and spread, and labels."""
    rng = np.random.default_rng(0)
    features, logits = rng.normal(size=(rows, 5)), rng.normal(size=(rows, CLASSES))
    source = Output(*(jnp.asarray(part.astype(dtype)) for part in (features, logits)))
    return source, jax.tree.map(lambda x: 1.5 * x[::-1] + 0.5, source), jnp.arange(rows) % CLASSES


def _term(subject: Subject, source: Output, target: Output, labels: Array) -> Array:
    return _term_of(subject, _init(subject, source), source, target, labels)


def _init(subject: Subject, output: Output) -> MethodState:
    shapes = jax.eval_shape(lambda: initialise(NETWORK, jax.random.key(0), jnp.zeros((8, 2)))[0])
    network = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    spec = MethodSpec(output, len(output.features), network, jax.random.key(2))
    own: MethodState = subject.method.init(jax.random.key(0), spec)
    return own


def _term_of(subject: Subject, own: MethodState, source: Output, target: Output, labels: Array) -> Array:
    ctx = LossContext(source, target, labels, own.params, own.constants, jnp.asarray(500), 1000, jax.random.key(1))
    term: Array = subject.method.loss(ctx)
    return term


@check("penalty")
def term_does_not_grow_with_the_batch(subject: Subject) -> None:
    """On draws of the same two domains the term is of one size, whatever the number of rows."""
    term = compiled(lambda drawn: _term(subject, *drawn))
    few, many = (np.mean([float(term(_drawn(rows, seed))) for seed in range(8)]) for rows in (24, 96))
    if max(abs(few), abs(many)) < 1e-8:
        raise Skipped("the term is 0 here")
    need(0.4 < many / few < 2.5, f"the mean term is {few:.3g} for 24 rows a domain and {many:.3g} for 96")


def _drawn(rows: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % CLASSES
    features = [(2 * np.eye(CLASSES, 5)[labels] + 0.5 * rng.normal(size=(rows, 5))) * by + by for by in (1.0, 2.0)]
    source, target = (Output(*(jnp.asarray(x, jnp.float32) for x in (f, f[:, :CLASSES] - 1))) for f in features)
    return source, target, jnp.asarray(labels)


@check("deep")
def order_within_a_batch_does_not_matter(subject: Subject) -> None:
    """The same rows in another order are the same step: no statistic is taken of a part of the batch."""
    rng = np.random.default_rng(3)
    one, source, target = batch(), rng.permutation(8), rng.permutation(8)
    turned = Batch(one.source[source], one.labels[source], one.target[target], one.rows[target])
    difference = apart(*(subject.step(each)[0].params for each in (one, turned)))
    need(difference < SINGLE, f"parameters differ by {difference:.1e} after a step on the same rows in another order")


def _double(tree: Tree) -> Tree:
    def wide(leaf: Array) -> Array:
        single = not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) and leaf.dtype == jnp.float32
        return jnp.asarray(leaf, jnp.float64) if single else leaf

    return jax.tree.map(wide, tree)


@check("deep")
def weight_zero_is_source_only(subject: Subject) -> None:
    """With weight 0 a step of the network is that of source only, or of a method whose added term is nothing."""
    if "weight" not in leaf_names(subject.cls):
        raise Skipped("it has no field `weight`")
    methods = subject.cls(**{**subject.fields, "weight": 0.0}), Nothing(), SourceOnly()
    weightless, *plain = (subject.step(batch(), method)[0].params["model"] for method in methods)
    difference = min(apart(weightless, each) for each in plain)
    need(difference < EXACT, f"the network differs by {difference:.1e} after a step with weight 0")


@setting
class Nothing(Penalty):
    """Source cross-entropy and no added term, by the same joint pass of both domains."""

    name = "nothing"

    def loss(self, ctx: LossContext) -> Array:
        """0."""
        return jnp.zeros(())


@check("deep")
def lowers_what_it_says(subject: Subject) -> None:
    """Trained on moved domains, what the method declares by `discrepancy` is lower than of source only."""
    if not subject.cls.metadata.adapts:
        raise Skipped("it does not adapt")
    ours, plain = (discrepancy(subject.method, each) for each in (subject.trained(), source_only(True)))
    need(ours < plain - HELD * abs(plain), f"its discrepancy is {ours:.4g} after training, {plain:.4g} of source only")


@check("any")
def gains_on_moved_domains(subject: Subject) -> None:
    """Where the target's clusters are moved, it is clearly better on the target than without adapting."""
    if not subject.cls.metadata.adapts:
        raise Skipped("it does not adapt")
    ours, plain = _target_accuracy(subject, moved=True)
    need(ours >= plain + GAIN, f"accuracy on the target is {ours:.1%}, {plain:.1%} of source only")


@check("any")
def does_no_harm_on_equal_domains(subject: Subject) -> None:
    """Where both domains are the same, it is not clearly worse than without adapting."""
    ours, plain = _target_accuracy(subject, moved=False)
    need(ours >= plain - HARM, f"accuracy on the target is {ours:.1%}, {plain:.1%} of source only")


def _target_accuracy(subject: Subject, moved: bool) -> tuple[float, float]:
    if subject.deep:
        return accuracy(subject.trained(moved)), accuracy(source_only(moved))
    from da_bench.testing.shallow import accuracies

    return accuracies(subject, moved)


@check("deep")
def takes_any_batch(subject: Subject) -> None:
    """Batches of one row, odd, unequal and without one of the classes: a finite state, or one clear error."""
    lacking = batch(8, 8)
    lacking = lacking._replace(labels=jnp.where(lacking.labels == 2, 0, lacking.labels))
    for name, one in {
        "of 1 and 1 rows": batch(1, 1),
        "of 7 and 5 rows": batch(7, 5),
        "without a class": lacking,
    }.items():
        try:
            after, _ = subject.step(one)
        except UserError:
            continue
        need(finite(after), f"the state is not finite after a batch {name}")


@check("deep")
def stands_degenerate_inputs(subject: Subject) -> None:
    """Constant rows, duplicates and logits in the thousands leave the state finite."""
    plain = batch()
    loud = subject.state()
    loud.params["model"]["head"] = jax.tree.map(lambda leaf: 1e4 * (leaf + 0.1), loud.params["model"]["head"])
    cases: dict[str, tuple[Batch, Any]] = {
        "constant rows": (plain._replace(source=jnp.ones((8, 2)), target=jnp.ones((8, 2))), None),
        "duplicate rows": (plain._replace(target=plain.source), None),
        "logits in the thousands": (plain, loud),
    }
    for name, (one, state) in cases.items():
        after, _ = subject.step(one, state=state)
        need(finite(after), f"the state is not finite after a step with {name}")


@check("deep")
def target_labels_cannot_reach_it(subject: Subject) -> None:
    """Shown the task with right and wrong target labels, more than a study shows, it starts and steps alike."""
    states, traces = [], []
    for task in (given(True), _mislabelled(given(True))):
        method: Any = subject.cls(**subject.fields)
        method.skip(task)
        rows = len(task.target.train.labels)
        # not `subject.state`, which equal methods are given as it was compiled once
        states.append(train.init(jax.random.key(0), method, make_trainer(), jnp.zeros((8, 2)), rows))
        traces.append(subject.traced(method))
    need(same(*states), "what it starts with changes with the target's labels")
    need(alike(*traces), "a step changes with the target's labels")


def _mislabelled(task: Task) -> Task:
    wrong = [part._replace(labels=(part.labels + 1) % CLASSES) for part in task.target]
    return dataclasses.replace(task, target=type(task.target)(*wrong))


@check("deep")
def same_seed_same_bits(subject: Subject) -> None:
    """Traced anew with the same key a step is the same, with another key another: all randomness is the key's."""
    first, again = (subject.step(batch()) for _ in range(2))
    need(same(first, again), "two steps from one state differ")
    need(alike(*(subject.traced() for _ in range(2))), "two traces differ: randomness that does not come from the key")


def alike(one: Traced, other: Traced) -> bool:
    """Whether two traces are the same operations on the same arrays."""
    return one[0] == other[0] and len(one[1]) == len(other[1]) and same(one[1], other[1])


@check("deep")
def uses_no_key_twice(subject: Subject) -> None:
    """No key gives two draws: JAX's own checker."""
    with jax.debug_key_reuse(True):
        step = jax.jit(lambda state, one: subject.method.step(make_trainer(), state, one), compiler_options=QUICKLY)
        step(subject.state(), batch())


@check("deep")
def calls_nothing_from_a_step(subject: Subject) -> None:
    """A compiled step calls no Python, and while it is traced no file of yours is opened and no network reached."""
    subject.traced(SourceOnly())  # what JAX opens when it is first used
    with watched() as seen:
        text, _ = subject.traced()
    need("callback" not in text, "the step calls back into Python: it cannot run on a device alone")
    need(not seen, f"while the step is traced it reaches for {', '.join(sorted(set(seen))[:3])}")


_WATCHED: list[list[str]] = []


@contextmanager
def watched() -> Iterator[list[str]]:
    """What is opened of files that are not Python's, and connected to, by this process meanwhile."""
    if not getattr(watched, "hooked", False):
        sys.addaudithook(_hear)  # for good: Python takes none away
        watched.hooked = True  # type: ignore[attr-defined]
    _WATCHED.append([])
    try:
        yield _WATCHED[-1]
    finally:
        _WATCHED.pop()


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _WATCHED:
        return
    if event == "open" and isinstance(arguments[0], str) and not _innocent(arguments[0]):
        _WATCHED[-1].append(arguments[0])
    elif event in ("socket.connect", "socket.getaddrinfo"):
        _WATCHED[-1].append(str(arguments[-1]))


def _innocent(path: str) -> bool:
    """Whether it is Python's own, or of JAX's cache of programs, which is written while others are traced."""
    cache = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return path.endswith((".py", ".pyc", ".so")) or bool(cache and path.startswith(cache))


@check("deep")
def compiles_once_and_stays_on_the_device(subject: Subject) -> None:
    """Other values of float fields are the same program, and nothing moves between host and device while it runs."""
    fields = as_dict(subject.method).items()
    static = [name for name, value in fields if isinstance(value, float) and name not in leaf_names(subject.cls)]
    need(not static, f"{', '.join(static)} is no array leaf: annotate it as a float, such as NonNegative")
    data, seeds = on_device(problem.gathered(given(True))), jnp.arange(SEEDS)
    subject.trained()
    programs, halved = long._cache_size(), jax.tree.map(jnp.asarray, _halved(subject))
    with jax.transfer_guard("disallow"):
        jax.block_until_ready(long(seeds, halved, data))
    need(long._cache_size() == programs, "other values of its float fields are compiled anew")


def _halved(subject: Subject) -> Any:
    leaves, shape = jax.tree.flatten(subject.method)
    return jax.tree.unflatten(shape, [0.5 * leaf for leaf in leaves])


@check("deep")
def seeds_and_devices_do_not_change_a_run(subject: Subject) -> None:
    """A step of two runs at once, each on two devices, is that of each alone on one, in double precision."""
    if len(jax.devices()) < 4:
        raise Skipped("needs 4 devices: `da-bench check` and the project's tests have them")
    with jax.enable_x64(True):
        method, one = jax.tree.map(jnp.asarray, subject.method), _double(batch())
        states = [_double(subject.state(seed=seed)) for seed in (0, 1)]
        alone = [subject.step(one, method, state) for state in states]
        stacked = (train.stack(states, 2),)
        spread = train.over_runs(_spread, jax.devices()[:4], None, 2).lower(stacked, (method, one))
        together = spread.compile(QUICKLY)(stacked, (method, one))
        difference = apart(train.stack(alone, 1), together)
    need(difference < ROUNDING, f"a step differs by {difference:.1e} from that of a run made alone")


def _spread(state: TrainState, method: Any, one: Batch) -> Any:
    return method.step(make_trainer(), state, train.spread(one))


@check("deep")
def predictions_belong_to_their_rows(subject: Subject) -> None:
    """A row is predicted alike whatever stands around it and how many are predicted at a time."""
    state, _ = subject.step(batch())
    inputs, flags = jnp.asarray(given(True).target.test.inputs), jnp.ones(PROBES, bool)
    variables = subject.method.inference_variables(state)
    order = np.random.default_rng(0).permutation(PROBES)
    predict = compiled(lambda variables, asked: train.predict(make_trainer(), variables, asked).logits)
    straight, turned, few = (
        predict(variables, train.Asked(inputs, jnp.asarray(rows), flags[: len(rows)]))
        for rows in (np.arange(PROBES), order, order[:7])
    )
    need(apart(straight[order], turned) < 1e-5, "predictions change with the order of the rows")
    need(apart(straight[order[:7]], few) < 1e-5, "predictions change with the number of rows")
    again = predict(subject.method.inference_variables(state), train.Asked(inputs, jnp.arange(PROBES), flags))
    need(same(straight, again), "what is deployed from one state is not always the same")
