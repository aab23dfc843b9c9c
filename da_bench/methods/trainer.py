"""The trainer: the network, the optimizer and the operations that the steps of all methods share."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import UserError
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.models import Network, Precision, batch_norm_mask, forward, head_mask

BatchNorm = Literal["joint", "split", "domain_specific"]
DomainName = Literal["source", "target"]
Metrics = dict[str, Array]


class Trainer(NamedTuple):
    """What `Method.step` works with. It holds no state of the run: that is the `TrainState`.

    Args:
        model: the network.
        optimizer: updates `state.params`; its learning-rate schedule counts the steps.
        num_steps: steps of the whole run.
        precision: of the network's computations, see `models.forward`. A method's own terms are in full.
        batch_norm: how batch normalisation treats the two domains, see `forward_domains`.
    """

    model: Network
    optimizer: optax.GradientTransformation
    num_steps: int
    precision: Precision = "float32"
    batch_norm: BatchNorm = "joint"

    def progress(self, state: TrainState) -> Array:
        """Share of the run that is done: 0 at the first step, almost 1 at the last. The p of the papers."""
        return state.step / self.num_steps

    def step_key(self, state: TrainState) -> Array:
        """The random key of this step. Split it with `named_key(key, "dropout")`, one name a consumer."""
        return jax.random.fold_in(state.key, state.step)

    def forward(
        self, params: Tree, stats: Tree, inputs: Array, key: Array | None = None, domain: DomainName = "source"
    ) -> tuple[Output, Tree]:
        """Pass inputs of one domain through the network.

        Args:
            params: parameters of the network, `state.params["model"]`.
            stats: batch statistics, `state.stats`.
            inputs: [n, ...].
            key: for dropout, which means training mode; None means evaluation mode.
            domain: whose batch statistics are used and updated where `batch_norm` is "domain_specific".

        Returns:
            The output, and the statistics after the pass.
        """
        if self.batch_norm != "domain_specific":
            return forward(self.model, params, stats, inputs, key, self.precision)
        output, own = forward(self.model, params, stats[domain], inputs, key, self.precision)
        return output, {**stats, domain: own}

    def forward_domains(self, params: Tree, stats: Tree, batch: Batch, key: Array) -> tuple[Output, Output, Tree]:
        """Pass the source and the target rows of a batch through the network in training mode.

        Batch normalisation depends on the field `batch_norm`:

        - "joint": one pass, so that both domains are normalised by the statistics of all rows (most suites on
          Office-31);
        - "split": one pass per domain, each normalised by its own statistics, with one running average over both;
        - "domain_specific": as "split", with a running average per domain. Each domain's rows are predicted by its own.

        Args:
            params: parameters of the network, `state.params["model"]`.
            stats: batch statistics, `state.stats`.
            batch: source [b, ...] and target [b', ...].
            key: for dropout.

        Returns:
            The source output [b, ...], the target output [b', ...], and the statistics after the pass.

        References:
            Chang, You, Seo, Kwak and Han, Domain-Specific Batch Normalization for Unsupervised Domain Adaptation,
            CVPR 2019. arXiv:1906.03950.
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

    def predict(self, params: Tree, stats: Tree, inputs: Array, of_target: Array) -> Output:
        """Output in evaluation mode of inputs [n, ...]; of_target [n] bool: which of them come from the target."""
        source, _ = self.forward(params, stats, inputs)
        if self.batch_norm != "domain_specific":
            return source
        target, _ = self.forward(params, stats, inputs, domain="target")
        return jax.tree.map(lambda s, t: jnp.where(of_target[:, None], t, s), source, target)

    def cross_entropy(self, output: Output, labels: Array) -> Array:
        """Mean cross-entropy of an output's logits [n, c] and labels [n]; on the source, every method minimises it."""
        return optax.softmax_cross_entropy_with_integer_labels(output.logits, labels).mean()

    def metrics(self, loss: Array, task: Array | None = None, alignment: Array | None = None) -> Metrics:
        """The scalars that every adapting method reports: "loss", "task" and "alignment".

        Args:
            loss: what the step minimises.
            task: source cross-entropy; None means that the step has none, reported as 0.
            alignment: the method's own term, times its weight; None means that the step has none, reported as 0.
        """
        zero = jnp.zeros_like(loss)
        return {
            "loss": loss,
            "task": zero if task is None else task,
            "alignment": zero if alignment is None else alignment,
        }

    def head_mask(self, params: Tree, features: Array) -> Tree:
        """Which of the network's parameters compute the logits from features [n, d]: a tree of bools like `params`."""
        return head_mask(self.model, params, features)

    def encoder_mask(self, params: Tree, features: Array) -> Tree:
        """The complement of `head_mask`: the parameters that compute the features."""
        return jax.tree.map(lambda in_head: not in_head, self.head_mask(params, features))

    def batch_norm_mask(self, params: Tree, stats: Tree) -> Tree:
        """Which of the network's parameters are scales and shifts of batch normalisation: bools like `params`."""
        return batch_norm_mask(params, stats["target"] if self.batch_norm == "domain_specific" else stats)

    def init_stats(self, stats: Tree) -> Tree:
        """The initial `state.stats`: a network's statistics, once per domain if `batch_norm` is "domain_specific"."""
        return {"source": stats, "target": stats} if self.batch_norm == "domain_specific" else stats

    def sync_target_stats(self, stats: Tree) -> Tree:
        """Copy the source's batch statistics to the target, for steps that train on the source alone."""
        return {**stats, "target": stats["source"]} if self.batch_norm == "domain_specific" else stats

    def apply_gradients(self, state: TrainState, gradients: Tree, stats: Tree, mask: Tree | None = None) -> TrainState:
        """Take one optimizer step, and count it.

        Args:
            state: the state before the step.
            gradients: shaped like `state.params`.
            stats: the batch statistics of the new state.
            mask: bools, a prefix of `state.params`. Where it is False, parameters and their optimizer state stay equal
                to the bit. None updates all parameters.

        Returns:
            The state after the step.
        """
        return self._update(state, gradients, mask)._replace(step=state.step + 1, stats=stats)

    def inner_update(self, state: TrainState, gradients: Tree, mask: Tree | None = None) -> TrainState:
        """A further update within one step, as `apply_gradients`: it counts neither as a step nor in the schedule.

        It is a whole update of the optimizer. With a gradient of zero, momentum and weight decay still move every
        parameter that `mask` selects, so a method with a second update differs from source-only training at weight 0.
        """
        updated = self._update(state, gradients, mask)
        return updated._replace(opt_state=_with_schedules(updated.opt_state, state.opt_state))

    def reset_optimizer(self, state: TrainState) -> Tree:
        """A fresh optimizer state, without momentum. The learning-rate schedule keeps its count."""
        return _with_schedules(self.optimizer.init(state.params), state.opt_state)

    def _update(self, state: TrainState, gradients: Tree, mask: Tree | None) -> TrainState:
        updates, opt_state = self.optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        if mask is not None:
            mask = jax.tree.broadcast(mask, params)
            opt_mask = optax.tree_map_params(
                self.optimizer, lambda _, is_updated: is_updated, opt_state, mask, transform_non_params=lambda _: True
            )
            params, opt_state = _where(mask, params, state.params), _where(opt_mask, opt_state, state.opt_state)
        return state._replace(params=params, opt_state=opt_state)


def _where(mask: Tree, new: Tree, old: Tree) -> Tree:
    return jax.tree.map(lambda is_updated, after, before: after if is_updated else before, mask, new, old)


def _with_schedules(opt_state: Tree, other: Tree) -> Tree:
    """`opt_state` with the counts of the learning-rate schedules in `other`."""

    def is_schedule(leaf: Any) -> bool:
        return isinstance(leaf, optax.ScaleByScheduleState)

    return jax.tree.map(lambda own, its: its if is_schedule(own) else own, opt_state, other, is_leaf=is_schedule)


def require_batch_norm(method: str, stats: Tree) -> None:
    """Raise a UserError if the network has no batch normalisation, which its empty statistics show."""
    if not jax.tree.leaves(stats):
        raise UserError(
            f"{method} adapts batch normalisation, and this network has none; choose a model with it, or another method"
        )
