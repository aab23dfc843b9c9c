"""Whatever a text contains, a page has the elements of its template and no others."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from da_bench.core.strict_json import StrictError
from da_bench.leaderboard.site.check import Page
from da_bench.leaderboard.site.pages import Cell, TableRow
from da_bench.leaderboard.site.render import checked_link, fragment, preformatted, render
from da_bench.leaderboard.submission import schema
from da_bench.reporting.tables.text import single_line
from tests.helpers.payloads import PAYLOADS


def index(text):
    """The index page with `text` in every place that holds a text."""
    cells = [Cell("Method", text, text, href="tasks.html"), Cell("Backbone", text, text), Cell("Rank", text, text)]
    row = TableRow(cells, "Method", {"name": text, "rules": text})
    option = {"value": text, "label": text, "selected": False}
    filters = [{"id": "task", "title": text, "options": [option]}]
    data = {"title": text, "file": "index.html", "methods": text, "tasks": text, "runs": text}
    return render("index", **data, filters=filters, rows=[row])


def test_there_are_two_hundred_payloads():
    assert len(set(PAYLOADS)) == 200


def test_every_payload_stays_text_in_elements_and_attributes():
    plain = Page(index("plain"))
    for payload in PAYLOADS:
        page = Page(index(payload))
        assert page.problems == []
        assert page.elements == plain.elements, payload
        assert [name for name, _ in page.attributes] == [name for name, _ in plain.attributes]
        expected = [single_line((value or "").replace("plain", payload)) for _, value in plain.attributes]
        assert [single_line(value or "") for _, value in page.attributes] == expected
        assert single_line("".join(page.text)) == single_line(
            "".join(plain.text).replace("plain", single_line(payload))
        )


def test_preformatted_text_is_one_element():
    for payload in PAYLOADS:
        assert Page(preformatted(payload)).elements == ["pre"]
    assert preformatted("a:\n  <b>\x07") == Markup('<pre tabindex="0">a:\n  &lt;b&gt;</pre>')


def test_a_variable_that_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="items"):
        render("listing", title="Tasks", file="tasks.html")


def test_no_payload_is_a_link():
    for payload in PAYLOADS:
        with pytest.raises(ValueError, match="https link"):
            checked_link(payload)


@pytest.mark.parametrize(
    "href",
    ["http://a.org", "//a.org", "a.html?x", "../a.html", "/a.html", 'https://a.org/"onx=', "https://a b", "file:///x"],
)
def test_links_lead_into_the_site_or_elsewhere_by_https(href):
    with pytest.raises(ValueError, match="https link"):
        checked_link(href)
    with pytest.raises(ValueError, match="https link"):
        render("listing", title="", file="tasks.html", items=[{"name": "x", "file": href, "entries": 1}])


def test_links_to_other_sites_send_no_referrer():
    page = render("listing", title="", file="tasks.html", items=[{"name": "", "file": "https://a.org", "entries": 1}])
    assert '<a href="https://a.org" rel="noopener noreferrer nofollow">' in page


def test_a_fragment_is_a_link_whatever_its_value():
    for payload in PAYLOADS:
        checked_link("index.html" + fragment(task=payload))
    assert fragment(task="a/b c-d.e") == "#task=a%2Fb%20c-d.e"


def test_the_schema_accepts_no_payload_as_a_name_or_a_link():
    valid = {"schema": 1, "name": "A", "authors": ["a"], "link": None, "citation": "", "rule": "last", "files": {}}
    assert schema.validate(schema.Manifest, valid, "manifest.json")
    for payload in PAYLOADS:
        for field in ("name", "link", "rule"):
            with pytest.raises(StrictError):
                schema.validate(schema.Manifest, {**valid, field: payload}, "manifest.json")
