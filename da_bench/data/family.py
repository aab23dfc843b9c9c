"""Data families: data sets that are adapted to each other. Start here to add one.

How to add a family
===================
A family is one file in `da_bench/data/families/`; every file there is imported. The tasks, the command line and the
checks find the family through the registry; no other code needs a change. The table in docs/methods.md is edited by
hand, and a test holds it complete. Take the nearest existing file as a model: `office31.py` (images in class folders),
`visda2017.py` (images in a list file), `usps.py` (arrays), `moons.py` (generated). There is no entry point for
families of other packages.

1. Write `read(folder, domain)`. It gets the family's folder under the data root and the name of a domain. It returns
   the domain's parts as they were published: `{"train": ..., "test": ...}`, with a "validation" part if there is one,
   or `{UNSPLIT: ...}` if there is no official split. The suite cuts the splits, see `da_bench.data.splits`.

   * Images in files become a `Listing` of paths and class names. They are not decoded here: `folders.list_classes`
     makes a listing of class folders, `file_lists.read_list` and `file_lists.listing` of a list file.
     For another layout, make the `Listing` yourself; an image that does not exist is reported when it is decoded. Pass
     the listing through `file_lists.check_classes`, because only the number of images is compared elsewhere.
   * Anything else becomes `Examples`: arrays as they were published. Scaling is the method's or the experiment's task.

   The helpers of `da_bench.data.files` read idx, LIBSVM, .npz and .mat files and name the file in every error. Use
   `check_published` for counts and shapes, so that a wrong or truncated copy is refused. Raise UserError for anything
   else that is wrong: what, which file, what to do.

2. Describe the data in a `Family` and `register` it at the end of the file::

       register(
           Family(
               name="office31",
               read=read,
               domains={"amazon": {UNSPLIT: 2817}, "dslr": {UNSPLIT: 498}, "webcam": {UNSPLIT: 795}},
               classes=CLASSES,
               citation="Saenko et al., ECCV 2010",
               terms="research",
               how_to_get="the authors' page https://...",
               folder="office31",
               files=lambda domain: (f"{domain}/images",),
               images=True,
               model="convnet",
           )
       )

   The tasks `office31/amazon-to-dslr` and so on exist from now on. Tasks between different families are not listed
   but can be named: `mnist-to-usps`. A family with one domain gives the domain its own name: `mnist`.

   A generated family leaves out `folder`, `files` and `how_to_get` ("embedded" by default), and its `read` ignores the
   folder. Its randomness comes from `random_stream(family, domain)`, so that the data are equal on every machine. The
   citation is free text: without a paper, say where the data come from.

3. Test it: `tests/data/families/test_NAME.py` writes a small copy of the published layout into a temporary folder and
   reads it. If you have the data, `da-bench data check NAME` compares all counts with the published ones, and
   `da-bench data preview TASK` shows images.

A folder of images or feature tables needs no family at all, see `da_bench.data.folders` and `da_bench.data.tables`.
"""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.core.config import Registry
from da_bench.core.types import Array

UNSPLIT = "all"  # name of the only part of a domain that was published without a split
Counts = Mapping[str, int]  # number of examples by part


class Listing(NamedTuple):
    """Image files that are not decoded yet.

    Attributes:
        folder: the folder that `files` are relative to.
        files: paths of the n images, sorted.
        labels: the class name of each image.
    """

    folder: Path
    files: tuple[str, ...]
    labels: tuple[str, ...]


class Examples(NamedTuple):
    """Labelled arrays.

    Attributes:
        inputs: [n, ...]; uint8 images [n, h, w, channels] with values 0 to 255, or float32.
        labels: [n] int32, indices into `classes`.
        classes: class names.
    """

    inputs: Array
    labels: np.ndarray
    classes: tuple[str, ...]


Parts = Mapping[str, "Listing | Examples"]


def _no_files(_domain: str) -> tuple[str, ...]:
    return ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """A family of data sets, as described in this module's docstring.

    Attributes:
        name: the family's name, such as "office31".
        read: function of (folder of the family, domain) that returns the domain's parts.
        domains: the published number of examples of each domain by part, in the order of the papers. Empty for the
            user's own files, which decide themselves.
        classes: the published class names, sorted. Empty for the user's own files.
        citation: the paper to cite.
        terms: licence or terms of use, in a few words.
        how_to_get: where users get the files; "embedded" if a package that is installed brings them.
        folder: name of the family's folder under the data root; "" if no files are needed.
        files: function of a domain that returns the paths it needs, relative to `folder`. A path may be that of a
            folder. "x.gz" may also be there unpacked, as "x". "a|b" is satisfied by either.
        images: whether `read` returns a `Listing`, which is decoded and resized once, see `da_bench.data.image_cache`.
        subsets: published (source classes, target classes) of the "partial" and "open" tasks, by these words.
        pairs: the (source, target) domains that papers use; () for all pairs.
        model: name of the network that the family's tasks use by default.
    """

    name: str
    read: Callable[[Path, str], Parts]
    domains: Mapping[str, Counts]
    classes: tuple[str, ...]
    citation: str
    terms: str
    how_to_get: str = "embedded"
    folder: str = ""
    files: Callable[[str], tuple[str, ...]] = _no_files
    images: bool = False
    subsets: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = dataclasses.field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()
    model: str = ""

    def domain_names(self) -> list[str]:
        """Return the full names of the domains: "office31/amazon", or "mnist" for the only domain of mnist."""
        return [self.name if domain == self.name else f"{self.name}/{domain}" for domain in self.domains]


FAMILIES: Registry[Family] = Registry("family")


def register(*families: Family) -> None:
    """Register families under their names; the files of `da_bench.data.families` call this when they are imported.

    Raises:
        UserError: another family has the name.
    """
    for family in families:
        FAMILIES.add(family.name, family)


def random_stream(*names: str) -> np.random.Generator:
    """Return the random generator of these names, equal on every machine.

    Every consumer has its own stream, so that a new consumer never shifts the draws of the others.
    """
    return np.random.default_rng([zlib.crc32(name.encode()) for name in names])
