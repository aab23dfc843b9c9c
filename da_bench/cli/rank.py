"""`da-bench rank`: which backbone suits a pair of domains."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class Rank:
    """Score imported weights for a pair of domains by their features, before anything is trained."""

    source: Annotated[str, tyro.conf.Positional]
    """A domain, such as office31/amazon."""
    target: Annotated[str, tyro.conf.Positional]
    """Another, such as office31/webcam."""
    backbones: tuple[str, ...] = ()
    """Names of imported weights, see `da-bench weights list`; default: all that are for images."""
    by: str = "logme"
    """What they are ordered by."""
    data_root: Path | None = None
    """Folder of your data sets; default: the variable DA_BENCH_DATA."""
    format: Literal["text", "markdown", "latex", "csv", "json"] = "text"
    """How the table is printed."""


def rank(arguments: list[str]) -> None:
    """`da-bench rank`."""
    asked = tyro.cli(Rank, args=arguments, prog="da-bench rank")
    from da_bench import pretrained as weights
    from da_bench.data.tasks import between
    from da_bench.reporting.backbone_ranking import rank_backbones as ranked
    from da_bench.reporting.tables.write import print_tables

    there = asked.backbones or tuple(name for name in weights.imported_names() if weights.info(name).view is not None)
    print_tables([ranked(between(asked.source, asked.target), there, asked.by, asked.data_root)], asked.format)
