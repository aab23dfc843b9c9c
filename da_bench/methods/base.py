"""What a method is: a frozen dataclass whose fields are its hyper-parameters, with one function that takes a step."""

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, overload

import jax
import jax.numpy as jnp

from da_bench.core.config import Registry, UserError, config_dataclass, did_you_mean, float_fields, snake_case
from da_bench.core.types import Array, Batch, Output, Task, TrainState, Tree, named_key
from da_bench.losses.distances import squared_distances
from da_bench.losses.mmd import mmd, multi_gaussian_kernel
from da_bench.methods.search_space import Space, loss_weight
from da_bench.methods.trainer import Metrics, Trainer

METHODS: Registry[type["BaseMethod"]] = Registry("method")
Kind = TypeVar("Kind", bound="BaseMethod")
PaperStatus = Literal["published", "unpublished"]

MAX_WIDTH = 10_000  # inputs per row of a classical method
MAX_SEARCHED = 4  # fields, beside the learning rate: the reality check's (arXiv:2111.15672) five in all


@dataclasses.dataclass(frozen=True)
class MethodMetadata:
    """What `register` declares of a method. It belongs to the registered class alone: subclasses declare their own.

    Args:
        search: where `da-bench search` draws float fields from, by field.
        check_overrides: fields that `da-bench check` sets to other values than the defaults, for its small problem.
        expected_failures: checks that the method cannot pass, with the reasons.
        adapts: False for a reference that uses no target input.
        needs_batch_norm: whether the method adapts batch normalisation, and networks without it are refused.
        paper: "unpublished" methods pass `da-bench check` without a reference.
    """

    search: Mapping[str, Space] = dataclasses.field(default_factory=dict)
    check_overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    expected_failures: Mapping[str, str] = dataclasses.field(default_factory=dict)
    adapts: bool = True
    needs_batch_norm: bool = False
    paper: PaperStatus = "published"


class BaseMethod:
    """What deep and classical methods share.

    Attributes:
        name: the class name in snake case, set by `register`.
        metadata: what `register` declares.
    """

    name: ClassVar[str]
    metadata: ClassVar[MethodMetadata] = MethodMetadata()

    def skip(self, task: Task) -> str | None:
        """Return the reason why this method cannot run on `task`, to be shown in the table, or None if it can.

        All target labels of the task are -1.
        """
        return None


class MethodSpec(NamedTuple):
    """What the initial state of a method may depend on.

    Args:
        output: zeros of the shapes of the network's output for one batch: features [n, d] and logits [n, c].
        num_targets: number of target rows to train on; `Batch.rows` counts them from 0.
        network_params: the network's parameters at the start.
        constants_key: randomness for `MethodState.constants`, independent of the key for the parameters.
    """

    output: Output
    num_targets: int
    network_params: Tree
    constants_key: Array


class MethodState(NamedTuple):
    """What a method adds to the state of a run. The three parts never mix, so their keys may be equal.

    Args:
        params: trainable parameters, such as a domain classifier: `state.params["method"]`.
        constants: arrays that stay as they are, such as random projections: `state.constants`.
        memory: what steps update without a gradient, such as a teacher or a bank of features: `state.memory`.
    """

    params: Tree = {}  # noqa: RUF012 - the default of a tuple, which nobody changes
    constants: Tree = {}  # noqa: RUF012
    memory: Tree = {}  # noqa: RUF012


class Method(BaseMethod, abc.ABC):
    """A way to train a network on labelled source and unlabelled target batches."""

    @property
    def restart_at(self) -> Array | float | None:
        """Share of the run at which the optimizer and the learning rate start again; None: they never do."""
        return None

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Return what the method adds to the state at the start; nothing by default.

        Args:
            key: randomness for the parameters.
            spec: shapes and the network's start.
        """
        return MethodState()

    def inference_variables(self, state: TrainState) -> tuple[Tree, Tree]:
        """Return (parameters, batch statistics) of the network that predicts. A teacher overrides this."""
        return state.params["model"], state.stats

    def discrepancy(self, source: Output, target: Output) -> Array:
        """What adapting must lower: `da-bench check` compares it with source-only training.

        The default suits methods that align features: the squared MMD between the features.

        Args:
            source: output in evaluation mode, [n, ...].
            target: output in evaluation mode, [m, ...].

        Returns:
            A scalar.
        """
        pooled = jnp.concatenate([source.features, target.features])
        distances = squared_distances(pooled, pooled)
        kernel = multi_gaussian_kernel(distances, jnp.mean(distances), (0.5, 1.0, 2.0))
        return mmd(kernel, source.features.shape[0], "biased")

    @abc.abstractmethod
    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take one step of training.

        Args:
            trainer: the network, the optimizer, and shared operations.
            state: before the step.
            batch: source rows with labels and target rows without.

        Returns:
            The state after the step, and scalars worth plotting.
        """


