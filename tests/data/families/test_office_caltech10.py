import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data.families import office31
from da_bench.data.families.office_caltech10 import FAMILY


def write_miniature(root):
    """Write Caltech's ten classes and all 31 classes of Office-31 in their folders."""
    folders = [root / "office_caltech10" / "caltech10" / name for name in FAMILY.classes]
    folders += [
        root / "office31" / domain / "images" / name
        for domain in ("amazon", "dslr", "webcam")
        for name in office31.CLASSES
    ]
    for folder in folders:
        folder.mkdir(parents=True)
        Image.new("RGB", (5, 4)).save(folder / "0001.jpg")
    return root


def test_declaration_matches_the_publication():
    assert FAMILY.classes == (
        *("backpack", "bike", "calculator", "headphones", "keyboard"),
        *("laptop", "monitor", "mouse", "mug", "projector"),
    )
    assert sum(counts["all"] for counts in FAMILY.domains.values()) == 2533  # Gong et al. 2012


@pytest.mark.parametrize("domain", FAMILY.domains)
def test_miniature_is_read(tmp_path, domain):
    images = FAMILY.read(write_miniature(tmp_path) / FAMILY.folder, domain)["all"]
    assert Counter(images.labels) == dict.fromkeys(FAMILY.classes, 1)
    assert list(images.files) == sorted(images.files)
    assert all((images.folder / file).is_file() for file in images.files)
    assert all((tmp_path / FAMILY.folder / name).is_dir() for name in FAMILY.files(domain))


def test_office31_class_names_are_mapped_to_those_of_caltech(tmp_path):
    images = FAMILY.read(write_miniature(tmp_path), "dslr")["all"]
    named = dict(zip(images.files, images.labels, strict=True))
    assert named["back_pack/0001.jpg"] == "backpack"
    assert named["laptop_computer/0001.jpg"] == "laptop"
    assert named["mug/0001.jpg"] == "mug"


def test_unknown_layouts_are_refused(tmp_path):
    write_miniature(tmp_path)
    caltech = tmp_path / "office_caltech10" / "caltech10"
    (caltech / "laptop").rename(caltech / "laptop_computer")
    with pytest.raises(
        UserError, match=r"caltech10' are not the published ones: missing: laptop; not published: laptop_c"
    ):
        FAMILY.read(tmp_path, "caltech10")
    (tmp_path / "office31").rename(tmp_path / "office")
    with pytest.raises(UserError, match=r"office31/webcam/images': No such file"):
        FAMILY.read(tmp_path, "webcam")


@pytest.mark.parametrize("domain", FAMILY.domains)
def test_real_images_match_the_labels_of_the_published_features(domain):
    # Gong et al. published SURF features of the same images, with labels 1..10 in alphabetical order.
    loadmat = pytest.importorskip("scipy.io").loadmat
    root = os.environ.get("DA_BENCH_DATA")
    if not root or not Path(root, "office_caltech10", "surf").is_dir() or not Path(root, "office31").is_dir():
        pytest.skip("needs the real images and features: set DA_BENCH_DATA to a folder with them in office_caltech10/")
    images = FAMILY.read(Path(root, FAMILY.folder), domain)["all"]
    assert {"all": len(images.files)} == FAMILY.domains[domain]
    labels = loadmat(Path(root, "office_caltech10", "surf", f"{domain}.mat"))["labels"].ravel()
    counts = Counter(images.labels)
    np.testing.assert_array_equal(np.bincount(labels, minlength=11)[1:], [counts[name] for name in FAMILY.classes])
