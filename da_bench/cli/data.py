"""`da-bench data`: known data sets, checks of a copy, decoding it once, and a contact sheet."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from da_bench.cli.options import DataRoot
from da_bench.cli.parse import Words, run_group
from da_bench.core.config import UserError, did_you_mean
from da_bench.core.storage import write_atomic
from da_bench.data import check, domains, files, tfds_build
from da_bench.data.contact_sheet import write_preview
from da_bench.data.domains import FAMILIES
from da_bench.data.transforms import View

DESCRIPTION = """Data sets: list, check, prepare and preview them.

NAME is a family (office31), one of its domains (office31/amazon), a folder of the data root with a folder for each
domain and in it a folder for each class (my_folder), or a folder of .npz or .mat files (table/my_folder).
The data root is the folder of --data-root, or of the variable DA_BENCH_DATA.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListData:
    """List the known families of data sets, and which domains are present under the data root."""

    data_root: DataRoot = None
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Print the families."""
        root = _root(self.data_root)
        families = [_facts(family, root) for family in FAMILIES.values()]
        if self.json:
            print(json.dumps(families, indent=1))
            return
        _print_table(("family", "classes", "examples", "here", "domains"), [_row(family) for family in families])
        print("`da-bench data about FAMILY` says where to get its files. A folder of your own needs only its name.")


def _root(given: Path | None) -> Path | None:
    """The data root; None if none is given.

    Raises:
        UserError: it is not a folder.
    """
    return files.data_root(given) if given or os.environ.get("DA_BENCH_DATA") else None


def _facts(family: Any, root: Path | None) -> dict[str, Any]:
    """What is known of a family, and which of its domains are present, JSON-able."""
    names = ("name", "citation", "terms", "how_to_get", "folder", "model")
    present = {
        domain: {"examples": dict(counts), "present": _is_present(family, domain, root)}
        for domain, counts in family.domains.items()
    }
    return {
        **{name: getattr(family, name) for name in names},
        "classes": list(family.classes),
        "domains": present,
    }


def _is_present(family: Any, domain: str, root: Path | None) -> bool:
    try:
        return not domains.missing(domain if domain == family.name else f"{family.name}/{domain}", root)
    except UserError:  # no data root
        return False


def _row(family: dict[str, Any]) -> tuple[str, ...]:
    total = sum(sum(domain["examples"].values()) for domain in family["domains"].values())
    present = sum(domain["present"] for domain in family["domains"].values())
    return (
        family["name"],
        str(len(family["classes"]) or "?"),
        str(total or "?"),
        f"{present} of {len(family['domains'])}" if present else "no",
        ", ".join(family["domains"]),
    )


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, justify="right" if head in ("classes", "examples", "published") else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False)
    console.print(table) if console.is_terminal else Console(markup=False, width=160).print(table)


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """Describe a known family: domains, counts, classes, citation, terms, and where to get the files."""

    EXAMPLES: ClassVar[str] = """  $ da-bench data about office31"""

    name: Positional[str]
    """The family."""
    data_root: DataRoot = None

    def run(self) -> None:
        """Print the facts of the family."""
        if self.name not in FAMILIES:
            own = f"for a folder or table of your own use `da-bench data check {self.name}`"
            raise UserError(f"unknown family '{self.name}'{did_you_mean(self.name, FAMILIES)}; {own}")
        family = _facts(FAMILIES[self.name], _root(self.data_root))
        print(f"{family['name']}: {family['citation']}\nterms: {family['terms']}\nfiles: {family['how_to_get']}")
        for name, domain in family["domains"].items():
            counts = ", ".join(f"{count} {part}" for part, count in domain["examples"].items())
            wanted = ", ".join(FAMILIES[self.name].files(name)).replace("|", " or ")
            where = f" in {family['folder']}/: {wanted}" if wanted else ""
            print(
                f"  {name}: {counts or 'counts not published'} ({'here' if domain['present'] else 'not here'}){where}"
            )
        print(f"{len(family['classes'])} classes: {', '.join(family['classes'])}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageCommand:
    """Options of the commands that read images."""

    name: Positional[str]
    """Family, domain, or folder of the data root."""
    data_root: DataRoot = None
    pixels: int = 224
    """Side of the images that a network will see; they are stored an eighth larger."""
    resize: Literal["squash", "centre"] = "squash"
    """squash: the whole image, squashed to a square. centre: its central square."""

    @property
    def view(self) -> View:
        """How the images become inputs."""
        return View(pixels=self.pixels, resize=self.resize)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check(ImageCommand):
    """Check a copy: counts against the published ones, damage, duplicates, classes that one domain lacks."""

    EXAMPLES: ClassVar[str] = """  $ da-bench data check office31
  $ da-bench data check my_folder --data-root ~/data --manifest SHA256SUMS"""

    manifest: Path | None = None
    """Write the sha256 of every example to this file; `sha256sum --check` reads it in the data root."""

    def run(self) -> None:
        """Print the report.

        Raises:
            UserError: after the report, if something is wrong.
        """
        if self.manifest:
            _check_writable(self.manifest)
        report = check.check(self.name, self.data_root, self.view)
        for domain in report.domains:
            _print_domain(domain)
        print(*check.findings(report), sep="\n")
        if self.manifest:
            write_atomic(self.manifest, report.manifest(), "choose another --manifest")
            print(f"manifest: {self.manifest}")
        if report.faults:
            raise UserError(f"'{self.name}' is not sound: " + "; ".join(report.faults))
        print(f"'{self.name}' is sound")


def _check_writable(path: Path) -> None:
    """Raise UserError, before an hour's work rather than after it, if a file cannot be at this path."""
    if path.is_dir() or not path.parent.is_dir():
        fault = "it is a folder" if path.is_dir() else f"there is no folder '{path.parent}'"
        raise UserError(f"cannot write '{path}': {fault}; choose another --manifest")


