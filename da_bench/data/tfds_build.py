"""Our families for tensorflow-datasets (tfds): once prepared, plain tfds reads them, without da_bench and TensorFlow.

Importing this file makes them known to tfds: `tfds.builder("office31/amazon", root="/data").download_and_prepare()`.
Only those that tfds lacks, see `BUILDERS`. Nothing is downloaded: the files are the user's own, as for a run.
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

NAME, CONFIG = re.compile(r"[a-zA-Z]\w*"), re.compile(r"[\w+-][\w+.-]*")  # what tfds takes
SPLITS = {UNSPLIT: "train"}  # "all" means all splits to tfds, whose custom for data without a split is "train"
STOCK = frozenset(tfds.list_builders(with_community_datasets=False))
URL = re.compile(r"https?://[^\s,;')]+")


class FamilyBuilder(Base, skip_registration=True):  # type: ignore[call-arg]
    """The builder of a family; a domain is a configuration of it, but of a family of one domain.

    Examples have `label`, classes sorted by name, and either `image`, the bytes of the file unaltered, and `file`, its
    path; or `inputs` and `row`, its number in the published order. tfds shuffles them, always alike, so that parts such
    as "train[:80%]" are fair. An image without three channels stays so: tfds without TensorFlow decodes it as it is.
    """

    VERSION = tfds.core.Version("1.0.0")  # of all that is written here: to be raised where that changes
    RELEASE_NOTES: ClassVar = {"1.0.0": "The examples as published."}
    code_path = None  # tfds looks for the checksums of downloads beside it: there are none
    family: Family

    def __init__(self, *, root: Path | str | None = None, file_format: str = FORMAT, **options: Any) -> None:
        self._root = None if root is None else Path(root)
        super().__init__(file_format=file_format, **options)

    @functools.cached_property
    def parts(self) -> Parts:
        """The domain as its family reads it.

        Raises:
            UserError: files that are missing, damaged or not what was published.
        """
        family, own = self.family, self.builder_config.name if self.builder_config else self.family.name
        place = Path()
        if family.folder:
            find_files(self._root, family.folder, family.files(own), family.how_to_get)
            place = data_root(self._root) / family.folder
        parts = family.read(place, own)
        if own in family.domains:
            counts = {part: len(one.labels) for part, one in parts.items()}
            check_published(f"{family.name}/{own}", counts, dict(family.domains[own]))
        return parts

    def _info(self) -> Any:
        known = (self.data_path / "features.json").exists()  # prepared: the user's files need not be there any more
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
        f"A domain of '{family.name}', as da_bench reads it; of one published without a split, 'train' is the whole. "
        f"How to get the files: {family.how_to_get}. Terms: {family.terms}."
    )


def _classes(parts: Parts) -> tuple[str, ...]:
    one = next(iter(parts.values()))
    return tuple(sorted(set(one.labels) if isinstance(one, Listing) else one.classes))


def _of_images(part: Listing) -> Iterator[tuple[str, dict[str, Any]]]:
    for file, label in zip(part.files, part.labels, strict=True):
        path = part.folder / file
        content = read_bytes(path)
        with strict_pillow():
            decode_bytes(content, path)  # a damaged one is found now, not in the middle of somebody's training
        yield file, {"image": content, "label": label, "file": file}


def _of_arrays(part: Examples) -> Iterator[tuple[int, dict[str, Any]]]:
    inputs = np.asarray(part.inputs)
    for row, label in enumerate(part.labels):
        yield row, {"inputs": inputs[row], "label": part.classes[label], "row": row}


def _builder_class(family: Family, domains: tuple[str, ...], **options: Any) -> Any:
    """The builder of a family, with a configuration a domain."""
    name = family.name.replace("/", "_")
    for word, rule in ((name, NAME), *((domain, CONFIG) for domain in domains)):
        if not rule.fullmatch(word):
            raise UserError(f"tfds cannot call a data set '{word}': rename its folder, to letters, digits and _ only")
    configs = [tfds.core.BuilderConfig(name=domain) for domain in domains if domain != family.name]
    members = {"__module__": __name__, "name": name, "family": family, "BUILDER_CONFIGS": configs}
    return type(name, (FamilyBuilder,), members, **options)


BUILDERS = {
    name: _builder_class(family, tuple(family.domains)) for name, family in FAMILIES.items() if name not in STOCK
}


def builder(domain: str, folder: Path | None = None, root: Path | None = None) -> Any:
    """The tfds builder of a domain: of a family, or of images or a table of one's own.

    folder: tfds's data_dir, None for TFDS_DATA_DIR or ~/tensorflow_datasets; root: the data root with the user's files,
    None for DA_BENCH_DATA. Files are read now where only they say what the features are (arrays, classes).

    Raises:
        UserError: no such domain; one that tfds has itself, or cannot name; files that are needed now are not there.
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
    """Write a domain for tfds, with progress bars, and return the folder of its version; what is there already stays.

    The folder appears when it is complete: a run that was killed leaves only a folder "incomplete..." beside it.

    Raises:
        UserError: as `builder`; files that are missing, damaged or not what was published; a folder that cannot be
            written to.
    """
    built = builder(domain, folder, root)
    with contextlib.redirect_stdout(sys.stderr):  # tfds's messages; stdout is for results
        try:
            built.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        except OSError as error:  # also where another process was faster, which is as good
            if not built.is_prepared():
                raise UserError(f"cannot write '{built.data_dir}': {error.strerror or error}") from None
    return Path(built.data_dir)
