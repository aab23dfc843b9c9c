"""`da-bench reproduce`: a paper's table, its numbers beside those of this suite."""

import dataclasses
import json
from typing import ClassVar

from da_bench.cli.options import StudyCommand
from da_bench.cli.parse import Words, read
from da_bench.core.config import UserError
from da_bench.core.distributed import is_primary
from da_bench.reporting import reproduction
from da_bench.reporting.reproduction import Reproduction
from da_bench.reporting.tables.write import print_tables
from da_bench.studies.study import study


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reproduce(StudyCommand):
    """Reproduce a paper: make the missing runs of its file in experiments/ and compare its numbers with theirs.

    Writes a card, tables, plots and the records into RESULTS/NAME. Without a name, lists the reproductions and what
    they cost.
    """

    EXAMPLES: ClassVar[str] = """  $ da-bench reproduce
  $ da-bench reproduce jmlr_moons --quick
  $ da-bench reproduce jmlr_amazon --data-root ~/data"""

    rule: str = "im"
    """Selection rule without target labels whose numbers stand beside those by the paper's own rule: last, or one of
    `da-bench list validators`."""
    quick: bool = False
    """Instead: repeat a short list of runs; exit code 1 if a number leaves the interval that the file states."""

    def run(self, name: str) -> None:
        """List the reproductions, check one quickly, or make one and write its card."""
        if self.quick and not name:
            raise UserError("--quick checks one reproduction: da-bench reproduce NAME --quick")
        self.set_up_devices()
        if not name:
            _print_list()
        elif self.quick:
            print(*reproduction.run_quick_check(reproduction.find(name), self.options()), sep="\n")
        else:
            self._reproduce(reproduction.find(name))

    def _reproduce(self, paper: Reproduction) -> None:
        options = reproduction.options_for(paper, self.options(), self.rule)
        results = study(paper.experiments, options)
        if self.study.shard != "1/1" or not is_primary():
            count, folder = len(results.records), self.study.results / "runs"
            print(f"{count} records in {folder}; the command without --shard writes the card")
            return
        card, written = reproduction.write_reproduction(paper, results, options, self.rule)
        if self.json:
            print(json.dumps({"event": "done", "card": card.data(), "written": [str(path) for path in written]}))
        elif not self.quiet:
            print_tables(card.tables)
            print("", *(f"{title}: {text}" for title, text in card.head), "\nwritten:", *written, sep="\n  ")


def _print_list() -> None:
    for paper in map(reproduction.find, reproduction.names()):
        print(f"{paper.name}: {paper.paper.title}. {paper.question}\n  {paper.paper.cost}")


def main(words: Words) -> None:
    """Reproduce the paper that is named, or list the papers."""
    named = bool(words.rest) and not words.rest[0].startswith("-")
    name, rest = (words.rest[0], words.rest[1:]) if named else ("", words.rest)
    read(Reproduce, Words(f"{words.program} {name or 'NAME'}", rest)).run(name)
