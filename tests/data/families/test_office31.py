import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data.families import office31
from da_bench.data.families.office31 import FAMILY


def write_miniature(root, per_class=1):
    """Write the original layout with a few images of each class in each domain."""
    for domain in FAMILY.domains:
        for name in FAMILY.classes:
            folder = root / domain / "images" / name
            folder.mkdir(parents=True)
            for i in range(per_class):
                Image.new("RGB", (5, 4)).save(folder / f"frame_{i + 1:04}.jpg")
    return root


def test_declaration_matches_the_publication():
    assert list(FAMILY.classes) == sorted(FAMILY.classes)
    assert len(FAMILY.classes) == 31
    assert sum(counts["all"] for counts in FAMILY.domains.values()) == 4110  # Saenko et al. 2010
    assert FAMILY.domain_names() == ["office31/amazon", "office31/dslr", "office31/webcam"]


def test_partial_and_open_protocols():
    source, target = FAMILY.subsets["partial"]
    assert (source, len(target)) == (FAMILY.classes, 10)
    known, target = FAMILY.subsets["open"]
    unknown = tuple(sorted(set(target) - set(known)))
    assert known == office31.SHARED
    assert set(known) < set(target)
    # As listed in the code of papers on it; projector, the 23rd of the alphabet, is known.
    assert unknown == (
        *("pen", "phone", "printer", "punchers", "ring_binder", "ruler"),
        *("scissors", "speaker", "stapler", "tape_dispenser", "trash_can"),
    )


@pytest.mark.parametrize("domain", FAMILY.domains)
def test_miniature_is_read(tmp_path, domain):
    parts = FAMILY.read(write_miniature(tmp_path, per_class=2), domain)
    assert list(parts) == ["all"]
    assert Counter(parts["all"].labels) == dict.fromkeys(FAMILY.classes, 2)
    assert parts["all"].files[:3] == ("back_pack/frame_0001.jpg", "back_pack/frame_0002.jpg", "bike/frame_0001.jpg")
    assert all((parts["all"].folder / file).is_file() for file in parts["all"].files)
    assert all((tmp_path / name).is_dir() for name in FAMILY.files(domain))


def test_unknown_layouts_are_refused(tmp_path):
    write_miniature(tmp_path)
    (tmp_path / "dslr" / "images").rename(tmp_path / "dslr" / "photos")
    with pytest.raises(UserError, match=r"dslr/images': No such file"):
        FAMILY.read(tmp_path, "dslr")
    (tmp_path / "webcam" / "images" / "mug").rename(tmp_path / "webcam" / "images" / "cup")
    with pytest.raises(
        UserError, match=r"webcam/images' are not the published ones: missing: mug; not published: cup$"
    ):
        FAMILY.read(tmp_path, "webcam")


# Counted with find in the original archive.
PER_CLASS = {
    "amazon": {"back_pack": 92, "bottle": 36, "ruler": 75, "trash_can": 64},
    "dslr": {"back_pack": 12, "mug": 8, "ruler": 7, "mobile_phone": 31},
    "webcam": {"back_pack": 29, "monitor": 43, "ruler": 11, "phone": 16},
}


@pytest.mark.parametrize("domain", FAMILY.domains)
def test_real_files_have_the_published_counts(domain):
    root = os.environ.get("DA_BENCH_DATA")
    if not root or not Path(root, "office31").is_dir():
        pytest.skip("needs the real office31 images: set DA_BENCH_DATA to a folder that has office31/")
    parts = FAMILY.read(Path(root, "office31"), domain)
    assert {part: len(images.files) for part, images in parts.items()} == FAMILY.domains[domain]
    counts = Counter(parts["all"].labels)
    assert {name: counts[name] for name in PER_CLASS[domain]} == PER_CLASS[domain]
    assert {Path(file).parent.name for file in parts["all"].files} == set(FAMILY.classes)
