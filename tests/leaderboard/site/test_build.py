"""The whole site: only numbers of records, links that lead somewhere, nothing inline or from elsewhere."""

import csv
import json
import shutil

import pytest

from da_bench.core.config import UserError
from da_bench.leaderboard.site.build import Gathered, build, gather
from da_bench.leaderboard.site.check import Page, problems
from da_bench.leaderboard.site.entries import entries_of
from da_bench.studies.archive import NAME, pack
from da_bench.studies.records import Records
from tests.helpers.fake import record, runs, suite
from tests.helpers.payloads import PAYLOADS
from tests.helpers.synthetic_runs import contents_of, honest_run, predicted_run, results_folder
from tests.leaderboard.site.test_entries import source

MANIFEST = {
    "schema": 1, "name": "Ours (v1.0)", "authors": ["A & B"], "link": "https://example.org/a", "rule": "last",
    "citation": "@misc{ours,\n  title = {Ours <b>}\n}", "files": {},
}  # fmt: skip


def build_example(out):
    """The site of a suite of methods and of a submission."""
    submitted = [record for record in suite() if record.config["method"]["name"] == "coral"]
    build(Gathered([source(suite()), source(submitted, manifest=MANIFEST)], []), out, "last")
    return out


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build_example(tmp_path_factory.mktemp("site"))


def test_pages_are_well_formed_and_every_link_leads_somewhere(site):
    assert problems(site) == []
    links = {link for path in site.glob("*.html") for link in Page(path.read_text()).values("href")}
    assert {link for link in links if link.startswith("https:")} == {"https://example.org/a"}


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("index.html", "tasks.html", "task.html", "task.html leads to no file"),
        ("index.html", "about.html#recomputed", "about.html#recompute", "leads to no element"),
        ("about.html", "</main>", "</div></main>", "</div> closes another element"),
        ("about.html", "<h2>", "<h2><b>", "</h2> closes another element"),
        ("about.html", "<h2>", "<script>alert(1)</script><h2>", "a script that is not script.js"),
        ("about.html", "<h2>", "<style></style><h2>", "inline style"),
        ("about.html", "<h2>", '<h2 onclick="alert(1)">', "onclick"),
        ("about.html", "default-src 'none'", "default-src *", "content security policy"),
        ("style.css", "body {", "@import 'x'; body {", "@import"),
        ("script.js", "textContent =", "innerHTML =", "innerHTML"),
    ],
)
def test_every_fault_of_a_site_is_found(site, tmp_path, file, old, new, problem):
    shutil.copytree(site, tmp_path / "site")
    text = (site / file).read_text()
    assert old in text
    (tmp_path / "site" / file).write_text(text.replace(old, new, 1))
    (found, *_) = problems(tmp_path / "site")
    assert found.startswith(file)
    assert problem in found


def test_a_missing_file_is_a_fault(site, tmp_path):
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site" / "style.css").unlink()
    assert "style.css is missing" in problems(tmp_path / "site")


def test_downloads_hold_what_the_pages_show(site):
    rows = json.loads((site / "leaderboard.json").read_text())
    with (site / "leaderboard.csv").open() as file:
        csv_rows = list(csv.DictReader(file))
    assert len(csv_rows) == len(rows) > 50
    assert [float(row["accuracy"]) for row in csv_rows] == [row["accuracy"] for row in rows]
    index = (site / "index.html").read_text()
    for row in rows:
        assert f"{100 * row['accuracy']:.1f}" in index
    assert "@misc{ours," in (site / "leaderboard.bib").read_text()


def test_the_config_of_a_card_is_that_of_the_record(site):
    configs = [json.loads(path.read_text()) for path in site.glob("config_*.json")]
    assert {config["method"]["name"] for config in configs} >= {"source_only", "dann", "cdan", "coral", "mmd", "mcc"}
    assert {config["seed"] for config in configs} == {0}


