"""Marginalised stacked denoising autoencoders (mSDA), a representation learned without labels.

Each layer has a closed-form solution computed from inputs alone. It is learned from the training and validation rows
of both domains; test rows take part only if the protocol trains on them. Representations are kept in the feature store.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from da_bench.core.config import Count, UserError, as_dict, config_dataclass
from da_bench.core.types import Splits, Task
from da_bench.data.lazy_arrays import Rows, pool
from da_bench.pretrained.features import IdentityKey, cached_array, write_array

# Added to the diagonal, except for the constant feature, as in the authors' code: a word that occurs in no row would
# make the matrix singular.
RIDGE = 1e-5
MAX_FEATURES = 10_000  # a layer solves a linear system with this many unknowns


@config_dataclass
class Msda:
    """Representation [n, (layers + 1) d] of inputs [n, d]: the inputs and the output of every layer.

    A layer maps h to tanh(W [h, 1]). W minimises the expected squared error of reconstructing rows from copies in which
    every value is set to 0 with probability `corruption`. In the limit of infinitely many copies W = P Q^-1.

    Attributes:
        layers: number of layers; default as in Ganin et al.
        corruption: probability in (0, 1); default as in Ganin et al.

    References: Chen, Xu, Weinberger and Sha, Marginalized Denoising Autoencoders for Domain Adaptation, ICML 2012.
        arXiv:1206.4683, Eqs. 5-7 and Algorithm 1. Defaults: Ganin et al., JMLR 2016, Section 5.1.4.
    """

    layers: Count = 5
    corruption: Annotated[float, Field(gt=0, lt=1)] = 0.5


def denoiser(rows: np.ndarray, corruption: float) -> np.ndarray:
    """Weights of one mSDA layer: the W with the least expected sum of |x - W [x~, 1]|^2.

    x~ is x with each value set to 0 with probability `corruption`, independently. A ridge of `RIDGE` is added for all
    features but the constant. With S = X~^T X~ over rows [x, 1], and q the probability that a value is kept (1 for the
    constant): Q_ij = S_ij q_i q_j, Q_ii = S_ii q_i and P_ij = S_ij q_j.

    Args:
        rows: x, float64 [n, d].
        corruption: probability in (0, 1).

    Returns:
        W^T, float64 [d + 1, d].
    """
    import scipy.linalg

    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    keep = np.full(rows.shape[1], 1 - corruption)
    keep[-1] = 1
    scatter = rows.T @ rows
    diagonal = np.diag(scatter) * keep + RIDGE
    diagonal[-1] -= RIDGE
    p = scatter[:, :-1] * keep[:, None]
    q = scatter
    q *= np.outer(keep, keep)
    np.fill_diagonal(q, diagonal)
    weights: np.ndarray = scipy.linalg.solve(q, p, assume_a="pos", overwrite_a=True, overwrite_b=True)
    return weights


def stack_layers(inputs: Any, training_rows: np.ndarray, msda: Msda) -> np.ndarray:
    """Compute the representation.

    Args:
        inputs: [n, d].
        training_rows: indices of the rows from which the layers are learned.
        msda: the settings.

    Returns:
        float32 [n, (layers + 1) d].
    """
    layers = [np.asarray(inputs, np.float32)]
    for _ in range(msda.layers):
        weights = denoiser(layers[-1][training_rows].astype(np.float64), msda.corruption).astype(np.float32)
        layers.append(np.tanh(layers[-1] @ weights[:-1] + weights[-1]))
    return np.concatenate(layers, axis=1)


def represent(task: Task, msda: Msda) -> Task:
    """Replace the inputs [n, d] of a task by their mSDA representation.

    The fingerprint of the result is computed from the inputs and the settings, so it is the same on every machine,
    although roundings are not.

    Raises:
        UserError: the inputs are not rows of numbers, or too wide; the store is damaged.
        StorageError: the store cannot be written to.
    """
    return _represent(IdentityKey(task), msda)


@functools.lru_cache(maxsize=1)  # a representation may take a gigabyte
def _represent(key: IdentityKey, msda: Msda) -> Task:
    task: Task = key.value
    shape = task.source.train.inputs.shape[1:]
    if len(shape) != 1 or shape[0] > MAX_FEATURES:
        raise UserError(
            f"Experiment.msda needs inputs that are rows of at most {MAX_FEATURES} numbers; those of '{task.name}' "
            f"have the shape {shape}"
        )
    origin = with_representation_origin(task, msda).origin
    domains = [domain for splits in (task.source, task.target) for domain in splits]
    inputs, rows = pool([domain.inputs for domain in domains])
    train_and_validation = np.unique(np.concatenate([rows[i] for i in (0, 1, 3, 4)]))  # 2 and 5 are the test splits

    def fill(folder: Path) -> None:
        write_array(folder, stack_layers(inputs, train_and_validation, msda))

    array = cached_array(f"msda-{origin[:16]}", (len(inputs), (msda.layers + 1) * shape[0]), fill)
    outputs: list[Any] = [Rows(array, index) for index in rows]
    represented = [domain._replace(inputs=output) for domain, output in zip(domains, outputs, strict=True)]
    return dataclasses.replace(task, source=Splits(*represented[:3]), target=Splits(*represented[3:]), origin=origin)


def with_representation_origin(task: Task, msda: Msda) -> Task:
    """Give the task the fingerprint of its representation, but keep its inputs. Enough for code that reads labels."""
    description = f"{task.fingerprint} {json.dumps(as_dict(msda), sort_keys=True)}"
    return dataclasses.replace(task, origin=hashlib.sha256(description.encode()).hexdigest())
