"""Self-ensembling: a teacher that is the average of its student."""

import jax
import jax.numpy as jnp

from da_bench.core.config import Fraction, NonNegative
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.entropy import conditional_entropy
from da_bench.methods._augment import Perturbation, perturbed
from da_bench.methods._ema import averaged
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "order_within_a_batch_does_not_matter": "every row has noise of its own, by its place in the batch",
        "weight_zero_is_source_only": "the source too is augmented",
    }
)
class MeanTeacher(Method):
    """The student learns the source and, on the target, what its average predicts of the same rows seen otherwise.

    Minimised is the source cross-entropy + weight * (the mean over target rows of |p - q|^2 / c, where the teacher's q
    is confident, 0 where not; + balance * the class balance loss).

    weight: 3, as the authors' code. decay: alpha of the teacher's moving average. threshold: least confidence of the
    teacher for a row to count, Section 3.3; it takes the place of a ramp of the weight. balance: of the sum over
    classes of the binary cross-entropy between the mean prediction and 1 / c, times the share of confident rows
    (Section 3.4). perturbation: "noise" or "cutout", for student (both domains) and teacher independently, on top of
    the view. strength: of the noise 0.1 standard deviations (the paper), of cutout the share of the side.

    The teacher predicts, by the student's running averages of batch statistics; the paper's has its own. It sees target
    rows alone, while `Training.batch_norm` "joint" normalises the student's by the statistics of both domains; "split"
    treats both alike, as the authors' code does. Its average forgets the random start, see `teacher.averaged`.

    References: French, Mackiewicz and Fisher, Self-ensembling for visual domain adaptation, ICLR 2018.
    arXiv:1706.05208, Section 3; authors' code.
    """

    weight: NonNegative = 3.0
    decay: Fraction = 0.99
    threshold: Fraction = 0.968
    balance: NonNegative = 0.005
    perturbation: Perturbation = "noise"
    strength: NonNegative = 0.1

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The teacher."""
        return MethodState(memory={"teacher": spec.network_params})

    def inference_variables(self, state: TrainState) -> tuple[Tree, Tree]:
        """The teacher."""
        return state.memory["teacher"], state.stats

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One step of the student, after which the teacher follows."""
        key = trainer.step_key(state)
        seen, other = self._views(key, batch)
        teacher, dropout = state.memory["teacher"], named_key(key, "teacher dropout")
        judged, _ = trainer.forward(teacher, state.stats, other, dropout, "target")

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            source, target, stats = trainer.forward_domains(
                params["model"], state.stats, seen, named_key(key, "dropout")
            )
            task = trainer.cross_entropy(source, batch.labels)
            gap = self.loss(target.logits, judged.logits)
            return task + gap, (stats, trainer.metrics(task + gap, task, gap))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        after = trainer.apply_gradients(state, gradients, stats)
        followed = averaged(teacher, after.params["model"], state.step, self.decay)
        return after._replace(memory={"teacher": followed}), metrics

    def _views(self, key: Array, batch: Batch) -> tuple[Batch, Array]:
        """(what the student sees, what the teacher sees of the target)."""
        given = {"source": batch.source, "target": batch.target, "teacher": batch.target}
        seen = {
            name: perturbed(named_key(key, f"{name} noise"), inputs, self.perturbation, self.strength)
            for name, inputs in given.items()
        }
        return batch._replace(source=seen["source"], target=seen["target"]), seen["teacher"]

    def loss(self, student: Array, teacher: Array) -> Array:
        """weight * (consistency + balance) of logits [n, c] of the same rows."""
        p, q = jax.nn.softmax(student), jax.lax.stop_gradient(jax.nn.softmax(teacher))
        confident = (q.max(axis=1) > self.threshold).astype(p.dtype)
        consistency = jnp.mean(confident * jnp.mean((p - q) ** 2, axis=1))
        return self.weight * (consistency + self.balance * confident.mean() * class_balance(student))

    def discrepancy(self, source: Output, target: Output) -> Array:
        """The mean entropy of the target's predictions."""
        return conditional_entropy(target.logits)


def class_balance(logits: Array) -> Array:
    """Sum over classes of the binary cross-entropy between the mean prediction of logits [n, c] and 1 / c."""
    c = logits.shape[1]
    mean = jnp.clip(jax.nn.softmax(logits).mean(axis=0), 1e-6, 1 - 1e-6)
    return -jnp.sum(jnp.log(mean) / c + (1 - 1 / c) * jnp.log1p(-mean))
