"""What a method is: a frozen dataclass whose fields are its hyper-parameters, and one way to take a step."""

import abc
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Registry, UserError, did_you_mean, leaf_names, setting, snake_case
from da_bench.core.types import Array, Batch, Output, Task, TrainState, Tree, named_key
from da_bench.losses.adversarial import WARM_START
from da_bench.losses.distances import squared_distances
from da_bench.losses.mmd import mmd, multi_gaussian_kernel
from da_bench.methods.search_space import Space, loss_weight
from da_bench.models import Network, Precision, batch_norm_mask, forward, head_mask

METHODS: Registry[type["BaseMethod"]] = Registry("method")
Kind = TypeVar("Kind", bound="BaseMethod")

Metrics = dict[str, Array]
BatchNorm = Literal["joint", "split", "domain_specific"]
DomainName = Literal["source", "target"]
WIDEST = 10_000  # inputs a row of a shallow method
MOST_SEARCHED = 4  # fields, beside the learning rate: the reality check's (arXiv:2111.15672) five in all


class Trainer(NamedTuple):
    """What a step is given besides its state: the network, the optimizer, and how many steps the run takes.

    precision: of what the network computes, see `forward`; a method's own terms are always in full. batch_norm: see
    `forward_domains`.
    """

    model: Network
    optimizer: optax.GradientTransformation
    steps: int
    precision: Precision = "float32"
    batch_norm: BatchNorm = "joint"

    def progress(self, state: TrainState) -> Array:
        """p of the papers: 0 at the first step, almost 1 at the last."""
        return state.step / self.steps

    def forward(
        self, params: Tree, stats: Tree, inputs: Array, key: Array | None = None, domain: DomainName = "source"
    ) -> tuple[Output, Tree]:
        """One pass of the network over inputs of one domain: see `models.forward`; its own statistics are updated."""
        if self.batch_norm != "domain_specific":
            return forward(self.model, params, stats, inputs, key, self.precision)
        output, own = forward(self.model, params, stats[domain], inputs, key, self.precision)
        return output, {**stats, domain: own}

    def predict(self, params: Tree, stats: Tree, inputs: Array, of_target: Array) -> Output:
        """The output in evaluation mode for inputs [n, ...]; of_target [n], bool: of which domain each is."""
        source, _ = self.forward(params, stats, inputs)
        if self.batch_norm != "domain_specific":
            return source
        target, _ = self.forward(params, stats, inputs, domain="target")
        return jax.tree.map(lambda ours, theirs: jnp.where(of_target[:, None], theirs, ours), source, target)

    def separate(self, stats: Tree) -> Tree:
        """A network's statistics as these settings hold them."""
        return {"source": stats, "target": stats} if self.batch_norm == "domain_specific" else stats

    def forward_domains(self, params: Tree, stats: Tree, batch: Batch, key: Array) -> tuple[Output, Output, Tree]:
        """(source output, target output, stats) in training mode.

        Batch normalisation, by `batch_norm`: "joint", one pass, so that both domains are normalised by the statistics
        of all rows (most suites on Office-31); "split", a pass a domain, each by its own statistics, with one running
        average over both; "domain_specific", that with a running average each, by which a domain's rows are predicted.
        References: Chang, You, Seo, Kwak and Han, Domain-Specific Batch Normalization, CVPR 2019. arXiv:1906.03950.
        """
        if self.batch_norm != "joint":
            source, stats = self.forward(params, stats, batch.source, named_key(key, "source"), "source")
            target, stats = self.forward(params, stats, batch.target, named_key(key, "target"), "target")
            return source, target, stats
        n = batch.source.shape[0]
        inputs = jnp.concatenate([batch.source, batch.target])
        output, stats = self.forward(params, stats, inputs, key)
        source, target = (Output(output.features[rows], output.logits[rows]) for rows in (slice(n), slice(n, None)))
        return source, target, stats

    def head(self, params: Tree, features: Array) -> Tree:
        """Like params (the network's), bools: which of them make logits of features [n, d]."""
        return head_mask(self.model, params, features)

    def normalisation(self, params: Tree, stats: Tree) -> Tree:
        """Like params (the network's), bools: which are scales and shifts of batch normalisation."""
        return batch_norm_mask(params, stats["target"] if self.batch_norm == "domain_specific" else stats)

    def sync_target_stats(self, stats: Tree) -> Tree:
        """The statistics, the target's made the source's: while a method trains on the source alone."""
        return {**stats, "target": stats["source"]} if self.batch_norm == "domain_specific" else stats

    def apply_gradients(self, state: TrainState, gradients: Tree, stats: Tree, moves: Tree | None = None) -> TrainState:
        """The state after one optimizer step along `gradients`, which are shaped like `state.params`.

        moves: bools, a prefix of `state.params`: parameters where it is False stay as they are, to the bit, and so does
        what the optimizer remembers of them; None: all move.
        """
        return self._updated(state, gradients, moves)._replace(step=state.step + 1, stats=stats)

    def inner_update(self, state: TrainState, gradients: Tree, moves: Tree | None = None) -> TrainState:
        """As `apply_gradients`, within a step: neither the step nor the learning rate's schedule goes on."""
        updated = self._updated(state, gradients, moves)
        return updated._replace(opt_state=_schedules(state.opt_state, updated.opt_state))

    def reset_optimizer(self, state: TrainState) -> Tree:
        """The state's optimizer, which remembers nothing; its learning rate's schedule goes on."""
        return _schedules(state.opt_state, self.optimizer.init(state.params))

    def _updated(self, state: TrainState, gradients: Tree, moves: Tree | None) -> TrainState:
        updates, opt_state = self.optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        if moves is not None:
            moving = jax.tree.broadcast(moves, params)
            remembered = optax.tree_map_params(
                self.optimizer, lambda _, one: one, opt_state, moving, transform_non_params=lambda _: True
            )
            params, opt_state = _chosen(moving, params, state.params), _chosen(remembered, opt_state, state.opt_state)
        return state._replace(params=params, opt_state=opt_state)


