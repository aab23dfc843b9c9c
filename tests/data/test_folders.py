import os

import pytest

from da_bench.core.config import UserError
from da_bench.data.folders import domains_of, family, list_classes
from tests.helpers.corpus import write, write_classes


@pytest.fixture
def data_folder(tmp_path):
    return write_classes(tmp_path / "folder", cat=1, dog=1)


def test_listing_is_sorted_by_path_not_by_order_on_disk(tmp_path, monkeypatch):
    names = [
        "dog/10.JPG",
        "dog/2.jpeg",
        "cat/b/1.PNG",
        "cat/a.webp",
        "cat/é.TIF",
        "cat/b.bmp",
        "Zebra/1.gif",
        "cat 2/1.tiff",
    ]
    for name in names:
        write(tmp_path / name, b"")
    listing = list_classes(tmp_path)
    assert listing.folder == tmp_path
    assert listing.files == tuple(sorted(names))
    assert listing.labels == ("Zebra", "cat 2", "cat", "cat", "cat", "cat", "dog", "dog")
    reverse_scandir(monkeypatch)
    assert list_classes(tmp_path) == listing


def reverse_scandir(monkeypatch):
    """Make os.scandir list folders in reverse order."""
    scandir = os.scandir

    class Backwards:
        def __init__(self, folder):
            with scandir(folder) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)


def test_system_files_and_notes_are_ignored(data_folder):
    expected = list_classes(data_folder)
    for litter in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", ".hidden/1.png", "__MACOSX/cat/0.png", "README"):
        write(data_folder / litter, b"")
        write(data_folder / "cat" / litter, b"")
    for note in ("list.txt", "cat/labels.json", "dog/readme.MD", "cat/LICENSE", "dog/boxes.xml"):
        write(data_folder / note, b"")
    assert list_classes(data_folder) == expected
    assert domains_of(data_folder) == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stray.jpg", r"stray\.jpg'"),
        ("cat/film.mp4", r"cat/film\.mp4' is not an image of a supported format .*convert it, or move it away"),
        ("cat/photo.heic", r"photo\.heic' is not an image"),
        ("cat/deep/photo", r"deep/photo' is not an image"),
        ("cat/0.jpg.part", r"0\.jpg\.part' is not an image"),
        ("features.mat", r"features\.mat' is not an image"),
        ("all.zip", r"all\.zip' is an archive: unpack it yourself"),
        ("cat/rest.tar.GZ", r"rest\.tar\.GZ' is an archive: unpack it yourself"),
        ("cat/rest.7z", r"rest\.7z' is an archive: unpack it yourself"),
        ("bird/deep/.hidden.jpg", r"class folder '.*bird' holds no image: add some, or remove it"),
        ("bird/readme.txt", r"class folder '.*bird' holds no image"),
        ("Cat/0.jpg", r"'Cat' and 'cat' of '.*folder' look alike: merge or rename them"),
        ("cat /0.jpg", r"'cat' and 'cat ' of '.*folder' look alike"),
    ],
)
def test_unusable_entry_is_named(data_folder, name, message):
    write(data_folder / name, b"")
    with pytest.raises(UserError, match=message):
        list_classes(data_folder)


def test_composed_and_decomposed_accents_look_alike(data_folder):
    write(data_folder / "caf\u00e9" / "0.jpg", b"")
    write(data_folder / "cafe\u0301" / "0.jpg", b"")
    with pytest.raises(UserError, match="look alike"):
        list_classes(data_folder)


def test_class_folders_one_level_too_deep_are_refused(data_folder):
    (data_folder / "images").mkdir()
    (data_folder / "cat").rename(data_folder / "images" / "cat")
    (data_folder / "dog").rename(data_folder / "images" / "dog")
    with pytest.raises(UserError, match=r"the folders images,"):
        list_classes(data_folder)
    assert set(list_classes(data_folder / "images").labels) == {"cat", "dog"}


def test_train_and_test_folders_are_not_taken_for_classes(tmp_path):
    for part in ("train", "test"):
        write_classes(tmp_path / part, cat=2, dog=1)
    message = "the folders test, train,.*<domain>/<class>/"
    with pytest.raises(UserError, match=message):
        list_classes(tmp_path)


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "two\nlines"])
def test_undecodable_name_is_refused(data_folder, name):
    write(data_folder / "cat" / f"{name}.jpg", b"")
    with pytest.raises(UserError, match=r"'(caf\\udce9|two\\nlines)\.jpg' in '.*cat' is not UTF-8, .*: rename it"):
        list_classes(data_folder)
    (data_folder / "cat" / f"{name}.jpg").unlink()
    write(data_folder / name / "0.jpg", b"")
    with pytest.raises(UserError, match="rename it"):
        domains_of(data_folder)


