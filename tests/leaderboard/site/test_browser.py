"""The site in a real browser, from the disk: what a reader does, by mouse and by keyboard, in both themes."""

import itertools

import pytest

from da_bench.leaderboard.site.build import Gathered, build
from tests.helpers.browser import CHROMIUM, Browser
from tests.helpers.fake import suite
from tests.helpers.payloads import PAYLOADS
from tests.leaderboard.site.test_build import MANIFEST, hostile
from tests.leaderboard.site.test_entries import source

pytestmark = pytest.mark.artefacts

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `apt-get install chromium`")

ROWS = "Array.from(document.querySelectorAll('#board tbody tr')).filter(row => !row.hidden)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    theirs = [one for one in suite() if one.config["method"]["name"] == "coral"]
    build(Gathered([source(suite()), source(theirs, manifest=MANIFEST)], []), out, "last")
    return out


@pytest.fixture(scope="module")
def browser():
    one = Browser()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def no_problems(browser):
    """No error, no warning, no dialog, and nothing asked of any network."""
    browser.problems.clear(), browser.requests.clear()
    browser.look(1280)
    yield
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith(("file:", "about:"))] == []


def column(browser, title):
    """What the visible rows show in a column."""
    return browser.ask(f"{ROWS}.map(row => row.querySelector('[data-title=\"{title}\"]').textContent)")


def click(browser, title):
    browser.ask(
        f"Array.from(document.querySelectorAll('th button')).find(one => one.textContent === '{title}').click()"
    )


def choose(browser, name, value):
    browser.ask(
        f"(one => {{ one.value = {value!r}; one.dispatchEvent(new Event('input', {{bubbles: true}})) }})({name})"
    )


def numbers(texts):
    return [float(one.split()[0]) for one in texts if one[0] in "+-0123456789" and one != "–"]