def _chosen(which: Tree, new: Tree, old: Tree) -> Tree:
    return jax.tree.map(lambda one, ours, theirs: ours if one else theirs, which, new, old)


def _schedules(theirs: Tree, opt_state: Tree) -> Tree:
    """The optimizer's state, but for its schedules' counts, which are those of `theirs`."""

    def is_schedule(leaf: Any) -> bool:
        return isinstance(leaf, optax.ScaleByScheduleState)

    return jax.tree.map(lambda own, other: other if is_schedule(own) else own, opt_state, theirs, is_leaf=is_schedule)


class BaseMethod:
    """What deep and shallow methods share.

    name: the class name in snake case; adapts: False for a reference that uses no target input; needs_batch_norm: True
    for one that adapts batch normalisation, and is refused where the network has none. For
    `da-bench check`: checked_with, fields other than the defaults on its small problem; expected_failed_checks, those
    that the method cannot pass, with the reasons.
    """

    name: ClassVar[str]
    adapts: ClassVar[bool] = True
    checked_with: ClassVar[Mapping[str, Any]] = {}
    expected_failed_checks: ClassVar[Mapping[str, str]] = {}
    needs_batch_norm: ClassVar[bool] = False

    def skip(self, task: Task) -> str | None:
        """Why this method cannot run on `task`, in words for the table; None if it can.

        The target's labels are -1 there.
        """
        return None