def _print_domain(domain: Any) -> None:
    if domain.fault:
        print(f"{domain.name}: {domain.fault}")
        return
    counts = ", ".join(f"{count} {part}" for part, count in domain.counts.items())
    published = " (as published)" if domain.counts == domain.published else ""
    least, most = min(domain.classes.values()), max(domain.classes.values())
    print(f"{domain.name}: {counts}{published}; {len(domain.classes)} classes of {least} to {most} examples")
    print("  " + ", ".join(f"{name} {count}" for name, count in domain.classes.items()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare(ImageCommand):
    """Decode the images of a family, domain or folder once, into the cache that training reads."""

    EXAMPLES: ClassVar[str] = """  $ da-bench data prepare office31
  $ da-bench data prepare my_folder --data-root ~/data --pixels 64"""

    tfds: Path | None = None
    """Write tensorflow-datasets (array_record) to this folder instead, with the original images."""

    def run(self) -> None:
        """Prepare every domain and print what was prepared."""
        for domain in domains.domains_of(self.name, self.data_root):
            if self.tfds is None:
                examples = domains.read(domain, self.data_root, self.view).examples
                print(f"{domain}: {len(examples.labels)} examples of shape {examples.inputs.shape[1:]}")
            else:
                print(f"{domain}: {tfds_build.prepare(domain, self.tfds, self.data_root)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preview:
    """Write a contact sheet (PNG) of source and target by class."""

    EXAMPLES: ClassVar[str] = """  $ da-bench data preview office31/amazon-to-webcam --out preview.png"""

    task: Positional[str]
    """Pair of domains, such as office31/amazon-to-webcam."""
    data_root: DataRoot = None
    out: Path = Path("preview.png")
    """The PNG to write."""
    per_class: int = 5
    """Images of each class and domain, from 1 to 50."""

    def run(self) -> None:
        """Write the sheet and print its path."""
        write_preview(self.task, self.out, self.data_root, self.per_class)
        print(self.out)


COMMANDS = {"list": ListData, "about": About, "check": Check, "prepare": Prepare, "preview": Preview}


def main(words: Words) -> None:
    """Run one of the commands on data sets."""
    run_group(COMMANDS, words, DESCRIPTION)
