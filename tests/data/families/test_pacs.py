from collections import Counter

import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data.families.pacs import FAMILY


def write_miniature(data_folder):
    """Write all domains: .png files in one, .jpg in the others, and a list per domain with labels from 1."""
    for domain in FAMILY.domains:
        suffix = "png" if domain == "sketch" else "jpg"
        for name in FAMILY.classes:
            (data_folder / domain / name).mkdir(parents=True)
            Image.new("RGB", (5, 4)).save(data_folder / domain / name / f"pic_001.{suffix}")
        (data_folder / f"{domain}_test_kfold.txt").write_text(f"{domain}/dog/pic_001.{suffix} 1\n")


def test_declaration_matches_the_publication():
    assert list(FAMILY.classes) == sorted(FAMILY.classes)
    assert len(FAMILY.classes) == 7
    assert sum(counts["all"] for counts in FAMILY.domains.values()) == 9991  # Li et al. 2017


@pytest.mark.parametrize("parent", [".", "kfold", "PACS", "PACS/kfold"])
@pytest.mark.parametrize("domain", ["photo", "sketch"])
def test_miniature_is_read_in_every_archive_layout(tmp_path, parent, domain):
    write_miniature(tmp_path / parent)
    images = FAMILY.read(tmp_path, domain)["all"]
    assert Counter(images.labels) == dict.fromkeys(FAMILY.classes, 1)
    assert images.files[0] == ("dog/pic_001.png" if domain == "sketch" else "dog/pic_001.jpg")
    assert all((images.folder / file).is_file() for file in images.files)


def test_unknown_layouts_are_refused(tmp_path):
    write_miniature(tmp_path)
    (tmp_path / "photo").rename(tmp_path / "photos")
    with pytest.raises(UserError, match=rf"'{tmp_path}/photo': No such file"):
        FAMILY.read(tmp_path, "photo")
    (tmp_path / "cartoon" / "train").mkdir()
    Image.new("RGB", (5, 4)).save(tmp_path / "cartoon" / "train" / "a.jpg")
    with pytest.raises(UserError, match=r"cartoon' are not the published ones: not published: train$"):
        FAMILY.read(tmp_path, "cartoon")