class Method(BaseMethod, abc.ABC):
    """A way to train on labelled source and unlabelled target batches.

    searched: where `da-bench search` draws float fields from, four at most; the learning rate is drawn for every
    method. By default the field `weight`, if there is one, from `spaces.loss_weight`.
    """

    searched: ClassVar[Mapping[str, Space]] = {}

    @property
    def restart_at(self) -> Array | float | None:
        """At which share of the run the optimizer and its learning rate begin anew; None: they go on throughout."""
        return None

    def init(self, key: Array, output: Output) -> Tree:
        """The method's own trainable parameters, given the shapes of the network's output for one batch."""
        return {}

    def remember(self, params: Tree, output: Output, targets: int) -> Tree:
        """The method's memory at the start: what it keeps from step to step without a gradient.

        params: {"model": ..., "method": ...}; output: shapes of the network's for one batch; targets: how many rows the
        target has to train on, `Batch.rows` of which a step is handed.
        """
        return {}

    def drawn(self, key: Array, output: Output) -> Tree:
        """What of the memory is drawn at random at the start, by its names: fixed projections, a critic.

        A `Penalty` is handed it with its parameters.
        """
        return {}

    def inference_variables(self, state: TrainState) -> tuple[Tree, Tree]:
        """(parameters, statistics) of the network that predicts; a teacher's, for example."""
        return state.params["model"], state.stats

    def discrepancy(self, source: Output, target: Output) -> Array:
        """What adapting is to lower, a scalar of the outputs for source [n, ...] and target [m, ...] in evaluation.

        `da-bench check` holds a method to it. By default the squared MMD between the features, as for methods that
        align them.
        """
        pooled = jnp.concatenate([source.features, target.features])
        distances = squared_distances(pooled, pooled)
        kernel = multi_gaussian_kernel(distances, jnp.mean(distances), (0.5, 1.0, 2.0))
        return mmd(kernel, source.features.shape[0], "biased")

    @abc.abstractmethod
    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One update, and the scalars worth plotting."""


class Penalty(Method):
    """A method that only adds a term to the source cross-entropy.

    schedule: of one that has such a field, a `losses.adversarial.Schedule`.
    """

    schedule: Any = None

    @abc.abstractmethod
    def loss(self, params: Tree, source: Output, target: Output, labels: Array, progress: Array, key: Array) -> Array:
        """The added term, a scalar, already times its weight.

        params: the method's own, from `init`, and what was `drawn`; source and target: the network's outputs, [b, ...]
        and [b', ...]; labels [b] of the source; progress: see below; key: fresh randomness of this step.
        """

    def progress(self, trainer: Trainer, state: TrainState) -> Array:
        """What `loss` is told: the run's progress in [0, 1), or, of a "warm_start", thousands of steps done."""
        return state.step / WARM_START if self.schedule == "warm_start" else trainer.progress(state)

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One optimizer step on source cross-entropy + `loss`."""
        key = jax.random.fold_in(state.key, state.step)
        progress = self.progress(trainer, state)

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            source, target, stats = trainer.forward_domains(
                params["model"], state.stats, batch, named_key(key, "dropout")
            )
            task = optax.softmax_cross_entropy_with_integer_labels(source.logits, batch.labels).mean()
            own = {**params["method"], **state.memory}
            gap = self.loss(own, source, target, batch.labels, progress, named_key(key, "loss"))
            return task + gap, (stats, {"loss": task + gap, "task": task, "alignment": gap})

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats), metrics


class Classifier(Protocol):
    """What a fitted shallow method offers: any scikit-learn classifier with probabilities does."""

    def predict_log_proba(self, inputs: Any) -> Any:
        """[n, c] log-probabilities for inputs [n, d]."""


class ClassicalMethod(BaseMethod, abc.ABC):
    """A method without a training loop, in scikit-learn's form. It is handed inputs as rows: [n, d].

    widest: the most numbers d in a row that it takes.
    """

    widest: ClassVar[int] = WIDEST

    def skip(self, task: Task) -> str | None:
        """Images are too wide: a covariance of 224 x 224 x 3 dimensions has 2e10 entries."""
        width = math.prod(task.source.train.inputs.shape[1:])
        most = self.widest
        return f"{width} inputs a row; a shallow method takes at most {most}: features" if width > most else None

    @abc.abstractmethod
    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """A fitted classifier, from labelled source [n, d], [n] and unlabelled target [m, d]."""


def register(cls: type[Kind]) -> type[Kind]:
    """Make a final Method, Penalty or ClassicalMethod class a checked setting, known by its class name in snake case.

    Raises:
        UserError: another method has that name; or what it calls `searched` is no float field of its own, does not
            hold that field's default, or has bounds that are no valid values.
    """
    cls.name = snake_case(cls.__name__)
    checked = setting(cls)
    if issubclass(checked, Method):
        _check_searched(checked)
        checked.searched = checked.searched or _loss_weight(checked)
    METHODS.add(checked.name, checked)
    return checked


def _loss_weight(cls: Any) -> dict[str, Space]:
    return {"weight": loss_weight(cls().weight)} if "weight" in leaf_names(cls) else {}


def _check_searched(cls: type[Method]) -> None:
    if len(cls.searched) > MOST_SEARCHED:
        raise UserError(f"{cls.__name__}.searched has {len(cls.searched)} fields; keep {MOST_SEARCHED} at most")
    for field, space in cls.searched.items():
        if field not in leaf_names(cls):
            known = did_you_mean(field, leaf_names(cls))
            raise UserError(f"{cls.__name__}.searched: '{field}' is no float field of it{known}")
        if not space.holds(default := getattr(cls(), field)):
            raise UserError(f"{cls.__name__}.searched: {space} does not hold the default {field} = {default}")
        for bound in (space.low, space.high):
            cls(**{field: bound})