class LossContext(NamedTuple):
    """What `Penalty.loss` is computed from.

    Args:
        source: the network's output for the source rows, features [b, d] and logits [b, c].
        target: the network's output for the target rows, features [b', d] and logits [b', c].
        labels: [b] of the source rows, int32 in 0..c-1.
        params: the method's own trainable parameters, `MethodState.params`.
        constants: `MethodState.constants`.
        step: number of this step, from 0.
        num_steps: steps of the whole run.
        key: fresh randomness for this step.
    """

    source: Output
    target: Output
    labels: Array
    params: Tree
    constants: Tree
    step: Array
    num_steps: int
    key: Array

    @property
    def progress(self) -> Array:
        """Share of the run that is done, in [0, 1): step / num_steps."""
        return self.step / self.num_steps


class Penalty(Method):
    """A method that only adds a term to the source cross-entropy."""

    @abc.abstractmethod
    def loss(self, ctx: LossContext) -> Array:
        """Return the added term, a scalar, already times its weight."""

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take one optimizer step on source cross-entropy + `loss`."""
        key = trainer.step_key(state)

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            dropout = named_key(key, "dropout")
            source, target, stats = trainer.forward_domains(params["model"], state.stats, batch, dropout)
            task = trainer.cross_entropy(source, batch.labels)
            term = self.loss(
                LossContext(
                    source=source,
                    target=target,
                    labels=batch.labels,
                    params=params["method"],
                    constants=state.constants,
                    step=state.step,
                    num_steps=trainer.num_steps,
                    key=named_key(key, "loss"),
                )
            )
            return task + term, (stats, trainer.metrics(task + term, task, term))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats), metrics


class Classifier(Protocol):
    """What a fitted classical method offers. Any scikit-learn classifier with probabilities does."""

    def predict_log_proba(self, inputs: Any) -> Any:
        """Log-probabilities [n, c] of inputs [n, d]."""


class ClassicalMethod(BaseMethod, abc.ABC):
    """A method without a training loop, in scikit-learn's form.

    Attributes:
        max_width: the largest number of inputs per row that the method accepts.
    """

    max_width: ClassVar[int] = MAX_WIDTH

    def skip(self, task: Task) -> str | None:
        """Refuse wide rows such as images: a covariance of 224 x 224 x 3 dimensions has 2e10 entries."""
        width = math.prod(task.source.train.inputs.shape[1:])
        if width <= self.max_width:
            return None
        return f"{width} inputs a row; a classical method takes at most {self.max_width}: features"

    @abc.abstractmethod
    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit a classifier on labelled source rows [n, d], labels [n], and unlabelled target rows [m, d]."""


@overload
def register(cls: type[Kind], /) -> type[Kind]: ...


@overload
def register(
    *,
    search: Mapping[str, Space] = ...,
    check_overrides: Mapping[str, Any] = ...,
    expected_failures: Mapping[str, str] = ...,
    adapts: bool = ...,
    needs_batch_norm: bool = ...,
    paper: PaperStatus = ...,
) -> Callable[[type[Kind]], type[Kind]]: ...


def register(cls: type[Kind] | None = None, /, **metadata: Any) -> Any:
    """Register a method under its class name in snake case, as `@register` or `@register(search={...})`.

    The class becomes a frozen dataclass whose fields are checked, see `core.config.config_dataclass`.

    Args:
        cls: a final `Method`, `Penalty` or `ClassicalMethod`.
        metadata: fields of `MethodMetadata`. Without `search`, the field `weight` is searched, if the method has one.

    Raises:
        UserError: another method has the name; or the search space names a field that is no float field of the class,
            does not hold that field's default, or has bounds that the field refuses.
    """
    if cls is None:
        return lambda decorated: _register(decorated, MethodMetadata(**metadata))
    return _register(cls, MethodMetadata())


def _register(cls: type[Kind], metadata: MethodMetadata) -> type[Kind]:
    cls.name = snake_case(cls.__name__)
    checked = config_dataclass(cls)
    if issubclass(checked, Method):
        _check_search(checked, metadata.search)
        if not metadata.search and "weight" in float_fields(checked):
            default: Any = checked()
            metadata = dataclasses.replace(metadata, search={"weight": loss_weight(default.weight)})
    checked.metadata = metadata
    METHODS.add(checked.name, checked)
    return checked


def _check_search(cls: type[Method], search: Mapping[str, Space]) -> None:
    if len(search) > MAX_SEARCHED:
        raise UserError(f"{cls.__name__}: search has {len(search)} fields; keep at most {MAX_SEARCHED}")
    for field, space in search.items():
        if field not in float_fields(cls):
            known = did_you_mean(field, float_fields(cls))
            raise UserError(f"{cls.__name__}: search names '{field}', which is no float field of the method{known}")
        if not space.contains(default := getattr(cls(), field)):
            raise UserError(f"{cls.__name__}: search of '{field}', {space}, does not hold the default {default}")
        for bound in (space.low, space.high):
            cls(**{field: bound})
