"""The suite's families for tensorflow-datasets (tfds): once prepared, tfds reads them without da_bench and TensorFlow.

Importing this file registers them with tfds: `tfds.builder("office31/amazon", root="/data").download_and_prepare()`.
Only families that tfds lacks are registered, see `BUILDERS`. Nothing is downloaded: users need the files, as for a run.
"""

import contextlib
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.domains import family_of
from da_bench.data.family import FAMILIES, UNSPLIT, Examples, Family, Listing, Parts
from da_bench.data.files import check_published, data_root, find_files
from da_bench.data.images import decode_bytes, read_bytes, strict_pillow
from da_bench.data.tfds_read import FORMAT, PREFIX, data_dir, library

tfds = library()
Base: Any = tfds.core.GeneratorBasedBuilder

NAME, CONFIG = re.compile(r"[a-zA-Z]\w*"), re.compile(r"[\w+-][\w+.-]*")  # names that tfds accepts
SPLITS = {UNSPLIT: "train"}  # tfds reserves "all" for all splits and calls unsplit data "train"
STOCK = frozenset(tfds.list_builders(with_community_datasets=False))
URL = re.compile(r"https?://[^\s,;')]+")


class FamilyBuilder(Base, skip_registration=True):  # type: ignore[call-arg]
    """The builder of a family. Each domain is a configuration, unless the family has only one domain.

    Examples have a `label` (classes are sorted by name) and either `image`, the file's unaltered bytes, and `file`, its
    path, or `inputs` and `row`, the example's number in the published order. tfds shuffles them with a fixed seed,
    so that parts such as "train[:80%]" are random. An image without three channels stays so: tfds without TensorFlow
    decodes it as it is.
    """

    VERSION = tfds.core.Version("1.0.0")  # raise it when anything that is written here changes
    RELEASE_NOTES: ClassVar = {"1.0.0": "The examples as published."}
    code_path = None  # otherwise, tfds would look for checksums of downloads next to it
    family: Family

    def __init__(self, *, root: Path | str | None = None, file_format: str = FORMAT, **options: Any) -> None:
        self._root = None if root is None else Path(root)
        super().__init__(file_format=file_format, **options)

    @functools.cached_property
    def parts(self) -> Parts:
        """The domain's parts as its family reads them.

        Raises:
            UserError: files are missing, damaged or not as published.
        """
        family, own = self.family, self.builder_config.name if self.builder_config else self.family.name
        place = Path()
        if family.folder:
            find_files(self._root, family.folder, family.files(own), family.how_to_get)
            place = data_root(self._root) / family.folder
        parts = family.read(place, own)
        if own in family.domains:
            counts = {name: len(part.labels) for name, part in parts.items()}
            check_published(f"{family.name}/{own}", counts, dict(family.domains[own]))
        return parts

    def _info(self) -> Any:
        known = (self.data_path / "features.json").exists()  # prepared: the original files may be gone
        return tfds.core.DatasetInfo(
            builder=self,
            description=_description(self.family),
            features=None if known else self._features(),
            supervised_keys=("image" if self.family.images else "inputs", "label"),
            homepage=next(iter(URL.findall(self.family.how_to_get)), None),
            citation=self.family.citation,
            license=self.family.terms,
        )

    def _features(self) -> Any:
        label = tfds.features.ClassLabel(names=self.family.classes or _classes(self.parts))
        if self.family.images:
            return tfds.features.FeaturesDict(
                {"image": tfds.features.Image(), "label": label, "file": tfds.features.Text()}
            )
        inputs = next(part.inputs for part in self.parts.values() if isinstance(part, Examples))
        tensor = tfds.features.Tensor(shape=inputs.shape[1:], dtype=inputs.dtype, encoding="bytes")
        return tfds.features.FeaturesDict({"inputs": tensor, "label": label, "row": np.int64})

    def _split_generators(self, _downloads: Any) -> dict[str, Iterator[tuple[Any, dict[str, Any]]]]:
        return {SPLITS.get(name, name): self._generate_examples(part) for name, part in self.parts.items()}

    def _generate_examples(self, part: Listing | Examples) -> Iterator[tuple[Any, dict[str, Any]]]:
        return _of_images(part) if isinstance(part, Listing) else _of_arrays(part)


