import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from da_bench.core.config import UserError
from da_bench.data.families.office_caltech10_features import CLASSES, DOMAINS, decaf_files, surf_files
from da_bench.data.family import FAMILIES
from da_bench.data.files import locate_files

FORMS = {"surf": (surf_files, "fts", 800), "decaf": (decaf_files, "feas", 4096)}


def published_arrays(kind, domain="dslr"):
    """Return arrays of the published shapes with labels 1, 2, ... 10, 1, ..."""
    _, name, width = FORMS[kind]
    count = DOMAINS[domain]["all"]
    inputs = np.random.default_rng(0).integers(0, 20, (count, width))
    return {name: inputs.astype(float), "labels": np.arange(count)[:, None] % 10 + 1.0}


def write(data_folder, name, arrays):
    (data_folder / name).parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(data_folder / name, arrays)


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_known_file_name_is_read(tmp_path, kind, domain):
    family = FAMILIES[f"office_caltech10_{kind}"]
    files, name, width = FORMS[kind]
    arrays = published_arrays(kind, domain)
    for file in files(domain)[-1:] if domain != "dslr" else files(domain):
        data_folder = tmp_path / file.replace("/", "_")
        write(data_folder, file, arrays)
        assert None not in locate_files(data_folder, "", family.files(domain)).values()
        examples = family.read(data_folder, domain)["all"]
        assert examples.inputs.dtype == np.float32
        np.testing.assert_array_equal(examples.inputs, arrays[name])
        assert examples.inputs.shape == (DOMAINS[domain]["all"], width)
        assert [examples.classes[label] for label in examples.labels[:11]] == [*CLASSES, "backpack"]


def test_common_file_names_are_known():
    assert "surf/Caltech10_SURF_L10.mat" in surf_files("caltech10")
    assert "surf/amazon_SURF_L10.mat" in surf_files("amazon")
    assert {"decaf/caltech_decaf.mat", "decaf/caltech.mat"} <= set(decaf_files("caltech10"))
    assert decaf_files("webcam") == ("decaf/webcam.mat", "decaf/webcam_decaf.mat")


@pytest.mark.processes
@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda x, y: (x[:-1], y[:-1]), r"holds \(156, "),
        (lambda x, y: (x[:, :-1], y), "is published"),
        (lambda x, y: (x.T, y), "is published"),
        (lambda x, y: (x, y[:-1]), r"holds \(156, 1\)"),
        (lambda x, y: (x, y - 1), r"1\.\.10"),
        (lambda x, y: (x, y + 0.5), r"1\.\.10"),
        (lambda x, y: (np.where(x == 7, np.nan, x), y), "values that are not finite"),
        (lambda x, y: (x * 1e300, y), "values that are not finite"),
    ],
)
def test_invalid_content_is_refused(tmp_path, kind, change, fault):
    files, name, _ = FORMS[kind]
    arrays = published_arrays(kind)
    inputs, labels = change(arrays[name], arrays["labels"])
    write(tmp_path, files("dslr")[0], {name: inputs, "labels": labels})
    with pytest.raises(UserError, match=rf"dslr\.mat'.*{fault}"):
        FAMILIES[f"office_caltech10_{kind}"].read(tmp_path, "dslr")


def test_unknown_arrays_are_named(tmp_path):
    write(tmp_path, "surf/dslr.mat", {"Xt": np.ones(2), "Yt": np.ones(2)})
    with pytest.raises(UserError, match=r"dslr\.mat' has no array fts, labels; it has: Xt, Yt"):
        FAMILIES["office_caltech10_surf"].read(tmp_path, "dslr")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"surf/dslr\.mat'.*get a fresh copy"):
        FAMILIES["office_caltech10_surf"].read(tmp_path, "dslr")


def root(*folders):
    """Return the data root; skip the test if it does not hold the folders."""
    data_root = os.environ.get("DA_BENCH_DATA")
    if not data_root or not all(Path(data_root, folder).is_dir() for folder in folders):
        pytest.skip(f"needs the real files: set DA_BENCH_DATA to a folder that has {', '.join(folders)}")
    return Path(data_root)


@pytest.mark.parametrize("domain", DOMAINS)
def test_real_surf_features_are_raw_counts(domain):
    data_folder = root("office_caltech10/surf") / "office_caltech10"
    examples = FAMILIES["office_caltech10_surf"].read(data_folder, domain)["all"]
    assert examples.inputs.shape == (DOMAINS[domain]["all"], 800)
    np.testing.assert_array_equal(examples.inputs, np.rint(examples.inputs))
    assert examples.inputs.min() == 0
    assert examples.inputs.sum(axis=1).min() > 0


@pytest.mark.parametrize("domain", DOMAINS)
def test_real_surf_labels_follow_the_alphabetical_class_order(domain):
    """Each class has as many SURF rows as images; in Caltech all ten counts differ, so only one order fits."""
    data_root = root("office_caltech10/surf", "office_caltech10/caltech10", "office31")
    examples = FAMILIES["office_caltech10_surf"].read(data_root / "office_caltech10", domain)["all"]
    folder = (
        data_root / "office_caltech10/caltech10"
        if domain == "caltech10"
        else data_root / "office31" / domain / "images"
    )
    in_office31 = {"backpack": "back_pack", "laptop": "laptop_computer"}
    names = CLASSES if domain == "caltech10" else [in_office31.get(name, name) for name in CLASSES]
    images = [len(list((folder / name).iterdir())) for name in names]
    assert np.bincount(examples.labels).tolist() == images
    assert domain != "caltech10" or len(set(images)) == 10
