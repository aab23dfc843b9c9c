"""VisDA-2017, classification: renderings of 3D models, crops of COCO, crops of YouTube-BB."""

from pathlib import Path

from da_bench.core.config import UserError
from da_bench.data.family import UNSPLIT, Family, Parts, register
from da_bench.data.file_lists import listing, read_list

CLASSES = (
    *("aeroplane", "bicycle", "bus", "car", "horse", "knife"),
    *("motorcycle", "person", "plant", "skateboard", "train", "truck"),
)
KNOWN = ("bicycle", "bus", "car", "motorcycle", "train", "truck")
PAGE = "https://github.com/VisionLearningGroup/taskcv-2017-public"
TEST_LABELS = f"{PAGE}/blob/master/classification/data/image_list.txt"


def read(folder: Path, domain: str) -> Parts:
    """List the images of folder/<domain>/image_list.txt, relative to its own folder; there is no official split.

    "train" are the synthetic images. "validation" are the real images that nearly all papers use as the target. "test"
    are other real images, whose labels were published after the challenge.

    Raises:
        UserError: a list is missing, damaged or without labels; listed images are missing.
    """
    return {UNSPLIT: listing(folder / domain, _names(folder / domain / "image_list.txt", domain))}


def _names(path: Path, domain: str) -> dict[str, str]:
    try:
        return read_list(path, CLASSES)
    except UserError as error:
        if domain != "test":
            raise
        raise UserError(f"{error}. The list with the labels of the test domain came later: {TEST_LABELS}") from None


FAMILY = Family(
    name="visda2017",
    read=read,
    domains={"train": {UNSPLIT: 152397}, "validation": {UNSPLIT: 55388}, "test": {UNSPLIT: 72372}},
    classes=CLASSES,
    citation="Peng, Usman, Kaushik, Hoffman, Wang and Saenko, VisDA: the visual domain adaptation challenge, "
    "arXiv:1710.06924, 2017. Partial: Cao et al., Partial adversarial domain adaptation, ECCV 2018. "
    "Open: Saito et al., Open set domain adaptation by backpropagation, ECCV 2018",
    terms="non-commercial research and education; not to be redistributed",
    how_to_get="train.tar, validation.tar and test.tar of http://csr.bu.edu/ftp/visda17/clf/, see "
    f"{PAGE}/tree/master/classification; the labels of test: {TEST_LABELS}",
    folder="visda2017",
    files=lambda domain: (f"{domain}/image_list.txt",),
    images=True,
    pairs=(("train", "validation"), ("train", "test")),
    subsets={"partial": (CLASSES, CLASSES[:6]), "open": (KNOWN, CLASSES)},
    model="convnet",
)

register(FAMILY)
