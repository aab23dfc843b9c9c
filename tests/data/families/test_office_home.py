from collections import Counter

import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data.families.office_home import FAMILY, REAL_WORLD


def miniature(data_folder):
    """The class folders of one domain, as in the archive."""
    for number, name in enumerate(FAMILY.classes):
        (data_folder / name).mkdir(parents=True)
        Image.new("RGB", (5, 4)).save(data_folder / name / f"{number:05}.jpg")


def test_the_declaration():
    assert list(FAMILY.classes) == sorted(FAMILY.classes)
    assert len(FAMILY.classes) == 65
    assert sum(counts["all"] for counts in FAMILY.domains.values()) == 15588  # the total of the archive
    assert all(" " not in name for name in FAMILY.domain_names())


def test_partial_and_open_protocols():
    # The first 25 of the alphabet, Alarm_Clock to Fork: the target of the one, the known classes of the other.
    source, few = FAMILY.subsets["partial"]
    assert source == FAMILY.classes
    assert (len(few), few[0], few[-1]) == (25, "Alarm_Clock", "Fork")
    assert FAMILY.subsets["open"] == (few, FAMILY.classes)
    assert sorted(FAMILY.classes, key=str.lower)[:25] == list(few)  # whichever way capitals are sorted


@pytest.mark.parametrize("domain", ["Art", "Clipart", "Product"])
def test_a_miniature_is_read(tmp_path, domain):
    miniature(tmp_path / domain)
    images = FAMILY.read(tmp_path, domain)["all"]
    assert Counter(images.labels) == dict.fromkeys(FAMILY.classes, 1)
    assert images.files[0] == "Alarm_Clock/00000.jpg"
    assert all((tmp_path / name).is_dir() for name in FAMILY.files(domain))


@pytest.mark.parametrize("spelling", REAL_WORLD)
def test_the_real_world_in_each_spelling(tmp_path, spelling):
    miniature(tmp_path / spelling)
    images = FAMILY.read(tmp_path, "Real_World")["all"]
    assert images.folder == tmp_path / spelling
    assert Counter(images.labels) == dict.fromkeys(FAMILY.classes, 1)


def test_the_original_spelling_is_what_is_asked_for(tmp_path):
    assert FAMILY.files("Real_World")[0].startswith("Real World|")
    with pytest.raises(UserError, match=r"'.*/Real World': No such file"):
        FAMILY.read(tmp_path, "Real_World")


def test_other_classes_are_refused(tmp_path):
    miniature(tmp_path / "Art")
    (tmp_path / "Art" / "Desk_Lamp").rename(tmp_path / "Art" / "Desk Lamp")
    with pytest.raises(
        UserError, match=r"Art' are not the published ones: missing: Desk_Lamp; not published: Desk Lamp$"
    ):
        FAMILY.read(tmp_path, "Art")
