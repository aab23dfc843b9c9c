"""Whatever the text, a page has the elements that its function made, and no other."""

import html.parser

import pytest

from da_bench.core.strict_json import StrictError
from da_bench.leaderboard.site.html import block, fragment, join, link, page, tag
from da_bench.leaderboard.submission import schema
from da_bench.reporting.tables.text import single_line
from tests.helpers.payloads import PAYLOADS


class Elements(html.parser.HTMLParser):
    """Start tags with their attributes, and the text between."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.text, self.attributes = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.found.append(name)
        self.attributes += attributes

    def handle_data(self, text):
        self.text.append(text)

    def handle_comment(self, text):
        self.found.append("comment")


def test_there_are_two_hundred_payloads():
    assert len(set(PAYLOADS)) == 200


def test_every_payload_stays_text_wherever_it_stands():
    for payload in PAYLOADS:
        made = Elements(tag("p", payload, tag("b", payload), title=payload, data_x=payload))
        assert made.found == ["p", "b"], payload
        assert made.attributes == [("title", single_line(payload)), ("data-x", single_line(payload))]
        assert single_line("".join(made.text)) == single_line(payload + payload)
        assert Elements(block(payload)).found == ["pre"]


def test_a_page_has_the_same_elements_whatever_its_title():
    plain = Elements(page("plain", "index.html", tag("p", "plain"))).found
    for payload in PAYLOADS:
        assert Elements(page(payload, "index.html", tag("p", payload))).found == plain


def test_no_payload_is_a_link():
    for payload in PAYLOADS:
        with pytest.raises(ValueError, match="no https link"):
            link(payload, "x")


@pytest.mark.parametrize(
    "href",
    ["http://a.org", "//a.org", "a.html?x", "../a.html", "/a.html", 'https://a.org/"onx=', "https://a b", "file:///x"],
)
def test_links_lead_into_the_site_or_elsewhere_by_https(href):
    with pytest.raises(ValueError, match="no https link"):
        link(href, "x")


def test_links_elsewhere_tell_nothing():
    assert 'rel="noopener noreferrer nofollow"' in link("https://example.org/a/b.html", "x")


def test_a_fragment_is_a_link_whatever_its_value():
    for payload in PAYLOADS:
        link("index.html" + fragment(task=payload), "x")


def test_the_schema_lets_no_payload_be_a_name_or_a_link():
    good = {"schema": 1, "name": "A", "authors": ["a"], "link": None, "citation": "", "rule": "last", "files": {}}
    assert schema.fits(schema.Manifest, good, "it")
    for payload in PAYLOADS:
        for field in ("name", "link", "rule"):
            with pytest.raises(StrictError):
                schema.fits(schema.Manifest, {**good, field: payload}, "it")


def test_join_escapes_what_is_not_markup():
    assert join("<", tag("b", "&"), '"') == "&lt;<b>&amp;</b>&quot;"