def _description(family: Family) -> str:
    return (
        f"A domain of '{family.name}', as da_bench reads it. Without an official split, 'train' is everything. "
        f"How to get the files: {family.how_to_get}. Terms: {family.terms}."
    )


def _classes(parts: Parts) -> tuple[str, ...]:
    part = next(iter(parts.values()))
    return tuple(sorted(set(part.labels) if isinstance(part, Listing) else part.classes))


def _of_images(part: Listing) -> Iterator[tuple[str, dict[str, Any]]]:
    for file, label in zip(part.files, part.labels, strict=True):
        path = part.folder / file
        content = read_bytes(path)
        with strict_pillow():
            decode_bytes(content, path)  # find damage now, not in the middle of somebody's training
        yield file, {"image": content, "label": label, "file": file}


def _of_arrays(part: Examples) -> Iterator[tuple[int, dict[str, Any]]]:
    inputs = np.asarray(part.inputs)
    for row, label in enumerate(part.labels):
        yield row, {"inputs": inputs[row], "label": part.classes[label], "row": row}


def _builder_class(family: Family, domains: tuple[str, ...], **options: Any) -> Any:
    """Return the builder class of a family, with a configuration for each domain."""
    name = family.name.replace("/", "_")
    for word, rule in ((name, NAME), *((domain, CONFIG) for domain in domains)):
        if not rule.fullmatch(word):
            raise UserError(
                f"tfds does not accept the name '{word}': rename its folder; use letters, digits and _ only"
            )
    configs = [tfds.core.BuilderConfig(name=domain) for domain in domains if domain != family.name]
    members = {"__module__": __name__, "name": name, "family": family, "BUILDER_CONFIGS": configs}
    return type(name, (FamilyBuilder,), members, **options)


BUILDERS = {
    name: _builder_class(family, tuple(family.domains)) for name, family in FAMILIES.items() if name not in STOCK
}


def builder(domain: str, folder: Path | None = None, root: Path | None = None) -> Any:
    """Return the tfds builder of a domain: of a family, or of the user's own images or table.

    Files are read now if only they say what the features are (arrays, classes).

    Args:
        domain: full name.
        folder: tfds's data_dir; None for $TFDS_DATA_DIR or ~/tensorflow_datasets.
        root: the data root; None for the environment variable DA_BENCH_DATA.

    Raises:
        UserError: no such domain; tfds has it itself or does not accept its name; needed files are missing.
    """
    family, own = family_of(domain)
    if family.name == PREFIX:
        raise UserError(f"'{domain}' is a data set of tfds already")
    if family.name in STOCK:
        raise UserError(
            f"tfds has a data set '{family.name}' of its own: prepare that one, with "
            f"tfds.builder('{family.name}', file_format='{FORMAT}').download_and_prepare()"
        )
    cls = BUILDERS.get(family.name) or _builder_class(family, (own,), skip_registration=True)
    return cls(config=own if cls.BUILDER_CONFIGS else None, data_dir=data_dir(folder), root=root)


def prepare(domain: str, folder: Path | None = None, root: Path | None = None) -> Path:
    """Write a domain for tfds, with progress bars, unless it exists; return the folder of its version.

    The folder appears when it is complete. A killed process leaves only a folder "incomplete..." next to it.

    Args:
        domain: full name.
        folder: as in `builder`.
        root: as in `builder`.

    Raises:
        UserError: as `builder`; files are missing, damaged or not as published; the folder cannot be written.
    """
    built = builder(domain, folder, root)
    with contextlib.redirect_stdout(sys.stderr):  # for the messages of tfds; stdout is for results
        try:
            built.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        except OSError as error:  # another process may have been faster, which is fine
            if not built.is_prepared():
                raise UserError(f"cannot write '{built.data_dir}': {error.strerror or error}") from None
    return Path(built.data_dir)
