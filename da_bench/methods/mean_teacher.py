"""Self-ensembling with a mean teacher."""

import jax
import jax.numpy as jnp

from da_bench.core.config import Fraction, NonNegative
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.entropy import conditional_entropy
from da_bench.methods._augment import Perturbation, perturb
from da_bench.methods._ema import ema_update
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "order_within_a_batch_does_not_matter": "every row has noise of its own, by its place in the batch",
        "weight_zero_is_source_only": "the source too is augmented",
    }
)
class MeanTeacher(Method):
    """Self-ensembling: a student learns the source, and predicts the target as its moving average, the teacher, does.

    The loss is the source cross-entropy + weight * (the mean over target rows of |p - q|^2 / c where the teacher's
    prediction q is confident, 0 elsewhere, + balance * the class balance loss). Student and teacher see the same target
    rows under different perturbations. The teacher predicts.

    Args:
        weight: of the target's terms, >= 0; 3 as in the authors' code.
        decay: alpha of the teacher's moving average, in [0, 1]; 0.99 as in the paper.
        threshold: confidence of the teacher, in [0, 1], from which a row counts (Section 3.3); it replaces a ramp of
            the weight. 0.968 as in the authors' code.
        balance: >= 0, of the sum over classes of the binary cross-entropy between the mean prediction and 1 / c, times
            the share of confident rows (Section 3.4).
        perturbation: "noise" or, for images, "cutout", on top of the view: of the student in both domains, and
            independently of the teacher.
        strength: >= 0; of the noise in standard deviations of the inputs, 0.1 as in the paper; of cutout as a share of
            the image's side.

    Deviations: the teacher uses the student's running batch statistics; the paper's has its own. The teacher sees
    target rows alone, while `Training.batch_norm` = "joint" normalises the student by the statistics of both domains;
    "split" treats both alike, as the authors' code does. The average forgets the random start, see `_ema.ema_update`.

    References:
        French, Mackiewicz and Fisher, Self-ensembling for visual domain adaptation, ICLR 2018. arXiv:1706.05208,
        Section 3; authors' code.
    """

    weight: NonNegative = 3.0
    decay: Fraction = 0.99
    threshold: Fraction = 0.968
    balance: NonNegative = 0.005
    perturbation: Perturbation = "noise"
    strength: NonNegative = 0.1

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Start the teacher at the network's own parameters."""
        return MethodState(memory={"teacher": spec.network_params})

    def inference_variables(self, state: TrainState) -> tuple[Tree, Tree]:
        """Predict with the teacher."""
        return state.memory["teacher"], state.stats

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Update the student, then the teacher."""
        key = trainer.step_key(state)
        student_batch, teacher_inputs = self._views(key, batch)
        teacher, dropout = state.memory["teacher"], named_key(key, "teacher dropout")
        teacher_output, _ = trainer.forward(teacher, state.stats, teacher_inputs, dropout, "target")

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Metrics]]:
            dropout = named_key(key, "dropout")
            source, target, stats = trainer.forward_domains(params["model"], state.stats, student_batch, dropout)
            task = trainer.cross_entropy(source, batch.labels)
            term = self.loss(target.logits, teacher_output.logits)
            return task + term, (stats, trainer.metrics(task + term, task, term))

        gradients, (stats, metrics) = jax.grad(objective, has_aux=True)(state.params)
        after = trainer.apply_gradients(state, gradients, stats)
        average = ema_update(teacher, after.params["model"], state.step, self.decay)
        return after._replace(memory={"teacher": average}), metrics

    def _views(self, key: Array, batch: Batch) -> tuple[Batch, Array]:
        """The student's batch and the teacher's target inputs, each perturbed."""
        inputs = {"source": batch.source, "target": batch.target, "teacher": batch.target}
        views = {
            name: perturb(named_key(key, f"{name} noise"), each, self.perturbation, self.strength)
            for name, each in inputs.items()
        }
        return batch._replace(source=views["source"], target=views["target"]), views["teacher"]

    def loss(self, student: Array, teacher: Array) -> Array:
        """weight * (consistency + balance), from logits [m, c] of the same target rows."""
        p, q = jax.nn.softmax(student), jax.lax.stop_gradient(jax.nn.softmax(teacher))
        confident = (q.max(axis=1) > self.threshold).astype(p.dtype)
        consistency = jnp.mean(confident * jnp.mean((p - q) ** 2, axis=1))
        return self.weight * (consistency + self.balance * confident.mean() * class_balance(student))

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Mean entropy of the target predictions."""
        return conditional_entropy(target.logits)


def class_balance(logits: Array) -> Array:
    """Sum over classes of the binary cross-entropy between the mean prediction of logits [n, c] and 1 / c."""
    c = logits.shape[1]
    mean = jnp.clip(jax.nn.softmax(logits).mean(axis=0), 1e-6, 1 - 1e-6)
    return -jnp.sum(jnp.log(mean) / c + (1 - 1 / c) * jnp.log1p(-mean))
