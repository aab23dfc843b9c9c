"""Prediction: the network's output in evaluation mode, one chunk of inputs after another."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from da_bench.core.types import Array, Output, Tree
from da_bench.data.transforms import View, evaluation_input
from da_bench.methods import Trainer

# Most inputs in one pass: bounds the memory of convolutions over a test set. The activations of 32 digits stay in the
# caches of a CPU, where 1000 take two to three times as long; an accelerator wants many.
CHUNK_OF_BACKEND = {"cpu": 32}
CHUNK = 1000
CHUNK_VALUES = 2**22  # most values in all inputs of a pass: 27 images of 224 pixels


class PredictRequest(NamedTuple):
    """What is to be predicted.

    Attributes:
        inputs: stored inputs [N, ...].
        rows: of `inputs`, [n].
        of_target: whether each row comes from the target, bool [n].
    """

    inputs: Array
    rows: Array
    of_target: Array


def predict(
    trainer: Trainer, variables: tuple[Tree, Tree], request: PredictRequest, transform: View | None = None
) -> Output:
    """Return the network's output in evaluation mode, in chunks of `evaluation_chunk` rows.

    Args:
        trainer: of the run.
        variables: (parameters, statistics) of the network, see `Method.inference_variables`.
        request: what is to be predicted.
        transform: how stored inputs become the network's; None leaves them as they are.
    """

    def predict_chunk(chunk: tuple[Array, Array]) -> Output:
        rows, of_target = chunk
        return trainer.predict(*variables, evaluation_input(transform, request.inputs[rows]), of_target)

    rows, count = (request.rows, request.of_target), len(request.rows)
    size = min(evaluation_chunk(request.inputs, transform), count)
    complete = count - count % size
    chunks = jax.tree.map(lambda leaf: leaf[:complete].reshape(-1, size), rows)
    output = jax.tree.map(lambda leaf: leaf.reshape(complete, *leaf.shape[2:]), jax.lax.map(predict_chunk, chunks))
    if complete == count:
        return output
    rest = predict_chunk(jax.tree.map(lambda leaf: leaf[complete:], rows))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), output, rest)


def evaluation_chunk(inputs: Array, transform: View | None = None) -> int:
    """Return how many of the inputs [N, ...] are predicted side by side."""
    values = math.prod(inputs.shape[1:]) if transform is None else 3 * transform.pixels**2
    most = CHUNK_OF_BACKEND.get(jax.default_backend(), CHUNK)
    return max(1, min(most, CHUNK_VALUES // values))
