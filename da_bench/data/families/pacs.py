"""PACS: animals, guitars, houses and people as photographs, paintings, cartoons and sketches."""

from pathlib import Path

from da_bench.data.family import UNSPLIT, Family, Parts, register
from da_bench.data.file_lists import check_classes
from da_bench.data.folders import list_classes

CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
PARENTS = (".", "kfold", "PACS", "PACS/kfold")  # folders of the domains within pacs/ in archives and mirrors


def read(folder: Path, domain: str) -> Parts:
    """List all images of folder/<domain>/<class>/, which may also lie in kfold/, PACS/ or PACS/kfold/.

    The lists *_train_kfold.txt and *_crossval_kfold.txt cut a domain at about nine to one, for generalising from three
    domains to the fourth. *_test_kfold.txt lists that fourth domain completely, so it is not disjoint from the other
    two. Domain adaptation uses complete domains, so the lists are not read.

    Raises:
        UserError: folders are missing, or are not those of the published classes.
    """
    folders = [folder / parent / domain for parent in PARENTS]
    return {
        UNSPLIT: check_classes(list_classes(next((path for path in folders if path.is_dir()), folders[0])), CLASSES)
    }


FAMILY = Family(
    name="pacs",
    read=read,
    domains={
        "photo": {UNSPLIT: 1670},
        "art_painting": {UNSPLIT: 2048},
        "cartoon": {UNSPLIT: 2344},
        "sketch": {UNSPLIT: 3929},
    },
    classes=CLASSES,
    citation="Li, Yang, Song and Hospedales, Deeper, broader and artier domain generalization, ICCV 2017",
    terms="research",
    how_to_get="the authors' page https://domaingeneralization.github.io; mirrors: Transfer-Learning-Library "
    "(thuml), DomainBed (facebookresearch), Dassl.pytorch (KaiyangZhou)",
    folder="pacs",
    files=lambda domain: ("|".join(f"{parent}/{domain}" for parent in PARENTS),),
    images=True,
    model="convnet",
)

register(FAMILY)
