import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from da_bench.data import digits, typefaces
from da_bench.data.digits import mnist, real, resize, synthetic, usps
from da_bench.data.typefaces import FACES, RANGES, _embolden, _fill, _pose, glyph, render
from da_bench.settings import UserError


@pytest.fixture(scope="module")
def printed():
    return synthetic()


def sha256(splits):
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for split in splits for part in split))


def test_printed_digits_are_balanced_counts_of_sixteen_pixels(printed):
    for domain, count in zip(printed, (4000, 500, 1000), strict=True):
        assert domain.inputs.shape == (count, 8, 8, 1)
        assert (domain.inputs.dtype, domain.labels.dtype) == (np.float32, np.int32)
        assert np.bincount(domain.labels).tolist() == [count // 10] * 10
        assert set(np.unique(domain.inputs * 16)) <= set(range(17))
        assert domain.inputs.max(axis=(1, 2, 3)).min() > 0.4  # ink in every image


def test_printed_digits_are_the_same_bytes_everywhere(printed):
    # Made by this code, x86-64; numpy 2.1.3 with matplotlib 3.10.0 and numpy 2.4.6 with matplotlib 3.11.2 agree. If it
    # changes, every number of a task on this domain is void.
    assert sha256(printed).hexdigest() == "63d583f0bf44cb98f75564865a007e398ad7f444a96cfdde49ad9acf574fb89d"
    assert sha256(synthetic()).hexdigest() == sha256(printed).hexdigest()


@pytest.mark.parametrize("load", [synthetic, real])
def test_no_image_is_in_two_splits(load):
    images = np.concatenate([domain.inputs.reshape(-1, 64) for domain in load()])
    assert len(np.unique(images, axis=0)) == len(images)


def test_another_drawn_parameter_shifts_no_other(monkeypatch):
    before = render(np.arange(10), "test")
    monkeypatch.setattr(typefaces, "RANGES", {"new": (0.0, 1.0), **RANGES})
    np.testing.assert_array_equal(render(np.arange(10), "test"), before)


def square(low, high):
    return np.array([[low, low, high, high]], float), np.array([[low, high, high, low]], float)


def test_fill_counts_the_pixels_whose_centres_are_inside():
    # On the page (y down) the corners run (4, 12), (4, 4), (12, 4), (12, 12): clockwise, with ink on the right.
    x, y = square(4, 12)
    following = np.array([1, 2, 3, 0])
    expected = np.zeros((32, 32), bool)
    expected[4:12, 4:12] = True
    np.testing.assert_array_equal(_fill(x, 16 - y, following), expected[None])
    assert _fill(x + 0.6, 16 - y, following).sum() == 64
    assert _fill(x - 8, 16 - y, following).sum() == 4 * 8  # half of it is off the page
    assert _fill(x[:, ::-1], 16 - y[:, ::-1], following).sum() == 0  # anticlockwise: a hole in nothing


def test_emboldened_square_grows_on_every_side():
    x, y = square(4, 12)
    following = np.array([1, 2, 3, 0])
    wide, high = _embolden(x, y, following, np.array([[1.5]]))
    np.testing.assert_allclose(wide, square(2.5, 13.5)[0])
    np.testing.assert_allclose(high, square(2.5, 13.5)[1])


def test_full_height_upright_digit_fills_the_height_as_optdigits_does():
    style = {"rotation": 0, "shear": 0, "height": 32, "stretch": 1, "across": 0, "down": 0, "weight": 1}
    ink = _fill(*_pose(glyph("DejaVuSans", 0), {key: np.array([float(value)]) for key, value in style.items()}))[0]
    assert ink[0].any()
    assert ink[31].any()
    assert not ink[16, 16]  # the hole of the zero
    np.testing.assert_array_equal(ink, ink[:, ::-1])


@pytest.mark.parametrize("face", FACES)
def test_outlines_are_what_freetype_draws(face):
    import matplotlib

    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")), 300)
    upright = {"rotation": 0, "shear": 0, "height": 32, "stretch": 1, "across": 0, "down": 0, "weight": 0}
    for digit in range(10):
        page = Image.new("L", (600, 600))
        ImageDraw.Draw(page).text((150, 100), str(digit), font=font, fill=255)
        cut = page.crop(page.getbbox())
        ours = _fill(*_pose(glyph(face, digit), {key: np.array([float(value)]) for key, value in upright.items()}))[0]
        box = (cut.width / 2 - cut.height / 2, 0, cut.width / 2 + cut.height / 2, cut.height)
        theirs = np.asarray(cut.transform((32, 32), Image.Transform.EXTENT, box)) > 127
        assert np.abs(ours.sum() - theirs.sum()) < 32
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.8, (face, digit)


def test_faces_are_all_different():
    shapes = {glyph(face, digit).corners.tobytes() for face in FACES for digit in range(10)}
    assert len(shapes) == 10 * len(FACES) == 200


def test_missing_typeface_is_named():
    with pytest.raises(UserError, match=r"NoSuchFace.ttf' is missing; install matplotlib"):
        glyph("NoSuchFace", 0)


def test_real_digits_are_all_of_optdigits_test_part():
    from sklearn.datasets import load_digits

    whole = real()
    assert [domain.inputs.shape for domain in whole] == [(898, 8, 8, 1), (180, 8, 8, 1), (719, 8, 8, 1)]
    images, labels = load_digits(return_X_y=True)
    rows = np.concatenate([np.c_[domain.inputs.reshape(-1, 64) * 16, domain.labels] for domain in whole])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, np.c_[images, labels]))
    # optdigits.names: 178 182 177 183 181 182 181 179 174 180 of the digits 0..9 in the test part.
    assert np.bincount(rows[:, 64].astype(int)).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_real_digits_are_always_cut_in_the_same_places():
    assert (
        sha256(real()).hexdigest() == "8b3828f65c8990bc255ef1e3783e760166898c2efecde1eb67b5b703b6595e0a"
    )  # made by this code; see above


