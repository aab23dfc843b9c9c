"""`da-bench weights`: import published weights, list those that are imported, and where to get more."""

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar, Literal

from tyro.conf import Positional

from da_bench import pretrained
from da_bench.cli.parse import Words, run_group
from da_bench.core.config import UserError, as_dict, did_you_mean
from da_bench.pretrained.classify import classify, read_labels
from da_bench.pretrained.example_images import find_images
from da_bench.pretrained.sources import SOURCES

DESCRIPTION = """Pretrained weights: import published files, list and verify what is imported.

Files may be safetensors (timm, Hugging Face), PyTorch's .pth, Keras' .h5, or a MobileNetV2 in TensorFlow Lite. Nothing
is downloaded, and no code in a file is run. A run starts from imported weights with --weights NAME. They are kept in
the folder of the variable DA_BENCH_WEIGHTS; default: a folder of the cache, DA_BENCH_CACHE.
"""


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where to get published weights, for which networks, and on what terms."""

    arch: str = ""
    """Only of this network."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Print the sources."""
        archs = sorted({source.arch for source in SOURCES})
        if self.arch and self.arch not in archs:
            raise UserError(f"no published weights of '{self.arch}' are known{did_you_mean(self.arch, archs)}")
        sources = [source for source in SOURCES if self.arch in ("", source.arch)]
        if self.json:
            print(json.dumps([{**source._asdict(), "file": source.file} for source in sources], indent=1))
            return
        for source in sources:
            print(f"{source.arch} ({source.convention}): {source.url}")
            print(f"  sha256 {source.sha256 or 'not known beforehand'}; {source.terms}")


@dataclasses.dataclass(frozen=True)
class Import:
    """Import a published file of weights."""

    EXAMPLES: ClassVar[str] = """  $ da-bench weights import resnet50-0676ba61.pth
  $ da-bench weights import model.safetensors --arch vit_b16"""

    file: Positional[Path]
    """The file as published."""
    arch: str = ""
    """Network of the file, see `da-bench weights sources`; default: the one published under the file's name."""
    name: str = ""
    """Part of the name of the imported weights; default: the library whose names the file uses, such as torchvision."""
    preprocessing: Literal["", "imagenet", "caffe", "inception", "none"] = ""
    """Preparation of images in training, if the file is not a known one: mean and deviation of ImageNet; Caffe's means
    of blue, green and red; values from -1 to 1; or no images."""
    classes: int | None = None
    """Number of classes of its classifier, if not ImageNet's 1000 or 1001."""
    sha256: str = ""
    """First digits of the file's sha256; default: those in its name or by its publisher."""
    statistics_from: Path | None = None
    """Folder of images for the statistics of batch normalisation, for files without any (.tflite); up to 512 are used.
    The network's outputs in evaluation stay the same."""

    def run(self) -> None:
        """Import the file and print its facts."""
        wanted = pretrained.ImportRequest(
            self.arch, self.name, self.preprocessing, self.classes, self.sha256, self.statistics_from
        )
        name = pretrained.import_file(self.file, wanted)
        _print_facts(name, pretrained.info(name))


def _print_facts(name: str, facts: Any) -> None:
    view = facts.view
    fields = "".join(f", {field} = {value}" for field, value in facts.fields.items())
    images = "none"
    if view:
        images = f"{view.pixels} of {view.stored_side} pixels, {view.channels}, mean {view.mean}, deviation {view.std}"
    print(f"{name}\n  network: {facts.arch}{fields}, {facts.classes or 'no'} classes, names of {facts.convention}")
    print(f"  images: {images}\n  from: {facts.source['file']} {facts.source['url']}")
    print(f"  sha256 of the file: {facts.source['sha256']}\n  sha256 of the arrays: {facts.digest}")
    print(f"  cite: {facts.citation}\n  terms: {facts.terms}")


@dataclasses.dataclass(frozen=True)
class ListWeights:
    """List the imported weights."""

    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Print names and files."""
        imported = {name: pretrained.info(name) for name in pretrained.imported_names()}
        if self.json:
            entries = [
                {"name": name, **facts._asdict(), "view": as_dict(facts.view)} for name, facts in imported.items()
            ]
            print(json.dumps(entries))
            return
        for name, facts in imported.items():
            print(f"{name}  {facts.source['file']}")
        if not imported:
            print(f"none in {pretrained.folder()}; `da-bench weights sources` says where to get some")


@dataclasses.dataclass(frozen=True)
class Show:
    """Print all facts of imported weights."""

    name: Positional[str]
    """Name in `da-bench weights list`."""

    def run(self) -> None:
        """Print the facts."""
        _print_facts(self.name, pretrained.info(self.name))


@dataclasses.dataclass(frozen=True)
class Verify:
    """Verify that imported weights are unchanged and compute the same outputs as at their import."""

    name: Positional[str]
    """Name in `da-bench weights list`."""

    def run(self) -> None:
        """Print the difference of the outputs.

        Raises:
            UserError: the weights are damaged or compute something else.
        """
        difference = pretrained.verify(self.name)
        print(f"'{self.name}' is sound; its outputs here differ from those at its import by {difference:.1e}")


@dataclasses.dataclass(frozen=True)
class Classify:
    """Classify images by a published network with its own classifier."""

    name: Positional[str]
    """Name in `da-bench weights list`."""
    images: Positional[Path]
    """An image, or a folder of images."""
    labels: Path | None = None
    """File with the name of a class in each line."""

    def run(self) -> None:
        """Print the most probable class of each image."""
        files = find_images(self.images)
        labels = read_labels(self.labels) if self.labels else None
        for file, label, probability in classify(self.name, files, labels):
            print(f"{file}  {label}  {probability:.3f}")


COMMANDS = {
    "sources": Sources,
    "import": Import,
    "list": ListWeights,
    "show": Show,
    "verify": Verify,
    "classify": Classify,
}


def main(words: Words) -> None:
    """Run one of the commands on weights."""
    run_group(COMMANDS, words, DESCRIPTION)
