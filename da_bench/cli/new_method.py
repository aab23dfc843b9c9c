"""`da-bench new-method`: a file that is a method already, to be made into another."""

import dataclasses
import keyword
import re
from pathlib import Path
from typing import Annotated

import tyro

from da_bench.core.config import UserError

TEMPLATE = '''"""{title}."""

import jax.numpy as jnp

import da_bench as da
from da_bench.core.config import NonNegative


@da.methods.register
class {name}(da.methods.Penalty):
    """Squared distance between the mean features of the two domains, until you write another term.

    weight: of the term beside the source's cross-entropy; 0 is source only.

    References: Tzeng, Hoffman, Zhang, Saenko and Darrell, Deep Domain Confusion, 2014. arXiv:1412.3474, Eq. 1.
    """

    weight: NonNegative = 1.0

    def loss(self, params, source, target, labels, progress, key):
        """The added term, a scalar. source, target: .features [n, d] and .logits [n, c]; labels [n] of the source.

        params: what `init` makes, if you write it; progress: from 0 to 1 over the run; key: for random draws.
        """
        gap = source.features.mean(axis=0) - target.features.mean(axis=0)
        return self.weight * jnp.sum(gap**2)


EXPERIMENTS = da.over_seeds(
    [
        da.Experiment(task="moons/35", method=method, training=da.Training(steps=500))
        for method in (da.methods.SourceOnly(), {name}())
    ],
    seeds=5,
)
'''


@dataclasses.dataclass(frozen=True)
class NewMethod:
    """Write a file with a method that works, its paper and its experiment, to be changed into your own."""

    name: Annotated[str, tyro.conf.Positional]
    """Of its class, as in MeanGap; the file is mean_gap.py."""
    folder: Path = Path()
    """Where to put it."""


def new_method(arguments: list[str]) -> None:
    """`da-bench new-method`."""
    asked = tyro.cli(NewMethod, args=arguments, prog="da-bench new-method")
    from da_bench.core.config import snake_case
    from da_bench.methods import METHODS, load_plugins

    load_plugins()
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", asked.name) or keyword.iskeyword(asked.name):
        raise UserError(f"'{asked.name}' cannot be the name of a class; write it as in MeanGap")
    short = snake_case(asked.name)
    if short in METHODS:
        raise UserError(f"there is a method '{short}' already; choose another name")
    path = asked.folder / f"{short}.py"
    try:
        with path.open("x", encoding="utf-8") as file:  # never over what is there
            file.write(TEMPLATE.format(name=asked.name, title=short.replace("_", " ").capitalize()))
    except FileExistsError:
        raise UserError(f"{path} is there already; remove it, or choose another name") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    print(f"written: {path}\n  da-bench check {path}\n  da-bench run {path}")
