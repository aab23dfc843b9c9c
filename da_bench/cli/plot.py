"""`da-bench plot`: plots of the records in a results folder, or of single runs."""

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from da_bench.cli import devices
from da_bench.cli.options import DataRoot
from da_bench.cli.parse import Words, read
from da_bench.cli.report import ReportCommand
from da_bench.reporting import inspect
from da_bench.reporting.plots.write import write_figures, write_plots
from da_bench.reporting.tables.rules import check_rule


@dataclasses.dataclass(frozen=True)
class Plot(ReportCommand):
    """Write plots of the records in a results folder: accuracy by method, training curves, sweeps, plots over pairs."""

    EXAMPLES: ClassVar[str] = """  $ da-bench plot --results results --out figures
  $ da-bench plot --boundary 0123456789abcdef"""

    out: Path = Path("results/plots")
    """Folder for the PNG and SVG files."""
    confusion: str | None = None
    """Instead: the confusion matrix of the run whose id begins with this; it reads the labels of the run's data."""
    features: str | None = None
    """Instead: maps of features before and after adaptation of the run whose id begins with this, which is repeated."""
    embedding: Literal["tsne", "umap", "pca"] = "tsne"
    """Layout of the maps of features; all but pca: pip install "da-bench[plots]"."""
    boundary: str | None = None
    """Instead: the class of each point of the plane, before and after adaptation, for the run whose id begins with
    this."""
    data_root: DataRoot = None

    def run(self) -> None:
        """Write the plots and print their paths."""
        check_rule(self.rule)
        single = self.confusion or self.features or self.boundary
        paths = self._write_single_runs() if single else write_plots(self.records(), self.out, self.rule)
        print(*paths, sep="\n")

    def _write_single_runs(self) -> list[Path]:
        devices.set_up()
        figures = {}
        if self.confusion:
            figure = inspect.confusion(self.results, self.confusion, self.data_root, self.rule)
            figures[f"confusion_{self.confusion}"] = figure
        if self.features:
            figure = inspect.features(self.results, self.features, self.data_root, self.embedding)
            figures[f"features_{self.features}"] = figure
        if self.boundary:
            figures[f"boundary_{self.boundary}"] = inspect.boundaries(self.results, self.boundary, self.data_root)
        return write_figures(figures, self.out)


def main(words: Words) -> None:
    """Write the plots that the options ask for."""
    read(Plot, words).run()