def test_a_record_whose_numbers_do_not_follow_from_its_predictions_is_left_out(tmp_path):
    folder = results_folder(tmp_path / "results", ("source_only", "coral"), 3)
    store = Records(folder)
    false = next(run for run in store.all() if run.config["method"]["name"] == "coral" and run.config["seed"] == 1)
    path = store.folder / false.id / "result.json"
    value = json.loads(path.read_text())
    value["rules"]["last"]["target_accuracy"] = 0.999
    path.write_text(json.dumps(value))
    gathered = gather([folder], None, None)
    assert [reason.partition(":")[0] for reason in gathered.left_out] == [false.id]
    assert false.id not in {run.id for run in gathered.sources[0].records}
    build(gathered, tmp_path / "site", "last")
    assert not any("99.9" in path.read_text() for path in (tmp_path / "site").glob("*.html"))


def test_runs_and_methods_of_a_verdict_have_its_badges(tmp_path):
    folder = results_folder(tmp_path / "results", ("coral",), 2)
    digest = predicted_run("coral", 1).digest
    verdict = {"schema": 1, "submission": "0" * 64, "verdict": "accepted", "findings": []}
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "one.json").write_text(json.dumps({**verdict, "rerun": [digest], "audited": ["coral"]}))
    (source, *_) = gather([folder], None, tmp_path / "verdicts").sources
    assert source.rerun == {honest_run("coral", 1)[0].id}
    assert source.audited == {"coral"}


def test_a_site_built_again_is_the_same_bytes_and_keeps_no_old_page(tmp_path):
    gathered = Gathered([source(suite())], [])
    build(gathered, tmp_path / "one", "last")
    before = contents_of(tmp_path / "one")
    (tmp_path / "one" / "method_gone.html").write_text("old")
    (tmp_path / "one" / "mine.html").write_text("not ours")
    build(gathered, tmp_path / "one", "last")
    after = contents_of(tmp_path / "one")
    assert after.pop("mine.html") == b"not ours"
    assert after == before


def test_records_of_an_archive_are_shown_and_say_that_they_are(tmp_path):
    """A run that is in a results folder too is recomputed from its predictions."""
    folder = results_folder(tmp_path / "results", ("source_only", "coral"), 2)
    archived = Records(results_folder(tmp_path / "more", ("source_only", "coral"), 5)).all()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / NAME).write_bytes(pack([*archived, record(status="skipped", reason="no")], "last"))
    (only,) = gather([tmp_path / "study"], None, None).sources
    assert only.archived == {run.id for run in archived}
    entries = entries_of([only])
    assert {entry.badges for entry in entries if not entry.row.uses_target_labels} == {("archived",)}
    assert all(entry.is_ranked for entry in entries if not entry.row.uses_target_labels)
    (both,) = gather([folder, tmp_path / "study"], None, None).sources
    assert both.recomputed == {run.id for run in Records(folder).all()}
    assert both.archived == {run.id for run in archived} - both.recomputed
    assert len(both.records) == len(archived)


def test_nothing_to_show_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no finished runs"):
        gather([tmp_path], None, None)


def hostile(payload, seed=0):
    """A record whose every text is the payload."""
    run = record(task=payload, method=payload, seed=seed, reason=payload)
    run.config["method"][payload] = payload
    run.config["model"] = {"name": payload, payload: payload}
    run.result.update(classes=[payload] * 3, split=payload, protocol=payload, expected_failed_checks={payload: payload})
    run.environment.update(dict.fromkeys(("command", "commit", "device", "data"), payload), packages={payload: payload})
    return run


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory):
    out = tmp_path_factory.mktemp("hostile")
    records = [hostile(payload, seed) for payload in PAYLOADS[::4] for seed in range(2)]
    build(Gathered([source(records), source(runs([0.7] * 5), manifest=MANIFEST)], []), out, "last")
    return out


def test_hostile_records_make_pages_of_the_same_elements(hostile_site, site):
    """A text never becomes an element or an attribute."""
    benign = [Page(path.read_text()) for path in site.glob("*.html")]
    elements = {name for page in benign for name in page.elements}
    attributes = {name for page in benign for name, _ in page.attributes} | {"open"}  # of a method's only card
    assert problems(hostile_site) == []
    for path in hostile_site.glob("*.html"):
        page = Page(path.read_text())
        assert set(page.elements) <= elements, path.name
        assert {name for name, _ in page.attributes} <= attributes, path.name
    with (hostile_site / "leaderboard.csv").open() as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "+", "-", "@"))]
