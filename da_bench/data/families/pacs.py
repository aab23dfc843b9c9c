"""PACS: animals, guitars, houses and people as photographs, paintings, cartoons and sketches."""

from pathlib import Path

from da_bench.data.family import UNSPLIT, Family, Parts, register
from da_bench.data.file_lists import check_classes
from da_bench.data.folders import list_classes

CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
PARENTS = (".", "kfold", "PACS", "PACS/kfold")  # where, in pacs/, archives and mirrors leave the folders of the domains


def read(place: Path, domain: str) -> Parts:
    """All images of place/<domain>/<class>/, also where that lies in kfold/, PACS/ or PACS/kfold/.

    The lists *_train_kfold.txt and *_crossval_kfold.txt cut a domain in about nine to one, for generalising from three
    domains to a fourth; *_test_kfold.txt is that fourth whole, so no part that is apart from the other two. Domain
    adaptation goes from whole domain to whole domain, and so the lists are not read.

    Raises:
        UserError: folders that are missing, or not of the published classes.
    """
    folders = [place / above / domain for above in PARENTS]
    return {UNSPLIT: check_classes(list_classes(next((one for one in folders if one.is_dir()), folders[0])), CLASSES)}


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
    files=lambda domain: ("|".join(f"{above}/{domain}" for above in PARENTS),),
    images=True,
    model="convnet",
)

register(FAMILY)
