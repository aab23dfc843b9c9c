"""Office-Caltech10: the ten classes that Office-31 and Caltech-256 share."""

from pathlib import Path

from da_bench.data.families import office31
from da_bench.data.family import UNSPLIT, Family, Listing, Parts, register
from da_bench.data.file_lists import check_classes
from da_bench.data.folders import list_classes

# The names of Office-31 -> those of this family.
NAMES = {name: {"back_pack": "backpack", "laptop_computer": "laptop"}.get(name, name) for name in office31.SHARED}
CLASSES = tuple(sorted(NAMES.values()))


def read(root: Path, domain: str) -> Parts:
    """All images of one domain: Caltech's own, and of the others the ten classes of office31/ under the data root.

    There is no official split.

    Raises:
        UserError: folders are missing, or are not those of the published classes.
    """
    images = list_classes(root / subfolder(domain))
    if domain == "caltech10":
        return {UNSPLIT: check_classes(images, CLASSES)}
    return {UNSPLIT: _common(check_classes(images, office31.CLASSES))}


def subfolder(domain: str) -> str:
    """Return the folder, under the data root, that holds the class folders of a domain."""
    return "office_caltech10/caltech10" if domain == "caltech10" else f"office31/{domain}/images"


def _common(images: Listing) -> Listing:
    pairs = zip(images.files, images.labels, strict=True)
    files, labels = zip(*((file, NAMES[label]) for file, label in pairs if label in NAMES), strict=True)
    return Listing(images.folder, files, labels)


FAMILY = Family(
    name="office_caltech10",
    read=read,
    domains={
        "amazon": {UNSPLIT: 958},
        "caltech10": {UNSPLIT: 1123},
        "dslr": {UNSPLIT: 157},
        "webcam": {UNSPLIT: 295},
    },
    classes=CLASSES,
    citation="Gong, Shi, Sha and Grauman, Geodesic flow kernel for unsupervised domain adaptation, CVPR 2012; "
    "Saenko et al., Adapting visual category models to new domains, ECCV 2010; "
    "Griffin, Holub and Perona, Caltech-256 object category dataset, Caltech 2007",
    terms="research; Caltech-256: CC BY 4.0",
    how_to_get="amazon, dslr and webcam: see office31; caltech10: its ten class folders, e.g. image_data/office of "
    "https://github.com/pykale/data (rename those that are called as in Office-31)",
    folder=".",
    files=lambda domain: (subfolder(domain),),
    images=True,
    model="convnet",
)

register(FAMILY)
