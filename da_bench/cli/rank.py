"""`da-bench rank`: which of the imported weights suit a pair of domains."""

import dataclasses
from typing import ClassVar

from tyro.conf import Positional

from da_bench import pretrained
from da_bench.cli.options import DataRoot
from da_bench.cli.parse import Words, read
from da_bench.cli.table import Format
from da_bench.data.tasks import between
from da_bench.reporting import backbone_ranking
from da_bench.reporting.tables.write import print_tables


@dataclasses.dataclass(frozen=True)
class Rank:
    """Rank imported weights for a pair of domains by their features, before anything is trained."""

    EXAMPLES: ClassVar[str] = """  $ da-bench rank office31/amazon office31/webcam
  $ da-bench rank office31/amazon office31/webcam --by leep --format markdown"""

    source: Positional[str]
    """Source domain, such as office31/amazon."""
    target: Positional[str]
    """Target domain, such as office31/webcam."""
    backbones: tuple[str, ...] = ()
    """Names of imported weights, see `da-bench weights list`; default: all that take images."""
    by: str = "logme"
    """Measure that orders them."""
    data_root: DataRoot = None
    format: Format = "text"
    """How the table is printed."""

    def run(self) -> None:
        """Print the table."""
        takes_images = (name for name in pretrained.imported_names() if pretrained.info(name).view is not None)
        task, names = between(self.source, self.target), self.backbones or tuple(takes_images)
        print_tables([backbone_ranking.rank_backbones(task, names, self.by, self.data_root)], self.format)


def main(words: Words) -> None:
    """Print the ranking of a pair of domains."""
    read(Rank, words).run()
