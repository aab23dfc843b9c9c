"""Remake the committed tables and cards in results/ from the archives of records next to them.

    python -m benchmarks.remake_tables

Use it after a change of captions or columns: no run is repeated. tables.md and the cards are remade if they are
committed; any other page whose first line is a comment with a `da-bench table` command is the output of that command.
"""

import contextlib
import io
import tempfile
from pathlib import Path

from da_bench.cli import main as da_bench
from da_bench.core.storage import write_atomic
from da_bench.methods import load_plugins
from da_bench.reporting import reproduction
from da_bench.reporting.reproduction.disagreements import read_disagreements
from da_bench.reporting.tables.write import write_tables
from da_bench.studies.archive import archive_in, unpack

RESULTS = Path(__file__).parents[1] / "results"
COMMAND = "<!-- da-bench table "


def studies() -> list[Path]:
    """Folders in results/ that have an archive of records."""
    return sorted(folder for folder in RESULTS.iterdir() if folder.is_dir() and archive_in(folder))


def remade_pages(folder: Path) -> dict[Path, str]:
    """Committed path -> the text that the code makes now.

    Args:
        folder: a study in results/. The commands in its pages name it relative to the working directory, which has to
            be the top of the repository.
    """
    load_plugins()  # published numbers are shown next to results
    pages = {}
    with tempfile.TemporaryDirectory() as scratch:
        written = []
        if (folder / "tables.md").is_file():
            archive = unpack(archive_in(folder) or folder)
            written += write_tables(archive.records, Path(scratch), archive.rule)
        if (folder / "card.md").is_file():
            card = reproduction.remake_card(reproduction.find(folder.name), folder)
            written += reproduction.write_card(card, read_disagreements(folder), Path(scratch))
        for path in written:
            if (folder / path.name).is_file():
                pages[folder / path.name] = path.read_text()
    for path in sorted(folder.glob("*.md")):
        first, _ = path.read_text().split("\n", 1)
        if first.startswith(COMMAND):
            arguments = first.removeprefix("<!-- da-bench ").removesuffix(" -->").split()
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                status = da_bench(arguments)
            if status:
                raise SystemExit(f"{path}: its command fails: {first}")
            pages[path] = f"{first}\n{output.getvalue()}"
    return pages


def main() -> None:
    """Remake every page and print the paths of those that changed."""
    for folder in studies():
        for path, text in remade_pages(folder).items():
            if text != path.read_text():
                print(write_atomic(path, text).relative_to(RESULTS.parent))


if __name__ == "__main__":
    main()
