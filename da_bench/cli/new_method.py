"""`da-bench new-method`: a file with a working method, ready to be changed into another."""

import dataclasses
import keyword
import re
from pathlib import Path
from typing import ClassVar

from tyro.conf import Positional

from da_bench.cli.parse import Words, read
from da_bench.core.config import UserError, snake_case
from da_bench.methods import METHODS, load_plugins

TEMPLATE = '''"""{title}."""

import jax.numpy as jnp

import da_bench as da
from da_bench.methods import LogUniform, NonNegative, Penalty, register


@register(search={{"weight": LogUniform(0.01, 10)}})
class {name}(Penalty):
    """Squared distance between the domains' mean features. Replace it with your own term.

    Args:
        weight: multiplies the term, >= 0; with 0 the method is source-only training.

    References:
        Tzeng, Hoffman, Zhang, Saenko and Darrell, Deep Domain Confusion, 2014. arXiv:1412.3474, Eq. 1.
    """

    weight: NonNegative = 1.0

    def loss(self, ctx):
        """Return the added term, a scalar.

        ctx.source and ctx.target hold features [n, d] and logits [n, c]; ctx.labels [n] are those of the source.
        """
        gap = ctx.source.features.mean(0) - ctx.target.features.mean(0)
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
    """Write a file with a working method, its paper and its experiment, ready to be changed into another."""

    EXAMPLES: ClassVar[str] = """  $ da-bench new-method MeanGap
  $ da-bench check mean_gap.py
  $ da-bench run mean_gap.py"""

    name: Positional[str]
    """Name of the class, such as MeanGap; the file is mean_gap.py."""
    folder: Path = Path()
    """Folder of the file."""

    def run(self) -> None:
        """Write the file and print the next commands.

        Raises:
            UserError: the name is no class name or is taken, the file exists, or it cannot be written.
        """
        load_plugins()
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", self.name) or keyword.iskeyword(self.name):
            raise UserError(f"'{self.name}' cannot be the name of a class; write it like MeanGap")
        name = snake_case(self.name)
        if name in METHODS:
            raise UserError(f"there is a method '{name}' already; choose another name")
        path = self.folder / f"{name}.py"
        try:
            with path.open("x", encoding="utf-8") as file:  # never overwrites
                file.write(TEMPLATE.format(name=self.name, title=name.replace("_", " ").capitalize()))
        except FileExistsError:
            raise UserError(f"{path} exists already; remove it, or choose another name") from None
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        print(f"written: {path}\n  da-bench check {path}\n  da-bench run {path}")


def main(words: Words) -> None:
    """Write the file."""
    read(NewMethod, words).run()
