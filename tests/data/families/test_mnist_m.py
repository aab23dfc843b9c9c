import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data.families import mnist, mnist_m
from da_bench.data.files import locate_files

COUNTS = {"train": 5, "test": 3}
PHOTOS = {"12.jpg": (40, 50), "7.jpg": (60, 33)}  # heights and widths


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_ingredients(root, rng):
    """Write an MNIST with one image more than MNIST-M, two photographs, and offsets up to their far corners."""
    for folder in ("mnist", "mnist_m", "bsds500/train"):
        (root / folder).mkdir(parents=True)
    contents = {"photos": [rng.integers(0, 256, (*size, 3), np.uint8) for size in PHOTOS.values()]}
    for name, photo in zip(PHOTOS, contents["photos"], strict=True):
        Image.fromarray(photo).save(root / "bsds500/train" / name, format="PNG")  # exact, unlike JPEG
    for (part, count), names in zip(COUNTS.items(), (mnist.FILES[:2], mnist.FILES[2:]), strict=True):
        digits = rng.integers(0, 256, (count + 1, 28, 28), np.uint8) * rng.integers(0, 2, (count + 1, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count + 1).astype(np.uint8)
        for name, array in zip(names, (digits, labels), strict=True):
            (root / "mnist" / name.removesuffix(".gz")).write_bytes(idx(array))
        photo = np.arange(count) % 2
        corner = np.array([(40 - 32, 50 - 32), (60 - 32, 33 - 32)])[photo]
        contents[part] = (
            digits,
            labels,
            np.c_[photo, np.where(np.arange(count)[:, None] == 2, 0, corner)].astype(np.int16),
        )
    np.savez(root / mnist_m.OFFSETS, train=contents["train"][2], test=contents["test"][2], files=np.array(list(PHOTOS)))
    return contents


def blend_pixel_by_pixel(contents, part):
    """Return the photograph where the digit is black and its negative elsewhere, pixel by pixel."""
    digits, _, offsets = contents[part]
    images = np.zeros((len(offsets), 32, 32, 3), int)
    for i, (k, top, left) in enumerate(offsets):
        for y in range(32):
            for x in range(32):
                digit = digits[i, y - 2, x - 2] if 2 <= y < 30 and 2 <= x < 30 else 0
                patch = contents["photos"][k][top + y, left + x].astype(int)
                images[i, y, x] = 255 - patch if digit > 0 else patch
    return images.astype(np.uint8)


@pytest.fixture
def contents(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(mnist_m, "COUNTS", COUNTS)
    monkeypatch.setattr(mnist, "COUNTS", {part: count + 1 for part, count in COUNTS.items()})
    contents = write_ingredients(tmp_path, rng)
    digests = {part: hashlib.sha256(blend_pixel_by_pixel(contents, part).tobytes()).hexdigest() for part in COUNTS}
    monkeypatch.setattr(mnist_m, "SHA256", digests)
    return contents


def write_original(root, contents):
    """Write the original folder, with label lines in another order than the names."""
    for part in COUNTS:
        folder = root / f"mnist_m/mnist_m_{part}"
        folder.mkdir()
        lines = []
        for i, image in enumerate(blend_pixel_by_pixel(contents, part)):
            Image.fromarray(image).save(folder / f"{i:08d}.png")
            lines.insert(0, f"{i:08d}.png {contents[part][1][i]}\n")
        (root / f"mnist_m/mnist_m_{part}_labels.txt").write_text("".join(lines))


def check_parts(parts, contents):
    for part, count in COUNTS.items():
        assert parts[part].inputs.dtype == np.uint8
        np.testing.assert_array_equal(parts[part].inputs, blend_pixel_by_pixel(contents, part))
        assert parts[part].labels.tolist() == contents[part][1][:count].tolist()
        assert parts[part].classes == tuple("0123456789")


def test_blended_images_match_the_reference(tmp_path, contents):
    check_parts(mnist_m.read(tmp_path), contents)
    assert None not in locate_files(tmp_path, ".", mnist_m._files("mnist_m")).values()


def test_original_folder_gives_the_same_images(tmp_path, contents):
    write_original(tmp_path, contents)
    for name in ("mnist", "bsds500"):
        (tmp_path / name).rename(tmp_path / f"no_{name}")
    (tmp_path / mnist_m.OFFSETS).unlink()
    check_parts(mnist_m.read(tmp_path), contents)
    assert None not in locate_files(tmp_path, ".", mnist_m._files("mnist_m")).values()


def test_original_folder_has_precedence(tmp_path, contents):
    write_original(tmp_path, contents)
    (tmp_path / mnist_m.OFFSETS).write_bytes(b"not looked at")
    check_parts(mnist_m.read(tmp_path), contents)


@pytest.mark.parametrize("form", ["ingredients", "original"])
def test_single_missing_file_is_named(tmp_path, contents, form):
    if form == "original":
        write_original(tmp_path, contents)
        (tmp_path / mnist_m.OFFSETS).unlink()
    missing = {"ingredients": "bsds500/train", "original": "mnist_m/mnist_m_test"}[form]
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    absent = [name for name, path in locate_files(tmp_path, ".", mnist_m._files("mnist_m")).items() if path is None]
    assert [name.split("|")[0] for name in absent] == [missing]


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-60]), "get a fresh copy"),
        (lambda path: path.write_bytes(b""), "get a fresh copy"),
        (lambda path: path.write_text("<svg/>"), "get a fresh copy"),
        (lambda path: path.unlink(), "get a fresh copy"),
        (lambda path: Image.new("RGB", (28, 28)).save(path), r"\('RGB', \(28, 28\)\), but \('RGB', \(32, 32\)\)"),
        (lambda path: Image.new("L", (32, 32)).save(path), r"\('L', .* but \('RGB'"),
    ],
)
def test_bad_images_of_the_original_are_refused(tmp_path, contents, edit, fault):
    write_original(tmp_path, contents)
    edit(tmp_path / "mnist_m/mnist_m_test/00000001.png")
    with pytest.raises(UserError, match=rf"mnist_m_test/00000001\.png'.*{fault}"):
        mnist_m.read(tmp_path)


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("00000000.png 5\n00000001.png 10\n00000002.png 1\n", "labels that are not digits"),
        ("00000000.png 5\n00000001.png x\n00000002.png 1\n", "get a fresh copy"),
        ("00000000.png 5\n00000001.png\n00000002.png 1\n", "get a fresh copy"),
        ("00000000.png 5\n00000001.png 1\n", "holds 2, but 3 is published"),
        ("00000000.png 5\n00000000.png 4\n00000001.png 1\n", "holds 2, but 3 is published"),
        ("", "holds 0, but 3"),
    ],
)
def test_bad_labels_of_the_original_are_refused(tmp_path, contents, lines, fault):
    write_original(tmp_path, contents)
    (tmp_path / "mnist_m/mnist_m_test_labels.txt").write_text(lines)
    with pytest.raises(UserError, match=rf"mnist_m_test_labels\.txt'.*{fault}"):
        mnist_m.read(tmp_path)


