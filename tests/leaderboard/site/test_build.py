"""The whole site: from recomputed numbers only, with no link that leads nowhere and nothing from elsewhere."""

import csv
import json
import re

import pytest

from da_bench.core.config import UserError
from da_bench.leaderboard.site.build import Gathered, build, gather
from da_bench.studies.records import Records
from tests.helpers.fake import record, runs, suite
from tests.helpers.made import contents_of, honest, results, run_of
from tests.helpers.payloads import PAYLOADS
from tests.leaderboard.site.test_entries import source
from tests.leaderboard.site.test_html import Elements

MANIFEST = {
    "schema": 1, "name": "Ours (v1.0)", "authors": ["A & B"], "link": "https://example.org/a", "rule": "last",
    "citation": "@misc{ours,\n  title = {Ours <b>}\n}", "files": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    theirs = [one for one in suite() if one.config["method"]["name"] == "coral"]
    build(Gathered([source(suite()), source(theirs, manifest=MANIFEST)], []), out, "last")
    return out


def pages(site):
    return {path.name: Elements(path.read_text()) for path in site.glob("*.html")}


def test_every_link_leads_to_a_file_of_the_site(site):
    targets = [value for one in pages(site).values() for name, value in one.attributes if name in ("href", "src")]
    inside = {one.partition("#")[0] for one in targets if not one.startswith("https://")}
    assert inside <= {path.name for path in site.iterdir()}
    assert {one for one in targets if one.startswith("https:")} == {"https://example.org/a"}


def test_every_anchor_is_there(site):
    found = pages(site)
    ids = {name: {value for key, value in one.attributes if key == "id"} for name, one in found.items()}
    for one in found.values():
        for key, value in one.attributes:
            page, _, anchor = (value or "").partition("#")
            if key == "href" and anchor and "=" not in anchor:
                assert anchor in ids[page], value


def test_nothing_is_inline_and_nothing_from_elsewhere(site):
    for name, one in pages(site).items():
        assert one.found.count("script") == 1, name
        assert "style" not in one.found
        assert not [key for key, _ in one.attributes if key.startswith("on") or key == "style"]
        policy = [value for key, value in one.attributes if key == "content"]
        assert any(value.startswith("default-src 'none'") for value in policy)
    assert not re.search(r"https?:|@import|url\(", (site / "style.css").read_text())
    assert not re.search(r"https?:|innerHTML|eval|document\.write|fetch", (site / "script.js").read_text())


def test_downloads_hold_what_the_pages_show(site):
    lines = json.loads((site / "leaderboard.json").read_text())
    with (site / "leaderboard.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(lines) > 50
    assert [float(one["accuracy"]) for one in table] == [one["accuracy"] for one in lines]
    index = (site / "index.html").read_text()
    for one in lines:
        assert f"{100 * one['accuracy']:.1f}" in index
    assert "@misc{ours," in (site / "leaderboard.bib").read_text()


def test_the_config_of_a_card_is_that_of_the_record(site):
    configs = [json.loads(path.read_text()) for path in site.glob("config_*.json")]
    assert {one["method"]["name"] for one in configs} >= {"source_only", "dann", "cdan", "coral", "mmd", "mcc"}
    assert {one["seed"] for one in configs} == {0}


def test_numbers_are_computed_and_a_false_record_is_left_out(tmp_path):
    """A record whose numbers were edited, in a results folder of our own, is not shown."""
    folder = results(tmp_path / "results", ("source_only", "coral"), 3)
    store = Records(folder)
    false = next(one for one in store.all() if one.config["method"]["name"] == "coral" and one.config["seed"] == 1)
    path = store.folder / false.id / "result.json"
    value = json.loads(path.read_text())
    value["rules"]["last"]["target_accuracy"] = 0.999
    path.write_text(json.dumps(value))
    gathered = gather([folder], None, None)
    assert [one.partition(":")[0] for one in gathered.left_out] == [false.id]
    assert false.id not in {one.id for one in gathered.sources[0].records}
    build(gathered, tmp_path / "site", "last")
    assert not any("99.9" in path.read_text() for path in (tmp_path / "site").glob("*.html"))


def test_what_a_verdict_says_was_made_again_has_its_badge(tmp_path):
    folder = results(tmp_path / "results", ("coral",), 2)
    digest = run_of("coral", 1).digest
    verdict = {"schema": 1, "submission": "0" * 64, "verdict": "accepted", "findings": []}
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "one.json").write_text(json.dumps({**verdict, "rerun": [digest], "audited": ["coral"]}))
    (one, *_) = gather([folder], None, tmp_path / "verdicts").sources
    assert one.rerun == {honest("coral", 1)[0].id}
    assert one.audited == {"coral"}


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


def test_nothing_to_show_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no finished runs"):
        gather([tmp_path], None, None)


def hostile(payload, seed=0):
    """A record whose every text is the payload."""
    one = record(task=payload, method=payload, seed=seed, reason=payload)
    one.config["method"][payload] = payload
    one.config["model"] = {"name": payload, payload: payload}
    one.result.update(classes=[payload] * 3, split=payload, protocol=payload, expected_failed_checks={payload: payload})
    one.environment.update(dict.fromkeys(("command", "commit", "device", "data"), payload), packages={payload: payload})
    return one


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory):
    out = tmp_path_factory.mktemp("hostile")
    records = [hostile(payload, seed) for payload in PAYLOADS[::4] for seed in range(2)]
    build(Gathered([source(records), source(runs([0.7] * 5), manifest=MANIFEST)], []), out, "last")
    return out


def test_hostile_records_make_pages_of_the_same_elements(hostile_site):
    """Text is never an element or an attribute that runs, and its letters are all there."""
    own = {
        "html", "head", "meta", "title", "link", "script", "body", "a", "header", "nav", "main", "footer", "code", "h1",
        "h2", "p", "form", "label", "span", "select", "option", "input", "div", "table", "caption", "thead", "tbody",
        "tr", "th", "td", "button", "svg", "line", "circle", "dl", "dt", "dd", "details", "summary", "pre", "ul", "li",
    }  # fmt: skip
    for name, one in pages(hostile_site).items():
        assert set(one.found) <= own, name
        assert one.found.count("script") == 1
        assert not [key for key, _ in one.attributes if key.startswith("on") or key in ("style", "srcdoc", "action")]
    with (hostile_site / "leaderboard.csv").open() as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "+", "-", "@"))]