@pytest.mark.parametrize(("link", "to"), [("dog/more", "../cat"), ("pet", "cat")])
def test_folder_linked_into_two_classes_is_refused(data_folder, link, to):
    (data_folder / link).symlink_to(to)
    with pytest.raises(UserError, match=r"the classes 'cat' and '(dog|pet)' .* both hold the folder '.*cat': remove"):
        list_classes(data_folder)


def test_single_image_is_accepted(tmp_path):
    listing = list_classes(write_classes(tmp_path, only=1))
    assert (listing.files, listing.labels) == (("only/0.png",), ("only",))


@pytest.mark.parametrize("function", [list_classes, domains_of])
def test_missing_folder_empty_folder_and_file_are_refused(tmp_path, function):
    with pytest.raises(UserError, match=r"nowhere': No such file or directory; check"):
        function(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no folders: .*one folder of images for each class"):
        function(tmp_path)
    with pytest.raises(UserError, match=r"file': Not a directory"):
        function(write(tmp_path / "file", b""))


@pytest.mark.parametrize(("link", "to"), [("cat/again", ".."), ("cat/again", "../../folder"), ("cat/a/b", "../../cat")])
def test_link_loop_is_refused(data_folder, link, to):
    (data_folder / link).parent.mkdir(exist_ok=True)
    (data_folder / link).symlink_to(to)
    with pytest.raises(UserError, match=rf"the link '.*{link}' leads back to '.*'.*: remove the link"):
        list_classes(data_folder)


def test_link_to_the_root_of_the_file_system_is_refused(data_folder):
    (data_folder / "cat" / "root").symlink_to("/")
    with pytest.raises(UserError, match=r"cat/root' leads back to '/'"):
        list_classes(data_folder)


@pytest.mark.parametrize("to", ["cat/0.jpg", "nowhere"])
def test_broken_link_is_named(data_folder, to):
    (data_folder / "cat" / "0.jpg").symlink_to(data_folder / to)
    with pytest.raises(UserError, match=r"cannot use '.*cat/0\.jpg': .*; remove it"):
        list_classes(data_folder)


def test_named_pipe_is_refused_without_blocking(data_folder):
    os.mkfifo(data_folder / "cat" / "pipe.jpg")
    with pytest.raises(UserError, match=r"pipe\.jpg': .*neither a file"):
        list_classes(data_folder)


def test_other_links_are_followed(data_folder, tmp_path):
    elsewhere = write_classes(tmp_path / "elsewhere", bird=2, wolf=2)
    (data_folder / "bird").symlink_to(elsewhere / "bird")
    (data_folder / "dog" / "0b.png").symlink_to(elsewhere / "bird" / "0.png")
    for name in ("again", "more"):
        (data_folder / "dog" / name).symlink_to(elsewhere / "wolf")  # twice, but in no loop
    listing = list_classes(data_folder)
    assert listing.labels.count("bird") == 2
    assert [file for file in listing.files if file.startswith("dog")] == [
        "dog/0.png",
        "dog/0b.png",
        "dog/again/0.png",
        "dog/again/1.png",
        "dog/more/0.png",
        "dog/more/1.png",
    ]


def test_folder_without_read_permission_is_named(data_folder, monkeypatch):
    scandir = os.scandir

    def denied(folder):  # root may read everything, so permission bits cannot be used
        if str(folder).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(UserError, match=r"cannot list the folder '.*dog': Permission denied; check .* you may read it"):
        list_classes(data_folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not apply to root")
def test_permission_bits(data_folder):
    (data_folder / "dog").chmod(0)
    with pytest.raises(UserError, match=r"dog': Permission denied"):
        list_classes(data_folder)


def test_image_folder_is_a_family(tmp_path):
    for domain in ("photo", "sketch"):
        write_classes(tmp_path / "mine" / domain, cat=2, dog=1)
    mine = family("mine")
    assert (mine.name, mine.folder, mine.images, mine.domains, mine.classes) == ("mine", "mine", True, {}, ())
    assert domains_of(tmp_path / mine.folder) == ("photo", "sketch")
    assert mine.files("sketch") == ("sketch",)
    parts = mine.read(tmp_path / mine.folder, "sketch")
    assert parts == {"all": list_classes(tmp_path / "mine" / "sketch")}
    assert parts["all"].labels == ("cat", "cat", "dog")