def test_changed_pixel_of_a_photograph_is_detected(tmp_path, contents):
    photo = contents["photos"][0].copy()
    photo[20, 20, 0] ^= 1
    Image.fromarray(photo).save(tmp_path / "bsds500/train/12.jpg", format="PNG")
    with pytest.raises(UserError, match=r"bsds500/train' .* another train part than MNIST-M's.*JPEG"):
        mnist_m.read(tmp_path)


def test_missing_photographs_are_counted(tmp_path, contents):
    (tmp_path / "bsds500/train/7.jpg").unlink()
    with pytest.raises(UserError, match=r"1 photographs are missing in '.*bsds500/train': 7\.jpg.*200 training images"):
        mnist_m.read(tmp_path)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ((0, 9, 0), "beyond the edges"),
        ((1, 0, 2), "beyond the edges"),
        ((2, 0, 0), "that do not exist"),
        ((-1, 0, 0), "that do not exist"),
        ((0, -1, 0), "that do not exist"),
    ],
)
def test_invalid_offsets_are_refused(tmp_path, contents, row, fault):
    offsets = contents["train"][2].copy()
    offsets[1] = row
    np.savez(tmp_path / mnist_m.OFFSETS, train=offsets, test=contents["test"][2], files=np.array(list(PHOTOS)))
    with pytest.raises(UserError, match=rf"offsets\.npz'.*{fault}"):
        mnist_m.read(tmp_path)


def test_damaged_offsets_file_is_refused(tmp_path, contents):
    path = tmp_path / mnist_m.OFFSETS
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(UserError, match=r"offsets\.npz'.*get a fresh copy"):
        mnist_m.read(tmp_path)
    np.savez(path, train=contents["train"][2][:-1], test=contents["test"][2], files=np.array(list(PHOTOS)))
    with pytest.raises(UserError, match=r"offsets\.npz' holds \(\(4, 3\), 'int16'\), but \(\(5, 3\), 'int16'\)"):
        mnist_m.read(tmp_path)
    np.savez(path, train=np.array([None]), files=np.array(list(PHOTOS)))
    with pytest.raises(UserError, match=r"offsets\.npz'.*object"):
        mnist_m.read(tmp_path)
    np.savez(path, train=np.full((5, 3), "a"), files=np.array(list(PHOTOS)))
    with pytest.raises(UserError, match=r"offsets\.npz' holds .*'str32'"):
        mnist_m.read(tmp_path)
    np.savez(path, files=np.array([1, 2]))
    with pytest.raises(UserError, match="2 photographs are missing"):
        mnist_m.read(tmp_path)


def test_real_files_have_the_published_digests():
    data_root = os.environ.get("DA_BENCH_DATA")
    if not data_root or not Path(data_root, "mnist_m").is_dir():
        pytest.skip("needs the real MNIST-M: set DA_BENCH_DATA to a folder that has mnist_m/")
    parts = mnist_m.read(Path(data_root))
    # Ganin et al. 2016: 59001 and 9001 images; the digests are those of the original's images.
    assert {part: examples.inputs.shape for part, examples in parts.items()} == {
        "train": (59001, 32, 32, 3),
        "test": (9001, 32, 32, 3),
    }
    starts = {"train": "3c689850ded80df1", "test": "47415b066fe8a39d"}
    for part, examples in parts.items():
        assert hashlib.sha256(examples.inputs.tobytes()).hexdigest().startswith(starts[part])
    # The first labels of MNIST, in its order.
    assert parts["train"].labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert parts["test"].labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