def test_columns_are_sorted_both_ways_and_empty_cells_stay_last(browser, site):
    browser.open(site / "index.html")
    click(browser, "Accuracy")
    down = numbers(column(browser, "Accuracy"))
    assert down == sorted(down, reverse=True)
    assert len(down) == 16
    click(browser, "Accuracy")
    assert numbers(column(browser, "Accuracy")) == sorted(down)
    assert browser.ask("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "ascending"
    for _ in range(2):
        click(browser, "Rank")
        ranks = column(browser, "Rank")
        assert [one == "–" for one in ranks] == sorted(one == "–" for one in ranks)
    click(browser, "Method")
    names = column(browser, "Method")
    assert names == sorted(names, key=str.lower)


def test_filters_leave_what_they_say(browser, site):
    browser.open(site / "index.html")
    choose(browser, "task", "mnist/to-usps")
    assert set(column(browser, "Task")) == {"mnist/to-usps"}
    assert browser.ask("count.textContent") == "8 entries"
    choose(browser, "search", "CORAL")
    assert set(column(browser, "Method")) == {"coral", "Ours (v1.0): coral"}
    choose(browser, "search", "")
    browser.ask("bounds.click()")
    assert "target only (upper bound)" not in column(browser, "Method")
    choose(browser, "protocol", "inductive")
    assert browser.ask("count.textContent") == "7 entries"


def test_another_rule_changes_numbers_and_keeps_the_order_of_its_column(browser, site):
    browser.open(site / "index.html")
    click(browser, "Accuracy")
    before = numbers(column(browser, "Accuracy"))
    choose(browser, "rule", "oracle")
    after = numbers(column(browser, "Accuracy"))
    assert sum(after) > sum(before)
    assert after == sorted(after, reverse=True)
    assert set(column(browser, "Rank")) == {"–"}
    choose(browser, "rule", "last")
    assert numbers(column(browser, "Accuracy")) == before


def test_the_state_of_the_page_is_in_its_address(browser, site):
    browser.open(site / "index.html")
    choose(browser, "task", "mnist/to-usps")
    choose(browser, "rule", "im")
    state = browser.ask("location.hash")
    browser.open(site / "index.html", state)
    assert set(column(browser, "Task")) == {"mnist/to-usps"}
    assert browser.ask("rule.value") == "im"
    browser.open(site / "index.html", "#task=%3Cscript%3E&rule=made-up&nothing=1")
    assert browser.ask("[task.value, rule.value].join()") == ",last"


def test_every_page_is_reached_by_links_and_loads(browser, site):
    seen, left = set(), ["index.html"]
    while left:
        name = left.pop()
        seen.add(name)
        browser.open(site / name)
        assert browser.ask("document.querySelectorAll('h1').length") == 1
        found = browser.ask("Array.from(document.querySelectorAll('a[href]'), one => one.href)")
        inside = {url.rpartition("/")[2].partition("#")[0] for url in found if url.startswith("file:")}
        left += [one for one in inside if one.endswith(".html") and one not in seen and one not in left]
    assert seen == {path.name for path in site.glob("*.html")}


def test_everything_is_done_by_keyboard(browser, site):
    """Skip link first; then filters and headings by Tab, sorted by Enter; what has the focus is seen."""
    browser.open(site / "index.html")
    browser.press("Tab")
    assert browser.ask("document.activeElement.className") == "skip"
    reached = []
    for _ in range(20):
        browser.press("Tab")
        reached.append(browser.ask("document.activeElement.id || document.activeElement.textContent"))
        if reached[-1] == "Accuracy":
            break
    assert [one for one in reached if one in ("task", "backbone", "protocol", "rule", "search", "bounds")] == [
        "task", "backbone", "protocol", "rule", "search", "bounds",
    ]  # fmt: skip
    assert browser.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter")
    down = numbers(column(browser, "Accuracy"))
    assert down == sorted(down, reverse=True)


def luminance(colour):
    """Relative luminance of "rgb(r, g, b)", as WCAG 2.2 defines it."""
    parts = [int(one) / 255 for one in colour[4:-1].split(",")]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


TEXTS = "body, p, a, th button, td .value, .badge, dt, label span, code"
CONTRAST = f"""Array.from(document.querySelectorAll('{TEXTS}')).map(one => {{
  let behind = one;
  while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
  return [getComputedStyle(one).color, getComputedStyle(behind).backgroundColor, one.outerHTML.slice(0, 80)];
}})"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_both_themes_can_be_read_at_every_width(browser, site, theme, width):
    """Contrast of 4.5 at least, nothing wider than the screen, and what a finger touches is 24 pixels high."""
    browser.look(width, theme)
    pages = ("index.html", "about.html", "method_dann.html", next(path.name for path in site.glob("task_*.html")))
    for name in pages:
        browser.open(site / name)
        for text, ground, what in browser.ask(CONTRAST):
            light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, what
        assert browser.ask("document.documentElement.scrollWidth <= innerWidth"), name
        heights = browser.ask(
            "Array.from(document.querySelectorAll('select, input[type=search], th button'), one => one.offsetHeight)"
        )
        assert min((one for one in heights if one), default=24) >= 24
    ground = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) > 0.5) == (theme == "light")


def test_hostile_names_are_inert(browser, tmp_path):
    """Two hundred payloads in every text of a record; the policy of the page has nothing to refuse."""
    records = [hostile(payload) for payload in PAYLOADS]
    build(Gathered([source(records)], []), tmp_path / "site", "last")
    names = ["index.html", "tasks.html", "methods.html"]
    names += sorted(path.name for path in (tmp_path / "site").glob("method_*.html"))[::25]
    for name, script in itertools.product(names, (False, True)):
        browser.open(tmp_path / "site" / name)
        if script:
            browser.ask("document.querySelectorAll('*').forEach(one => one.dispatchEvent(new Event('mouseover')))")
            browser.ask("document.querySelectorAll('th button, summary').forEach(one => one.click())")
        assert browser.ask("window.pwned === undefined")
        assert browser.ask("document.scripts.length") == 1
    browser.open(tmp_path / "site" / "index.html")
    for value in browser.ask("Array.from(task.options, one => one.value)")[:20]:
        browser.ask(f"task.value = {value!r}; task.dispatchEvent(new Event('input', {{bubbles: true}}))")
        assert browser.ask("window.pwned === undefined")
