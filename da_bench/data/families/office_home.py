"""Office-Home: objects of office and home as art, clip art, products and photographs."""

from pathlib import Path

from da_bench.data.family import UNSPLIT, Family, Parts, register
from da_bench.data.file_lists import check_classes
from da_bench.data.folders import list_classes

NAMES = """
    Alarm_Clock Backpack Batteries Bed Bike Bottle Bucket Calculator Calendar Candles Chair Clipboards Computer Couch
    Curtains Desk_Lamp Drill Eraser Exit_Sign Fan File_Cabinet Flipflops Flowers Folder Fork Glasses Hammer Helmet
    Kettle Keyboard Knives Lamp_Shade Laptop Marker Monitor Mop Mouse Mug Notebook Oven Pan Paper_Clip Pen Pencil
    Postit_Notes Printer Push_Pin Radio Refrigerator Ruler Scissors Screwdriver Shelf Sink Sneakers Soda Speaker Spoon
    TV Table Telephone ToothBrush Toys Trash_Can Webcam
"""
CLASSES = tuple(NAMES.split())
FIRST = CLASSES[:25]
REAL_WORLD = ("Real World", "Real_World", "RealWorld")  # as in the archive, and as others write it


def read(folder: Path, domain: str) -> Parts:
    """List all images of folder/<domain>/<class>/; there is no official split.

    Raises:
        UserError: folders are missing, or are not those of the published classes.
    """
    return {UNSPLIT: check_classes(list_classes(_folder(folder, domain)), CLASSES)}


def _folder(folder: Path, domain: str) -> Path:
    names = REAL_WORLD if domain == "Real_World" else (domain,)
    return next((folder / name for name in names if (folder / name).is_dir()), folder / names[0])


FAMILY = Family(
    name="office_home",
    read=read,
    domains={
        "Art": {UNSPLIT: 2427},
        "Clipart": {UNSPLIT: 4365},
        "Product": {UNSPLIT: 4439},
        "Real_World": {UNSPLIT: 4357},
    },
    classes=CLASSES,
    citation="Venkateswara, Eusebio, Chakraborty and Panchanathan, Deep hashing network for unsupervised domain "
    "adaptation, CVPR 2017. Partial: Cao et al., Learning to transfer examples for partial domain adaptation, CVPR "
    "2019. Open: Liu et al., Separate to adapt: open set domain adaptation via progressive separation, CVPR 2019",
    terms="non-commercial research; images under copyright, fair use",
    how_to_get="the authors' page https://www.hemanthdv.org/officeHomeDataset.html; mirrors: "
    "Transfer-Learning-Library (thuml), DomainBed (facebookresearch)",
    folder="office_home",
    files=lambda domain: ("|".join(REAL_WORLD) if domain == "Real_World" else domain,),
    images=True,
    subsets={"partial": (CLASSES, FIRST), "open": (FIRST, CLASSES)},
    model="convnet",
)

register(FAMILY)
