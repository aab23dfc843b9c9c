import functools
import json

import pytest

from da_bench.data.family import FAMILIES
from tests.helpers.images_on_disk import write_domains


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    write_domains(tmp_path / "data" / "mine")
    return tmp_path / "data"


@pytest.fixture
def data(command):
    """Runs one of the commands on data sets."""
    return functools.partial(command, "data")


def test_help_names_every_command(data):
    code, out, _ = data()
    assert code == 0
    assert all(f"• {verb} " in out for verb in ("list", "about", "check", "prepare", "preview"))
    assert data("--help")[1] == out


def test_list_names_every_family_and_what_is_here(data, root):
    _, out, _ = data("list", "--data-root", root)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert set(FAMILIES) < set(lines)
    assert "2 of 2" in lines["digits"]
    assert " no " in lines["office31"]
    facts = {family["name"]: family for family in json.loads(data("list", "--json", "--data-root", root)[1])}
    assert facts["office31"]["domains"]["amazon"] == {"examples": {"all": 2817}, "present": False}
    assert facts["digits"]["domains"]["real"]["present"]


@pytest.mark.parametrize("name", FAMILIES)
def test_about_says_all_of_a_family(name, data, root):
    code, out, _ = data("about", name, "--data-root", root)
    assert code == 0
    family = FAMILIES[name]
    for word in (family.citation, family.terms, family.how_to_get, *family.domains):
        assert word in out


def test_check_reports_and_writes_the_manifest(data, root, tmp_path):
    manifest = tmp_path / "SHA256SUMS"
    code, out, _ = data("check", "mine", "--pixels", 28, "--data-root", root, "--manifest", manifest)
    assert code == 0
    assert "mine/photos: 18 all; 3 classes of 6 to 6 examples" in out
    assert out.endswith("'mine' is sound\n")
    assert len(manifest.read_text().splitlines()) == 36


def test_a_manifest_is_placed_before_the_work(data, root, tmp_path, monkeypatch):
    monkeypatch.setattr("da_bench.data.check.check", lambda *_: pytest.fail("checked"))
    assert data("check", "mine", "--data-root", root, "--manifest", tmp_path)[0] == 2


@pytest.mark.parametrize("verb", [("list",), ("about", "office31")])
@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_data_root_that_is_no_folder_is_refused(data, monkeypatch, verb, by):
    if by == "variable":
        monkeypatch.setenv("DA_BENCH_DATA", "/nowhere")
    code, _, err = data(*verb, *(["--data-root", "/nowhere"] if by == "option" else []))
    assert code == 2
    assert "the data root '/nowhere' is not a folder" in err


def test_without_a_data_root_nothing_is_here(data, monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    assert data("list")[0] == 0
    assert "(not here)" in data("about", "office31")[1]


def test_check_of_a_damaged_copy_fails_after_its_report(data, root):
    (root / "mine/photos/ant/0.png").write_bytes(b"")
    code, out, err = data("check", "mine", "--pixels", 28, "--data-root", root)
    assert code == 2
    assert "mine/sketches: 18 all" in out
    assert "'mine' is not sound" in err
    assert "ant/0.png" in err


def test_prepare_makes_what_a_run_reads(data, root, tmp_path):
    code, out, _ = data("prepare", "mine", "--pixels", 28, "--data-root", root)
    assert code == 0
    assert "mine/photos: 18 examples of shape (32, 32, 3)" in out
    assert len([path for path in (tmp_path / "cache" / "packs").iterdir() if path.name.startswith("mine-")]) == 2


def test_preview_writes_a_sheet(data, root, tmp_path):
    sheet = tmp_path / "sheet.png"
    code, out, _ = data("preview", "mine/photos-to-sketches", "--out", sheet, "--data-root", root)
    assert (code, out.strip()) == (0, str(sheet))
    assert sheet.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chekc"], "unknown command 'da-bench data chekc'; did you mean 'check'?"),
        (["check", "office3"], "did you mean 'office31'?"),
        (["about", "office3"], "unknown family 'office3'; did you mean 'office31'?"),
        (["check", "office31"], "missing in"),
        (["preview", "mine/photos-to-scetches"], "missing in"),
        (["about", "mine"], "`da-bench data check mine`"),
        (["about", "office31/amazon"], "unknown family 'office31/amazon'; did you mean 'office31'?"),
        (["check", "mine", "--manifest", "nowhere/SUMS"], "there is no folder 'nowhere'; choose another --manifest"),
        (["check", "mine", "--manifest", "/"], "cannot write '/': it is a folder; choose another --manifest"),
        (["prepare", ""], "'' is not a valid name under the data root"),
        (["check", "."], "'.' is not a valid name under the data root"),
        (["preview", "mine/photos-to-sketches", "--per-class", "-3"], "--per-class -3"),
        (["check"], "missing: NAME"),
    ],
)
def test_a_mistake_is_one_line(arguments, says, data, root):
    code, _, err = data(*arguments, *(["--data-root", root] if len(arguments) > 1 else []))
    assert code == 2
    assert says in err
    assert err.splitlines()[-1].startswith("da-bench: ")
