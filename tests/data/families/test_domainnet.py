import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data.families.domainnet import FAMILY, FAMILY_126, LABELS, LABELS_126

# Images are called <domain>_<number of the class from 1>_<number>; a label is the
# number of the class minus 1. All lines below are from the published lists.
REAL = {
    "train": ["real/zebra/real_344_000541.jpg 343", "real/The_Eiffel_Tower/real_309_000491.jpg 308"],
    "test": ["real/teddy-bear/real_304_000181.jpg 303", "real/cell_phone/real_068_000294.jpg 67"],
}
REAL_126 = [
    "real/zebra/real_344_000541.jpg 125",
    "real/The_Eiffel_Tower/real_309_000491.jpg 115",
    "real/cello/real_067_000423.jpg 30",
    "real/cell_phone/real_068_000294.jpg 31",
    "real/toe/real_314_000216.jpg 118",
]


def write_miniature(data_folder, lists):
    """Write the list files and, in class folders next to them, the listed images."""
    data_folder.mkdir(exist_ok=True)
    for name, lines in lists.items():
        (data_folder / name).write_text("\n".join(lines) + "\n")
        for line in lines:
            path = data_folder / line.rsplit(maxsplit=1)[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (5, 4)).save(path)
    return data_folder


def write_full_lists(data_folder):
    return write_miniature(data_folder, {f"real_{part}.txt": lines for part, lines in REAL.items()})


def write_126_list(data_folder):
    return write_miniature(data_folder, {"labeled_source_images_real.txt": REAL_126})


def test_declarations_match_the_publications():
    for family, labels, classes in ((FAMILY, LABELS, 345), (FAMILY_126, LABELS_126, 126)):
        assert list(family.classes) == sorted(labels)
        assert len(set(labels)) == len(labels) == classes
    # The table of the authors' page, "#Cleaned", and its sum, as in DomainBed.
    cleaned = [48129, 51605, 72266, 172500, 172947, 69128]
    assert [sum(counts.values()) for counts in FAMILY.domains.values()] == cleaned
    assert sum(cleaned) == 586575
    assert list(FAMILY_126.domains) == ["clipart", "painting", "real", "sketch"]
    assert sum(counts["all"] for counts in FAMILY_126.domains.values()) == 145145


def test_126_classes_keep_the_order_of_the_345():
    assert [name for name in LABELS if name in LABELS_126] == list(LABELS_126)
    assert LABELS.index("t-shirt") == 327  # others report that painting's train part lacks this class


def test_labels_match_the_numbers_in_image_names():
    for line in [*REAL["train"], *REAL["test"], *REAL_126]:
        _, name, file = line.split()[0].split("/")
        assert LABELS[int(file.split("_")[1]) - 1] == name


def test_miniature_is_read(tmp_path):
    parts = FAMILY.read(write_full_lists(tmp_path), "real")
    assert list(parts) == ["train", "test"]
    assert parts["train"].labels == ("The_Eiffel_Tower", "zebra")
    assert parts["test"].labels == ("cell_phone", "teddy-bear")
    for images in parts.values():
        assert list(images.files) == sorted(images.files)
        assert all((images.folder / file).is_file() for file in images.files)
    assert all((tmp_path / name).exists() for name in FAMILY.files("real"))


def test_126_classes_use_their_own_labels(tmp_path):
    images = FAMILY_126.read(write_126_list(tmp_path), "real")["all"]
    assert images.labels == ("The_Eiffel_Tower", "cell_phone", "cello", "toe", "zebra")
    assert all((tmp_path / name).exists() for name in FAMILY_126.files("real"))


def test_both_variants_share_a_folder(tmp_path):
    assert FAMILY.folder == FAMILY_126.folder
    write_126_list(write_full_lists(tmp_path))
    assert len(FAMILY.read(tmp_path, "real")["train"].files) == 2
    assert len(FAMILY_126.read(tmp_path, "real")["all"].files) == 5


def test_list_with_labels_of_the_other_variant_is_refused(tmp_path):
    write_full_lists(tmp_path)
    (tmp_path / "real_test.txt").write_text("\n".join(REAL_126))
    with pytest.raises(UserError, match=r"real_test.txt' labels 'real/zebra/.*' as .*.*another list"):
        FAMILY.read(tmp_path, "real")
    (tmp_path / "real_test.txt").write_text("real_344_000541.jpg 343\n")
    with pytest.raises(UserError, match="another list"):
        FAMILY.read(tmp_path, "real")


def test_missing_images_and_lists_are_named(tmp_path):
    write_full_lists(tmp_path)
    (tmp_path / "real/zebra/real_344_000541.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of 2 listed images are not in .*: real/zebra/real_344_0005.*; unpack"):
        FAMILY.read(tmp_path, "real")
    with pytest.raises(UserError, match=r"cannot read the list '.*/labeled_source_images_real.txt'"):
        FAMILY_126.read(tmp_path, "real")
