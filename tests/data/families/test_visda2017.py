import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data.families.visda2017 import FAMILY, KNOWN

LINES = {
    "train": ["truck/src_2_0__108_165_160.png 11", "aeroplane/src_1_0__118_165_160.png 0"],
    "validation": ["truck/val_9.jpg 11", "horse/val_1.jpg 4", "aeroplane/val_2.jpg 0"],
    "test": ["trunk01/18ea52.jpg 11", "trunk01/9e6997.jpg 4", "trunk02/08d091.jpg 2"],
}


def write_miniature(data_folder, domain):
    """Write one domain as unpacked: the images and an unsorted list."""
    for line in LINES[domain]:
        path = data_folder / domain / line.split()[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 4)).save(path)
    (data_folder / domain / "image_list.txt").write_text("".join(f"{line}\n" for line in LINES[domain]))
    return data_folder


def test_declaration_matches_the_publication():
    assert list(FAMILY.classes) == sorted(FAMILY.classes)
    assert len(FAMILY.classes) == 12
    assert sum(counts["all"] for counts in FAMILY.domains.values()) == 280157  # "over 280K", Peng et al. 2017


def test_partial_and_open_protocols():
    assert FAMILY.subsets["partial"] == (FAMILY.classes, ("aeroplane", "bicycle", "bus", "car", "horse", "knife"))
    assert FAMILY.subsets["open"] == (KNOWN, FAMILY.classes)
    assert sorted(set(FAMILY.classes) - set(KNOWN)) == ["aeroplane", "horse", "knife", "person", "plant", "skateboard"]


@pytest.mark.parametrize("domain", ["train", "validation"])
def test_miniature_is_read(tmp_path, domain):
    images = FAMILY.read(write_miniature(tmp_path, domain), domain)["all"]
    assert images.folder == tmp_path / domain
    assert list(images.files) == sorted(line.split()[0] for line in LINES[domain])
    assert list(images.labels) == [file.split("/")[0] for file in images.files]  # folders are named after classes
    assert all((tmp_path / name).is_file() for name in FAMILY.files(domain))


def test_classes_of_the_test_domain_come_from_the_list(tmp_path):
    images = FAMILY.read(write_miniature(tmp_path, "test"), "test")["all"]
    assert dict(zip(images.files, images.labels, strict=True)) == {
        "trunk01/18ea52.jpg": "truck",
        "trunk01/9e6997.jpg": "horse",
        "trunk02/08d091.jpg": "bus",
    }


def test_unlabelled_list_of_the_challenge_is_refused(tmp_path):
    write_miniature(tmp_path, "test")
    (tmp_path / "test" / "image_list.txt").write_text("trunk01/18ea52.jpg\ntrunk01/9e6997.jpg\n")
    with pytest.raises(UserError, match=r"test/image_list.txt', line 1 .* no label.*came later: https://github.com/"):
        FAMILY.read(tmp_path, "test")


def test_other_list_errors_are_reported_unchanged(tmp_path):
    write_miniature(tmp_path, "validation")
    (tmp_path / "validation" / "horse" / "val_1.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of 3 listed images are not in '.*/validation': horse/val_1.jpg; unpack"):
        FAMILY.read(tmp_path, "validation")
    (tmp_path / "validation" / "image_list.txt").write_text("horse/val_1.jpg 12\n")
    with pytest.raises(UserError, match=r"line 1 .*not in 0\.\.11; get a fresh copy of the list$"):
        FAMILY.read(tmp_path, "validation")
