from collections import Counter

import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data.families.office_home import FAMILY, REAL_WORLD


def write_miniature(data_folder):
    """Write the class folders of one domain as in the archive."""
    for number, name in enumerate(FAMILY.classes):
        (data_folder / name).mkdir(parents=True)
        Image.new("RGB", (5, 4)).save(data_folder / name / f"{number:05}.jpg")


def test_declaration_matches_the_archive():
    assert list(FAMILY.classes) == sorted(FAMILY.classes)
    assert len(FAMILY.classes) == 65
    assert sum(counts["all"] for counts in FAMILY.domains.values()) == 15588  # the total of the archive
    assert all(" " not in name for name in FAMILY.domain_names())


def test_partial_and_open_protocols():
    # The first 25 of the alphabet, Alarm_Clock to Fork: the target of the one, the known classes of the other.
    source, shared_classes = FAMILY.subsets["partial"]
    assert source == FAMILY.classes
    assert (len(shared_classes), shared_classes[0], shared_classes[-1]) == (25, "Alarm_Clock", "Fork")
    assert FAMILY.subsets["open"] == (shared_classes, FAMILY.classes)
    assert sorted(FAMILY.classes, key=str.lower)[:25] == list(
        shared_classes
    )  # the order does not depend on how capitals sort


@pytest.mark.parametrize("domain", ["Art", "Clipart", "Product"])
def test_miniature_is_read(tmp_path, domain):
    write_miniature(tmp_path / domain)
    images = FAMILY.read(tmp_path, domain)["all"]
    assert Counter(images.labels) == dict.fromkeys(FAMILY.classes, 1)
    assert images.files[0] == "Alarm_Clock/00000.jpg"
    assert all((tmp_path / name).is_dir() for name in FAMILY.files(domain))


@pytest.mark.parametrize("spelling", REAL_WORLD)
def test_every_spelling_of_real_world_is_read(tmp_path, spelling):
    write_miniature(tmp_path / spelling)
    images = FAMILY.read(tmp_path, "Real_World")["all"]
    assert images.folder == tmp_path / spelling
    assert Counter(images.labels) == dict.fromkeys(FAMILY.classes, 1)


def test_error_names_the_original_spelling(tmp_path):
    assert FAMILY.files("Real_World")[0].startswith("Real World|")
    with pytest.raises(UserError, match=r"'.*/Real World': No such file"):
        FAMILY.read(tmp_path, "Real_World")


def test_unpublished_classes_are_refused(tmp_path):
    write_miniature(tmp_path / "Art")
    (tmp_path / "Art" / "Desk_Lamp").rename(tmp_path / "Art" / "Desk Lamp")
    with pytest.raises(
        UserError, match=r"Art' are not the published ones: missing: Desk_Lamp; not published: Desk Lamp$"
    ):
        FAMILY.read(tmp_path, "Art")
