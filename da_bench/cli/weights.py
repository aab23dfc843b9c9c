"""`da-bench weights`: importing published weights, what is imported, and where to get more."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from da_bench.core.config import UserError, did_you_mean

HELP = """usage: da-bench weights WHAT [OPTIONS]

  sources               where to get published weights, for which networks, and on what terms
  import FILE           make a published file ready for use: --arch resnet50
  list                  what is imported
  show NAME             all there is to say of imported weights
  verify NAME           whether they are what was imported, and compute here what they computed then
  classify NAME FOLDER  what a network with its own classifier sees in images: --labels FILE

Files may be safetensors (timm, Hugging Face), PyTorch's .pth, Keras' .h5, or a MobileNetV2 in TensorFlow Lite. Nothing
is fetched, and no code in a file is run. A run starts from them with --weights NAME, or weights="NAME" of its network.
Imported weights are in the folder of the variable DA_BENCH_WEIGHTS, else beside the packs in DA_BENCH_CACHE.
"""


@dataclasses.dataclass(frozen=True)
class Import:
    """Make a published file of weights ready for use."""

    file: Path
    """The file, as it was published."""
    arch: str = ""
    """The network that it is for: see `da-bench weights sources`; default: what is published under its name."""
    name: str = ""
    """Part of the name that the weights get; default: by whose names the file goes, such as torchvision."""
    preprocessing: Literal["", "imagenet", "caffe", "inception", "none"] = ""
    """How images were prepared in training, where the file is not known: mean and deviation of ImageNet, Caffe's
    means of blue, green and red, values from -1 to 1, or no images."""
    classes: int | None = None
    """Of its classifier, where they are not ImageNet's 1000 or 1001."""
    sha256: str = ""
    """What the file's sha256 has to begin with; default: what its name or its publisher says."""
    statistics_from: Path | None = None
    """Images for the statistics of batch normalisation, for files that have none (.tflite): a folder, of which up to
    512 are taken. What the network computes in evaluation stays the same, and is nearly what training begins from."""


@dataclasses.dataclass(frozen=True)
class ListWeights:
    """What is imported."""

    json: bool = False
    """For programs."""


@dataclasses.dataclass(frozen=True)
class Named:
    """Imported weights."""

    name: str
    """What `da-bench weights list` calls them."""


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where to get published weights."""

    arch: str = ""
    """Only of this network."""
    json: bool = False
    """For programs."""


@dataclasses.dataclass(frozen=True)
class Classify:
    """What a published network with its own classifier sees in images."""

    name: str
    """What `da-bench weights list` calls them."""
    images: Path
    """An image file, or a folder of them."""
    labels: Path | None = None
    """A file with the name of a class in each line."""


def weights(arguments: list[str]) -> None:
    """`da-bench weights`."""
    verbs: dict[str, Callable[[list[str]], None]] = {
        "sources": list_sources,
        "import": import_,
        "list": list_,
        "show": show,
        "verify": verify,
        "classify": classify,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if arguments[0] not in verbs:
        raise UserError(f"da-bench weights has no '{arguments[0]}'{did_you_mean(arguments[0], verbs)}")
    verbs[arguments[0]](arguments[1:])


def _asked(kind: type, arguments: list[str], verb: str) -> Any:
    import tyro

    return tyro.cli(kind, args=arguments, prog=f"da-bench weights {verb}", config=(tyro.conf.PositionalRequiredArgs,))


def import_(arguments: list[str]) -> None:
    """`da-bench weights import`."""
    asked = _asked(Import, arguments, "import")
    from da_bench import pretrained as room

    wanted = room.ImportRequest(
        asked.arch, asked.name, asked.preprocessing, asked.classes, asked.sha256, asked.statistics_from
    )
    name = room.import_file(asked.file, wanted)
    _print(name, room.info(name))


def _print(name: str, facts: Any) -> None:
    view = facts.view
    seen = f"{view.pixels} of {view.pack_side} pixels, {view.channels}, mean {view.mean}, deviation {view.std}"
    fields = "".join(f", {field} = {value}" for field, value in facts.fields.items())
    print(f"{name}\n  network: {facts.arch}{fields}, {facts.classes or 'no'} classes, named as {facts.convention}'s")
    print(f"  images: {seen if view else 'none'}\n  from: {facts.source['file']} {facts.source['url']}")
    print(f"  sha256 of the file: {facts.source['sha256']}\n  sha256 of the arrays: {facts.digest}")
    print(f"  cite: {facts.citation}\n  terms: {facts.terms}")


def list_(arguments: list[str]) -> None:
    """`da-bench weights list`."""
    asked = _asked(ListWeights, arguments, "list")
    from da_bench import pretrained as room
    from da_bench.core.config import as_dict

    there = {name: room.info(name) for name in room.imported_names()}
    if asked.json:
        print(json.dumps([{"name": name, **one._asdict(), "view": as_dict(one.view)} for name, one in there.items()]))
        return
    for name, one in there.items():
        print(f"{name}  {one.source['file']}")
    if not there:
        print(f"none in {room.folder()}; `da-bench weights sources` says where to get some")


def show(arguments: list[str]) -> None:
    """`da-bench weights show`."""
    asked = _asked(Named, arguments, "show")
    from da_bench import pretrained as room

    _print(asked.name, room.info(asked.name))


def verify(arguments: list[str]) -> None:
    """`da-bench weights verify`: UserError where they are not, or do not compute, what they should."""
    asked = _asked(Named, arguments, "verify")
    from da_bench import pretrained as room

    print(f"'{asked.name}' is sound; its outputs here differ from those at its import by {room.verify(asked.name):.1e}")


def list_sources(arguments: list[str]) -> None:
    """`da-bench weights sources`."""
    asked = _asked(Sources, arguments, "sources")
    from da_bench.pretrained.sources import SOURCES

    archs = sorted({one.arch for one in SOURCES})
    if asked.arch and asked.arch not in archs:
        raise UserError(f"no published weights of '{asked.arch}' are known{did_you_mean(asked.arch, archs)}")
    told = [one for one in SOURCES if asked.arch in ("", one.arch)]
    if asked.json:
        print(json.dumps([{**one._asdict(), "file": one.file} for one in told], indent=1))
        return
    for one in told:
        print(f"{one.arch} ({one.convention}): {one.url}\n  sha256 {one.sha256 or 'not known beforehand'}; {one.terms}")


def classify(arguments: list[str]) -> None:
    """`da-bench weights classify`."""
    asked = _asked(Classify, arguments, "classify")
    from da_bench.pretrained.classify import classify as predict
    from da_bench.pretrained.classify import read_labels
    from da_bench.pretrained.example_images import find_images

    files = find_images(asked.images)
    labels = read_labels(asked.labels) if asked.labels else None
    for file, name, share in predict(asked.name, files, labels):
        print(f"{file}  {name}  {share:.3f}")
