"""A network that is the moving average of the one that learns."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array, Tree


def averaged(teacher: Tree, student: Tree, step: Array, decay: Array | float) -> Tree:
    """The teacher after the student's `step`-th update, counted from 0: d * teacher + (1 - d) * student.

    d = min(decay, step / (step + 1)), so that it is the plain mean of the first 1 / (1 - decay) students and holds
    nothing of the random start (Tarvainen and Valpola 2017, arXiv:1703.01780, authors' code).
    """
    d = jnp.minimum(decay, step / (step + 1))
    return jax.tree.map(lambda ours, theirs: d * ours + (1 - d) * theirs, teacher, student)