def test_resize_keeps_flat_images_and_the_place_of_things():
    np.testing.assert_array_equal(resize(np.full((1, 16, 16), 77, np.uint8), 28), np.full((1, 28, 28), 77))
    image = np.zeros((1, 16, 16), np.uint8)
    image[0, :8] = 255
    resized = resize(image, 28)[0]
    assert (resized[:13] == 255).all()
    assert (resized[15:] == 0).all()


def family(name):
    """The data root, where it holds the family; else the test is skipped."""
    root = os.environ.get("DA_BENCH_DATA")
    if not root or not Path(root, name).is_dir():
        pytest.skip(f"needs the real {name} files: set DA_BENCH_DATA to a folder that has {name}/")
    return Path(root)


def test_mnist_is_the_published_one():
    splits = mnist(family("mnist"))
    assert [domain.inputs.shape for domain in splits] == [(55000, 28, 28, 1), (5000, 28, 28, 1), (10000, 28, 28, 1)]
    assert splits.train.inputs.dtype == np.float32
    assert (splits.train.inputs.min(), splits.train.inputs.max()) == (0, 1)
    # LeCun's page: the class counts of the 60000; mean and standard deviation 0.1307 and 0.3081 are in every tutorial.
    counts = np.bincount(splits.train.labels) + np.bincount(splits.validation.labels)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    pixels = np.concatenate([splits.train.inputs, splits.validation.inputs])
    assert pixels.mean(dtype=np.float64) == pytest.approx(0.1307, abs=1e-4)
    assert splits.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_first_labels_of_mnist_are_in_the_order_of_the_file():
    labels = digits.read_idx(family("mnist") / "mnist" / "train-labels-idx1-ubyte.gz")
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_usps_is_the_published_one():
    splits = usps(family("usps"))
    assert [domain.inputs.shape for domain in splits] == [(6562, 28, 28, 1), (729, 28, 28, 1), (2007, 28, 28, 1)]
    assert splits.train.inputs.dtype == np.float32
    assert (splits.train.inputs.min(), splits.train.inputs.max()) == (0, 1)
    counts = np.bincount(splits.train.labels) + np.bincount(splits.validation.labels)
    # Hastie, Tibshirani and Friedman's zip.info
    assert counts.tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    assert np.bincount(splits.test.labels).tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]


def fake_mnist(folder, images, labels):
    head = b"\0\0\x08"
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            head + b"\x03" + images.to_bytes(4, "big") + (28).to_bytes(4, "big") * 2 + bytes(images * 784)
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            head + b"\x01" + len(labels).to_bytes(4, "big") + bytes(labels)
        )


def test_mnist_of_another_count_is_refused(tmp_path):
    (tmp_path / "mnist").mkdir()
    fake_mnist(tmp_path / "mnist", 3, [0, 1, 2])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte' holds \(3, 28, 28\).*\(60000, 28, 28\)"):
        mnist(tmp_path)


def test_mnist_of_labels_that_are_no_digits_is_refused(tmp_path):
    (tmp_path / "mnist").mkdir()
    fake_mnist(tmp_path / "mnist", 1, [10])
    paths = [tmp_path / "mnist" / f"train-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    with pytest.raises(UserError, match="labels-idx1-ubyte' has labels that are no digits"):
        digits._idx_domain(*paths, 1)


@pytest.mark.parametrize(
    ("line", "fault"), [("7 1:1.5", r"out of \[-1, 1\]"), ("11 1:1", "no digits"), ("1.5 1:1", "no digits")]
)
def test_usps_with_garbled_values_is_refused(tmp_path, line, fault):
    path = tmp_path / "usps"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=rf"usps'.*{fault}"):
        digits._libsvm_domain(path, 1)
    with pytest.raises(UserError, match=r"usps' holds 1 .* 7291 are published"):
        digits._libsvm_domain(path, 7291)


def test_usps_values_and_labels_by_hand(tmp_path):
    path = tmp_path / "usps"
    path.write_text("10 " + " ".join(f"{i}:{-1 if i <= 128 else 1}" for i in range(1, 257)) + "\n")
    domain = digits._libsvm_domain(path, 1)
    assert domain.labels.tolist() == [9]
    assert (domain.inputs[0, 0, 0, 0], domain.inputs[0, 27, 0, 0]) == (0, 1)
