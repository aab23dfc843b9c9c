import dataclasses

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data import domains
from da_bench.data.domains import domains_of, family_of, missing, read
from da_bench.data.family import FAMILIES
from da_bench.data.transforms import View
from tests.helpers.images_on_disk import write_domains


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    write_domains(tmp_path / "data" / "mine", classes=("bee", "ant"))
    (tmp_path / "data" / "numbers").mkdir()
    np.savez(tmp_path / "data" / "numbers" / "a.npz", inputs=np.eye(6, dtype=np.float32), labels=[0, 1, 1, 0, 2, 2])
    (tmp_path / "data" / "zipped").mkdir()
    (tmp_path / "data" / "zipped" / "a.zip").write_bytes(b"")
    return tmp_path / "data"


@pytest.mark.parametrize("name", FAMILIES)
def test_family_declaration_is_complete(name):
    family = FAMILIES[name]
    assert family.name == name
    assert family.citation
    assert family.terms
    assert bool(family.folder) == (family.how_to_get != "embedded")
    assert list(family.classes) == sorted(family.classes)
    assert all(family.files(domain) for domain in family.domains) == bool(family.folder)
    for source, target in family.pairs:
        assert {source, target} <= set(family.domains)
    for source_classes, target_classes in family.subsets.values():
        assert set(source_classes) | set(target_classes) <= set(family.classes)
    assert all(family_of(domain)[0] is family for domain in family.domain_names())


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if not family.folder])
def test_embedded_domains_have_the_published_counts(name):
    for domain in FAMILIES[name].domain_names():
        domain_data = read(domain)
        assert missing(domain) == []
        assert {part: len(rows) for part, rows in domain_data.parts.items()} == FAMILIES[name].domains[
            domain.split("/")[1]
        ]
        assert sorted(np.concatenate(list(domain_data.parts.values()))) == list(range(len(domain_data.examples.labels)))


def test_image_folder_is_read_as_a_domain(root):
    assert domains_of("mine", root) == ["mine/photos", "mine/sketches"]
    domain_data = read("mine/photos", root, View(pixels=28))
    assert domain_data.examples.inputs.shape == (12, 32, 32, 3)
    assert domain_data.examples.classes == ("ant", "bee")
    assert np.bincount(domain_data.examples.labels).tolist() == [6, 6]
    assert list(domain_data.parts) == ["all"]


def test_table_is_read_as_a_domain(root):
    assert domains_of("table/numbers", root) == ["table/numbers/a"]
    domain_data = read("table/numbers/a", root)
    np.testing.assert_array_equal(domain_data.examples.inputs, np.eye(6))
    assert domain_data.examples.classes == ("0", "1", "2")


def test_domains_are_read_once_and_are_read_only(root):
    domain_data, second_read = (read("table/numbers/a", root) for _ in range(2))
    assert domain_data is second_read
    for array in domain_data.examples[:2]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_damaged_image_cache_is_refused(root, tmp_path):
    read("mine/photos", root, View(pixels=28))
    images = next((tmp_path / "cache" / "packs").glob("mine-photos-*/images.npy"))
    content = bytearray(images.read_bytes())
    content[-1] ^= 255
    images.write_bytes(content)
    domains._read.cache_clear()
    with pytest.raises(UserError, match=r"is damaged .*delete that folder"):
        read("mine/photos", root, View(pixels=28))


def test_count_other_than_published_is_refused(monkeypatch):
    wrong_count = dataclasses.replace(FAMILIES["digits"], domains={"real": {"all": 7}})
    monkeypatch.setitem(FAMILIES._entries, "digits", wrong_count)
    domains._read.cache_clear()
    with pytest.raises(UserError, match=r"'digits/real' has {'all': 1797} examples, but {'all': 7} are published"):
        read("digits/real")


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("office31/amazom", r"unknown domain 'office31/amazom'; did you mean 'office31/amazon'\?"),
        ("mnis", r"unknown domain 'mnis'; did you mean 'mnist'\?"),
        ("digits", "unknown domain 'digits'"),
        ("mine/paintings", r"'mine/paintings': missing in '.*mine': paintings .*; there are: photos, sketches"),
        ("mine/sketch", r"missing in '.*mine': sketch .*; did you mean 'sketches'\?"),
        ("mine/mnist", r"missing in '.*mine': mnist .*; the family is written 'mnist/mnist' here"),
        ("zipped/a", r"missing in '.*zipped': a .*; archives are not unpacked.*: a.zip"),
        ("numbers/a", r"missing in '.*numbers': a .*.*'table/numbers'"),
        ("table/numbers/A", r"missing in '.*numbers': A.npz or A.mat .*; there are: a; if"),
        ("table/mine/photos", r"photos.npz or photos.mat .*; photos is not a file with the ending .npz or .mat"),
        ("table/numbers/b", r"'table/numbers/b': missing in '.*numbers': b.npz or b.mat \(to get them: your own"),
        ("office31/amazon", r"missing in '.*office31': amazon/images \(to get them: .*DA_BENCH_DATA"),
        ("tfds/gone", "'gone' is not prepared in"),
    ],
)
def test_missing_domain_is_named_with_a_remedy(domain, message, root, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    with pytest.raises(UserError, match=message):
        read(domain, root)


@pytest.mark.parametrize(
    "name", ["../data/mine/photos", "mine/../mine/photos", "mine//photos", "/mine/photos", "mine/", ".mine/photos"]
)
def test_unnormalised_paths_are_refused_as_names(root, name):
    for function in (family_of, lambda name: domains_of(name, root)):
        with pytest.raises(UserError, match="is not a valid name under the data root: write FOLDER or FOLDER/DOMAIN"):
            function(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".cache", "table/", "table/.."])
def test_names_that_are_no_folder_of_the_data_root_are_refused(root, name):
    with pytest.raises(UserError, match="is not a valid name under the data root"):
        domains_of(name, root)


def test_table_folder_without_prefix_is_pointed_out(root):
    with pytest.raises(UserError, match=r"holds no folders.*.*'table/numbers'"):
        domains_of("numbers", root)


def test_missing_data_root_lists_the_required_files(root):
    with pytest.raises(UserError, match=r"'usps' needs usps.bz2, usps.t.bz2 in the folder 'usps' .*DA_BENCH_DATA"):
        read("usps")
