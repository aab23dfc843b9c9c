"""Office-31: office objects in photographs of an online shop, a digital SLR camera and a webcam."""

from pathlib import Path

from da_bench.data.family import UNSPLIT, Family, Parts, register
from da_bench.data.file_lists import check_classes
from da_bench.data.folders import list_classes

NAMES = """
    back_pack bike bike_helmet bookcase bottle calculator desk_chair desk_lamp desktop_computer file_cabinet headphones
    keyboard laptop_computer letter_tray mobile_phone monitor mouse mug paper_notebook pen phone printer projector
    punchers ring_binder ruler scissors speaker stapler tape_dispenser trash_can
"""
CLASSES = tuple(NAMES.split())
# The ten classes that Caltech-256 has too.
SHARED = (
    *("back_pack", "bike", "calculator", "headphones", "keyboard"),
    *("laptop_computer", "monitor", "mouse", "mug", "projector"),
)
# Classes 21 to 31 if the ten shared classes come first and the others follow in alphabetical order.
UNKNOWN = tuple(name for name in CLASSES if name not in SHARED)[10:]


def read(folder: Path, domain: str) -> Parts:
    """List all images of folder/<domain>/images/<class>/; there is no official split.

    Raises:
        UserError: folders are missing, or are not those of the published classes.
    """
    return {UNSPLIT: check_classes(list_classes(folder / domain / "images"), CLASSES)}


FAMILY = Family(
    name="office31",
    read=read,
    domains={"amazon": {UNSPLIT: 2817}, "dslr": {UNSPLIT: 498}, "webcam": {UNSPLIT: 795}},
    classes=CLASSES,
    citation="Saenko, Kulis, Fritz and Darrell, Adapting visual category models to new domains, ECCV 2010. "
    "Partial: Cao et al., Partial transfer learning with selective adversarial networks, CVPR 2018. "
    "Open: Panareda Busto and Gall, Open set domain adaptation, ICCV 2017, as in Saito et al., Open set domain "
    "adaptation by backpropagation, ECCV 2018 (unknown classes in the target only)",
    terms="research",
    how_to_get="the authors' page https://faculty.cc.gatech.edu/~judy/domainadapt/, 'Adaptation dataset: images'; "
    "mirrors: https://people.eecs.berkeley.edu/~jhoffman/domainadapt/, Transfer-Learning-Library (thuml)",
    folder="office31",
    files=lambda domain: (f"{domain}/images",),
    images=True,
    subsets={"partial": (CLASSES, SHARED), "open": (SHARED, tuple(sorted(SHARED + UNKNOWN)))},
    model="convnet",
)

register(FAMILY)
