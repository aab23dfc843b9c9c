import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data.check import NEAR, check, equal_groups, findings, near_pairs
from da_bench.data.transforms import View
from tests.helpers.images_on_disk import image, write_domains

SMALL = View(pixels=28)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    write_domains(tmp_path / "data" / "mine")
    return tmp_path / "data"


def test_valid_folder_has_no_findings(root):
    report = check("mine", root, SMALL)
    assert [domain.name for domain in report.domains] == ["mine/photos", "mine/sketches"]
    assert all(
        domain.counts == {"all": 18} and domain.classes == {"ant": 6, "bee": 6, "cow": 6} for domain in report.domains
    )
    assert not report.faults
    assert not report.exact
    assert findings(report)[0].startswith("0 exact duplicates in 0 groups")


def test_exact_and_near_duplicates_are_found(root):
    """Exact copies share their bytes; resized and recompressed copies have similar difference hashes."""
    mine = root / "mine"
    shutil.copy(mine / "photos/ant/0.png", mine / "photos/ant/copy.png")
    shutil.copy(mine / "photos/ant/0.png", mine / "sketches/bee/copy.png")
    image([0, 1, 1]).resize((48, 48)).save(mine / "sketches/cow/larger.jpg", quality=60)
    report = check("mine", root, SMALL)
    assert report.exact == [["mine/photos/ant/0.png", "mine/photos/ant/copy.png", "mine/sketches/bee/copy.png"]]
    assert ("mine/photos/bee/1.png", "mine/sketches/cow/larger.jpg") in report.near
    exact, near = findings(report)
    assert exact.startswith("2 exact duplicates in 1 groups, 1 of them across domains")
    assert "1 of them across domains" in near


def test_missing_and_single_example_classes_are_reported(root):
    shutil.rmtree(root / "mine/photos/bee")
    for i in range(1, 6):
        (root / f"mine/sketches/cow/{i}.png").unlink()
    report = check("mine", root, SMALL)
    assert report.lacking == {"mine/photos": ["bee"], "mine/sketches": []}
    lines = findings(report)
    assert "'mine/photos' has no bee" in lines
    assert "'mine/sketches' has only one example of cow" in lines


def test_bad_images_are_named_and_the_other_domain_is_checked(root):
    for name in ("ant/0.png", "cow/5.png"):
        (root / "mine/photos" / name).write_bytes(b"no image")
    report = check("mine", root, SMALL)
    assert len(report.faults) == 1
    assert "ant/0.png" in report.faults[0]
    assert "cow/5.png" in report.faults[0]
    assert report.domains[1].counts == {"all": 18}


def test_manifest_is_readable_by_sha256sum(root, tmp_path):
    manifest = tmp_path / "SHA256SUMS"
    manifest.write_text(check("mine", root, SMALL).manifest())
    command = ["sha256sum", "--check", "--quiet", "--strict", manifest]
    assert subprocess.run(command, cwd=root, check=False).returncode == 0
    assert len(manifest.read_text().splitlines()) == 36


def test_absent_domains_are_not_faults(root):
    (root / "office31/amazon/images/bike").mkdir(parents=True)
    image(0).save(root / "office31/amazon/images/bike/frame_0001.jpg")
    report = check("office31", root, SMALL)
    assert report.absent == ["office31/dslr", "office31/webcam"]
    assert findings(report)[0] == "not present: office31/dslr, office31/webcam"
    assert "back_pack" in report.faults[0]  # one of the missing classes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("office31", "missing in .*office31': amazon/images .*to get them"),
        ("offfice31", "no folder 'offfice31'; no family is called 'offfice31'; did you mean 'office31'"),
        ("table/gone", "holds no feature tables"),
    ],
)
def test_missing_family_is_refused(root, name, message):
    with pytest.raises(UserError, match=message):
        check(name, root)


def test_embedded_arrays_are_checked():
    report = check("moons")
    assert [domain.counts for domain in report.domains] == [{"train": 300, "validation": 200, "test": 1000}] * 4
    assert report.domains[0].classes == {"lower": 750, "upper": 750}
    assert not report.faults
    assert not report.exact


def test_duplicates_across_parts_are_counted(tmp_path):
    (tmp_path / "mine").mkdir()
    train, test = np.eye(8), np.eye(8)[:2] * [[1], [2]]
    parts = {"inputs_train": train, "labels_train": np.arange(8) % 2, "inputs_test": test, "labels_test": [0, 1]}
    np.savez(tmp_path / "mine" / "a.npz", **parts)
    report = check("table/mine", tmp_path)
    assert report.exact == [["table/mine/a/train[0]", "table/mine/a/test[0]"]]
    assert "1 groups, 0 of them across domains, 1 across parts of one, such as" in findings(report)[0]


def test_equal_groups_and_near_pairs_on_known_hashes(rng):
    assert [group.tolist() for group in equal_groups(np.array(["b", "a", "b", "c", "c", "b"]))] == [[0, 2, 5], [3, 4]]
    hashes = rng.integers(1, 2**63, 5000, np.uint64)
    hashes[4321] = hashes[17] ^ np.uint64(0b1111)
    hashes[42] = hashes[17] ^ np.uint64(0b11111 << 20)
    hashes[[7, 8]] = 0  # flat images
    assert list(near_pairs(hashes)) == [(17, 4321)]
    few = hashes[:60] & np.uint64(0xFF)
    expected = [
        (i, j)
        for i, j in itertools.combinations(range(60), 2)
        if few[i] and few[j] and bin(int(few[i]) ^ int(few[j])).count("1") <= NEAR
    ]
    assert sorted(near_pairs(few)) == expected


def test_office31_has_its_published_counts_and_duplicates():
    """Others counted 71 exact duplicates in 49 groups on the original archive, none across classes or domains."""
    data_root = os.environ.get("DA_BENCH_DATA")
    if not data_root or not Path(data_root, "office31").is_dir():
        pytest.skip("needs the real office31 files: set DA_BENCH_DATA to a folder that has office31/")
    report = check("office31", Path(data_root), SMALL)
    assert not report.faults
    assert [domain.counts["all"] for domain in report.domains] == [2817, 498, 795]
    assert (sum(map(len, report.exact)) - len(report.exact), len(report.exact)) == (71, 49)
    assert all(len({Path(name).parent for name in group}) == 1 for group in report.exact)
