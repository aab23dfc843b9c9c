import pytest

from da_bench.core.config import UserError
from da_bench.data.family import Listing
from da_bench.data.file_lists import check_classes, listing, read_list

CLASSES = ("truck", "ant", "Bee")  # labels index this order, which is not alphabetical


def write(folder, content):
    path = folder / "image_list.txt"
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_read_list_maps_paths_to_class_names(tmp_path, end):
    lines = ["b/2.jpg 2", "", "./a/1.jpg 0", "Real World/my cat.jpg\t1", "  ", "..hidden/..3.jpg 01", ""]
    assert read_list(write(tmp_path, end.join(lines)), CLASSES) == {
        "b/2.jpg": "Bee",
        "a/1.jpg": "truck",
        "Real World/my cat.jpg": "ant",
        "..hidden/..3.jpg": "ant",
    }


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("a.jpg", "no label"),
        ("my cat.jpg", r"its label 'cat\.jpg' is not a whole number"),
        ("a.jpg 1.0", "its label '1.0' is not a whole number"),
        ("a.jpg -1", "its label '-1' is not a whole number"),
        ("a.jpg \u0661", "is not a whole number"),  # a digit, but not an ASCII one
        ("a.jpg 3", r"its label 3 is not in 0\.\.2"),
        ("/etc/a.jpg 1", "leads out of the folder"),
        ("../a.jpg 1", "leads out of the folder"),
        ("a/../../b.jpg 1", "leads out of the folder"),
        ("a/../ok.jpg 1", "leads out of the folder"),
        ("ok.jpg 1", "an earlier line has"),
        (".//ok.jpg 2", "an earlier line has"),
    ],
)
def test_bad_line_is_reported_with_its_number(tmp_path, line, fault):
    path = write(tmp_path, f"ok.jpg 1\n\n{line}\n")
    with pytest.raises(UserError, match=rf"image_list\.txt', line 3 .*{fault}.*get a fresh copy"):
        read_list(path, CLASSES)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_list_is_refused(tmp_path, content):
    with pytest.raises(UserError, match=r"image_list\.txt' lists no images"):
        read_list(write(tmp_path, content), CLASSES)


def test_unreadable_list_is_refused(tmp_path):
    (tmp_path / "image_list.txt").write_bytes(b"\xff\xd8\xff\xe0")
    for path in (tmp_path / "image_list.txt", tmp_path / "nowhere.txt", tmp_path):
        with pytest.raises(UserError, match=rf"cannot read the list '{path}'"):
            read_list(path, CLASSES)


def test_listing_is_sorted_by_path(tmp_path):
    names = {"b/2.jpg": "Bee", "B.jpg": "ant", "b/10.jpg": "truck"}
    (tmp_path / "b").mkdir()
    for file in names:
        (tmp_path / file).touch()
    expected = Listing(tmp_path, ("B.jpg", "b/10.jpg", "b/2.jpg"), ("ant", "truck", "Bee"))
    assert listing(tmp_path, names) == listing(tmp_path, dict(reversed(names.items()))) == expected


def test_missing_images_are_reported_together(tmp_path):
    (tmp_path / "2.jpg").touch()
    (tmp_path / "4.jpg").mkdir()
    with pytest.raises(
        UserError, match=rf"4 of 5 listed images are not in '{tmp_path}': 1\.jpg, 3\.jpg, 4\.jpg, \.\.\."
    ):
        listing(tmp_path, dict.fromkeys(("5.jpg", "4.jpg", "3.jpg", "2.jpg", "1.jpg"), "ant"))


def test_check_classes_accepts_only_the_published_classes(tmp_path):
    images = Listing(tmp_path, ("a", "b", "c"), ("ant", "Bee", "ant"))
    assert check_classes(images, ("Bee", "ant")) is images
    with pytest.raises(UserError, match=r"not the published ones: missing: truck$"):
        check_classes(images, CLASSES)
    with pytest.raises(UserError, match=r"not the published ones: not published: Bee$"):
        check_classes(images, ("ant",))
    with pytest.raises(UserError, match=r"missing: bee; not published: Bee$"):
        check_classes(images, ("ant", "bee"))
