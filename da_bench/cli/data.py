"""`da-bench data`: what data sets there are, whether one's own copy is sound, decoding it once, and a look at it."""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from da_bench.core.config import UserError, did_you_mean

HELP = """usage: da-bench data WHAT [OPTIONS]

  list           the known families of data sets, and what of them is there under the data root
  about FAMILY   of one known family: domains, counts, classes, citation, terms, and where to get the files
  check NAME     counts against the published ones, damage, duplicates, classes that one side lacks
  prepare NAME   decode the images once, into the cache that training reads
  preview TASK   a contact sheet (PNG) of source and target by class

NAME is a family (office31), one of its domains (office31/amazon), a folder of the data root with a folder for each
domain and in it one for each class (my_folder), or a folder of .npz or .mat files (table/my_folder).
The data root: --data-root, or the variable DA_BENCH_DATA.
"""


@dataclasses.dataclass(frozen=True)
class Where:
    """Where the user's data sets are."""

    data_root: Path | None = None
    """Folder of your data sets; default: the variable DA_BENCH_DATA."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListData(Where):
    """The known families of data sets, and what is there under the data root."""

    json: bool = False
    """For programs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class About(Where):
    """All there is to know of a family of data sets."""

    name: str
    """The family."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageOptions(Where):
    """How images are stored."""

    name: str
    """Family, domain, or folder of the data root."""
    pixels: int = 224
    """Side of the images that a network will see; they are stored an eighth larger."""
    resize: Literal["squash", "centre"] = "squash"
    """The whole image squashed to a square, or its central square."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare(ImageOptions):
    """Decode the images of a family, domain or folder once."""

    tfds: Path | None = None
    """Write tensorflow-datasets (array_record) into this folder instead, the images unaltered."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check(ImageOptions):
    """Hold a copy of a data set against what was published."""

    manifest: Path | None = None
    """Write the sha256 of every example into this file, as `sha256sum --check` reads it in the data root."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preview(Where):
    """A contact sheet of source and target by class."""

    task: str
    """A pair of domains, such as office31/amazon-to-webcam."""
    out: Path = Path("preview.png")
    """The PNG to write."""
    per_class: int = 5
    """Images of each class and domain, at most 50."""


def data(arguments: list[str]) -> None:
    """`da-bench data`."""
    verbs: dict[str, Callable[[list[str]], None]] = {
        "list": list_,
        "about": about,
        "check": check,
        "prepare": prepare,
        "preview": preview,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if arguments[0] not in verbs:
        raise UserError(f"da-bench data has no '{arguments[0]}'{did_you_mean(arguments[0], verbs)}")
    verbs[arguments[0]](arguments[1:])


def _asked(kind: type, arguments: list[str], verb: str) -> Any:
    import tyro

    return tyro.cli(kind, args=arguments, prog=f"da-bench data {verb}", config=(tyro.conf.PositionalRequiredArgs,))


def list_(arguments: list[str]) -> None:
    """`da-bench data list`."""
    asked = _asked(ListData, arguments, "list")
    from da_bench.data.domains import FAMILIES

    root = _root(asked.data_root)
    families = [_described(family, root) for family in FAMILIES.values()]
    if asked.json:
        print(json.dumps(families, indent=1))
        return
    _print_table(("family", "classes", "examples", "here", "domains"), [_line(family) for family in families])
    print("da-bench data about FAMILY says where to get its files. A folder of your own needs no more than its name.")


def _root(given: Path | None) -> Path | None:
    """The data root, None where none is given.

    Raises:
        UserError: it is not a folder.
    """
    from da_bench.data.files import data_root

    return data_root(given) if given or os.environ.get("DA_BENCH_DATA") else None


def _described(family: Any, root: Path | None) -> dict[str, Any]:
    facts = {name: getattr(family, name) for name in ("name", "citation", "terms", "how_to_get", "folder", "model")}
    domains = {
        own: {"examples": dict(counts), "present": _present(family, own, root)}
        for own, counts in family.domains.items()
    }
    return {**facts, "classes": list(family.classes), "domains": domains}


def _present(family: Any, own: str, root: Path | None) -> bool:
    from da_bench.data.domains import missing

    try:
        return not missing(own if own == family.name else f"{family.name}/{own}", root)
    except UserError:  # no data root: nothing is there
        return False


def _line(family: dict[str, Any]) -> tuple[str, ...]:
    domains = family["domains"]
    total = sum(sum(domain["examples"].values()) for domain in domains.values())
    here = sum(domain["present"] for domain in domains.values())
    return (
        family["name"],
        str(len(family["classes"]) or "?"),
        str(total or "?"),
        f"{here} of {len(domains)}" if here else "no",
        ", ".join(domains),
    )


def _print_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, justify="right" if head in ("classes", "examples", "published") else "left")
    for line in lines:
        table.add_row(*line)
    console = Console(markup=False, highlight=False)
    console.print(table) if console.is_terminal else Console(markup=False, width=160).print(table)


