"""Marginalised stacked denoising autoencoders: inputs of both domains beside what removes corruption from them.

What a layer learns has a closed form, from inputs alone: no label takes part. It is learned from the rows that train
and those that are held out, of both domains; from a test row only where the protocol has it train. The representation
is kept in the feature store.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from da_bench.core.config import Count, UserError, as_dict, setting
from da_bench.core.types import Domain, Splits, Task
from da_bench.data.lazy_arrays import Rows, pool
from da_bench.pretrained.features import IdentityKey, cached_array, write_array

RIDGE = 1e-5  # added to the diagonal but for the constant's place, as the authors do: a word that is in no row has a 0
WIDEST = 10_000  # inputs a row: a layer solves a system of so many unknowns


@setting
class Msda:
    """The representation [n, (layers + 1) d] of inputs [n, d]: they themselves, and what each layer makes of them.

    A layer is tanh(W [h, 1]) of the one before, W being what best takes its rows out of copies in which each value is 0
    with probability `corruption`: least squares over endless copies, W = P Q^-1.

    References: Chen, Xu, Weinberger and Sha, Marginalized Denoising Autoencoders for Domain Adaptation, ICML 2012.
    arXiv:1206.4683, Eqs. 5-7 and Algorithm 1; five layers and 0.5 as in Ganin et al., JMLR 2016, Section 5.1.4.
    """

    layers: Count = 5
    corruption: Annotated[float, Field(gt=0, lt=1)] = 0.5


def denoiser(rows: np.ndarray, corruption: float) -> np.ndarray:
    """W^T [d + 1, d] of float64 rows x [n, d], which has the least expected sum of |x - W [x~, 1]|^2.

    x~ is x with each value 0 with probability `corruption`, independently; a ridge of `RIDGE` on all but the constant.
    With S = X~^T X~ over [x, 1] and q the chance that a value stays, 1 for the constant: Q_ij = S_ij q_i q_j, Q_ii =
    S_ii q_i, P_ij = S_ij q_j.
    """
    import scipy.linalg

    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    stays = np.full(rows.shape[1], 1 - corruption)
    stays[-1] = 1
    scatter = rows.T @ rows
    diagonal = np.diag(scatter) * stays + RIDGE
    diagonal[-1] -= RIDGE
    wanted = scatter[:, :-1] * stays[:, None]
    scatter *= np.outer(stays, stays)
    np.fill_diagonal(scatter, diagonal)
    found: np.ndarray = scipy.linalg.solve(scatter, wanted, assume_a="pos", overwrite_a=True, overwrite_b=True)
    return found


def stacked(rows: Any, learned_from: np.ndarray, msda: Msda) -> np.ndarray:
    """Float32 [n, (layers + 1) d] of rows [n, d], each layer learned from the rows `learned_from`, integers."""
    layers = [np.asarray(rows, np.float32)]
    for _ in range(msda.layers):
        weights = denoiser(layers[-1][learned_from].astype(np.float64), msda.corruption).astype(np.float32)
        layers.append(np.tanh(layers[-1] @ weights[:-1] + weights[-1]))
    return np.concatenate(layers, axis=1)


def represent(task: Task, msda: Msda) -> Task:
    """The task with this representation in place of its inputs [n, d].

    Its fingerprint is of the inputs and of the settings, so equal on every machine, as rounding is not.

    Raises:
        UserError: inputs that are no rows, or too wide; the store is damaged. StorageError: it cannot be written to.
    """
    return _represented(IdentityKey(task), msda)


@functools.lru_cache(maxsize=1)  # of a gigabyte
def _represented(of: IdentityKey, msda: Msda) -> Task:
    task: Task = of.thing
    shape = task.source.train.inputs.shape[1:]
    if len(shape) != 1 or shape[0] > WIDEST:
        raise UserError(
            f"Experiment.msda: an input of '{task.name}' is of shape {shape}; give rows of at most {WIDEST} numbers"
        )
    origin = with_representation_origin(task, msda).origin
    domains = [domain for splits in (task.source, task.target) for domain in splits]
    inputs, places = pool([domain.inputs for domain in domains])
    learned_from = np.unique(np.concatenate([places[i] for i in (0, 1, 3, 4)]))  # not the tests, 2 and 5

    def make(folder: Path) -> None:
        write_array(folder, stacked(inputs, learned_from, msda))

    whole = cached_array(f"msda-{origin[:16]}", (len(inputs), (msda.layers + 1) * shape[0]), make)
    read: Any = [Rows(whole, rows) for rows in places]
    source, target = (Splits(*map(Domain, read[i : i + 3], (one.labels for one in domains[i : i + 3]))) for i in (0, 3))
    return dataclasses.replace(task, source=source, target=target, origin=origin)


def with_representation_origin(task: Task, msda: Msda) -> Task:
    """The task with the fingerprint of its representation, but its own inputs: for what looks at labels alone."""
    told = f"{task.fingerprint} {json.dumps(as_dict(msda), sort_keys=True)}"
    return dataclasses.replace(task, origin=hashlib.sha256(told.encode()).hexdigest())