def about(arguments: list[str]) -> None:
    """`da-bench data about`."""
    asked = _asked(About, arguments, "about")
    from da_bench.data.domains import FAMILIES

    if asked.name not in FAMILIES:
        own = f"of a folder or table of your own, `da-bench data check {asked.name}` tells"
        raise UserError(f"unknown family '{asked.name}'{did_you_mean(asked.name, FAMILIES)}; {own}")
    family = _described(FAMILIES[asked.name], _root(asked.data_root))
    print(f"{family['name']}: {family['citation']}\nterms: {family['terms']}\nfiles: {family['how_to_get']}")
    for own, domain in family["domains"].items():
        counts = ", ".join(f"{count} {part}" for part, count in domain["examples"].items()) or "counts not published"
        wanted = ", ".join(FAMILIES[asked.name].files(own)).replace("|", " or ")
        place = f" in {family['folder']}/: {wanted}" if wanted else ""
        print(f"  {own}: {counts} ({'here' if domain['present'] else 'not here'}){place}")
    print(f"{len(family['classes'])} classes: {', '.join(family['classes'])}")


def _view(asked: Any) -> Any:
    from da_bench.data.transforms import View

    return View(pixels=asked.pixels, resize=asked.resize)


def check(arguments: list[str]) -> None:
    """`da-bench data check`: UserError, after the report, where something is wrong."""
    asked = _asked(Check, arguments, "check")
    from da_bench.data.check import check as check_data
    from da_bench.data.check import findings

    if asked.manifest:
        _check_place(asked.manifest)
    report = check_data(asked.name, asked.data_root, _view(asked))
    for domain in report.domains:
        _print_domain(domain)
    print(*findings(report), sep="\n")
    if asked.manifest:
        _write(asked.manifest, report.manifest())
        print(f"manifest: {asked.manifest}")
    if report.faults:
        raise UserError(f"'{asked.name}' is not sound: " + "; ".join(report.faults))
    print(f"'{asked.name}' is sound")


def _check_place(path: Path) -> None:
    """UserError where a file cannot be: told before an hour's work, not after it."""
    if path.is_dir() or not path.parent.is_dir():
        fault = "it is a folder" if path.is_dir() else f"there is no folder '{path.parent}'"
        raise UserError(f"cannot write '{path}': {fault}; choose another --manifest")


def _write(path: Path, text: str) -> None:
    from da_bench.core.storage import write_atomic

    write_atomic(path, text, "choose another --manifest")


def _print_domain(domain: Any) -> None:
    if domain.fault:
        print(f"{domain.name}: {domain.fault}")
        return
    counts = ", ".join(f"{count} {part}" for part, count in domain.counts.items())
    published = " (as published)" if domain.counts == domain.published else ""
    least, most = min(domain.classes.values()), max(domain.classes.values())
    print(f"{domain.name}: {counts}{published}; {len(domain.classes)} classes of {least} to {most} examples")
    print("  " + ", ".join(f"{name} {count}" for name, count in domain.classes.items()))


def prepare(arguments: list[str]) -> None:
    """`da-bench data prepare`."""
    asked = _asked(Prepare, arguments, "prepare")
    from da_bench.data import domains

    for domain in domains.domains_of(asked.name, asked.data_root):
        if asked.tfds is None:
            whole = domains.read(domain, asked.data_root, _view(asked))
            print(f"{domain}: {len(whole.examples.labels)} examples of shape {whole.examples.inputs.shape[1:]}")
        else:
            from da_bench.data import tfds_build as builders

            print(f"{domain}: {builders.prepare(domain, asked.tfds, asked.data_root)}")


def preview(arguments: list[str]) -> None:
    """`da-bench data preview`."""
    asked = _asked(Preview, arguments, "preview")
    from da_bench.data.contact_sheet import write_preview

    write_preview(asked.task, asked.out, asked.data_root, asked.per_class)
    print(asked.out)
