"""The site in a real browser, opened from disk: sorting, filters, keyboard, both themes, hostile names."""

import itertools

import pytest

from da_bench.leaderboard.site.build import Gathered, build
from tests.helpers.browser import CHROMIUM, Browser
from tests.helpers.payloads import PAYLOADS
from tests.leaderboard.site.test_build import build_example, hostile
from tests.leaderboard.site.test_entries import source

pytestmark = [
    pytest.mark.artefacts,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `apt-get install chromium`"),
]

ROWS = "Array.from(document.querySelectorAll('#board tbody tr')).filter(row => !row.hidden)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build_example(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def no_problems(browser):
    """No error, no warning, no dialog, and no request to a network."""
    browser.problems.clear(), browser.requests.clear()
    browser.emulate(1280)
    yield
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith(("file:", "about:"))] == []


def column(browser, title):
    """Texts of the visible rows in a column."""
    return browser.evaluate(f"{ROWS}.map(row => row.querySelector('[data-title=\"{title}\"]').textContent)")


def click(browser, title):
    browser.evaluate(
        f"Array.from(document.querySelectorAll('th button')).find(button => button.textContent === '{title}').click()"
    )


def choose(browser, name, value):
    browser.evaluate(f"{name}.value = {value!r}; {name}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def numbers(texts):
    return [float(text.split()[0]) for text in texts if text[0] in "+-0123456789"]


def test_columns_are_sorted_both_ways_and_empty_cells_stay_last(browser, site):
    browser.open(site / "index.html")
    click(browser, "Accuracy")
    down = numbers(column(browser, "Accuracy"))
    assert down == sorted(down, reverse=True)
    assert len(down) == 16
    click(browser, "Accuracy")
    assert numbers(column(browser, "Accuracy")) == sorted(down)
    assert browser.evaluate("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "ascending"
    for _ in range(2):
        click(browser, "Rank")
        ranks = column(browser, "Rank")
        assert [rank == "–" for rank in ranks] == sorted(rank == "–" for rank in ranks)
    click(browser, "Method")
    names = column(browser, "Method")
    assert names == sorted(names, key=str.lower)


def test_filters_show_matching_entries_only(browser, site):
    browser.open(site / "index.html")
    choose(browser, "task", "mnist/to-usps")
    assert set(column(browser, "Task")) == {"mnist/to-usps"}
    assert browser.evaluate("count.textContent") == "8 entries"
    choose(browser, "search", "CORAL")
    assert set(column(browser, "Method")) == {"coral", "Ours (v1.0): coral"}
    choose(browser, "search", "")
    browser.evaluate("bounds.click()")
    assert "target only (upper bound)" not in column(browser, "Method")
    choose(browser, "protocol", "inductive")
    assert browser.evaluate("count.textContent") == "7 entries"


def test_another_rule_changes_the_numbers_and_keeps_the_column_sorted(browser, site):
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
    state = browser.evaluate("location.hash")
    browser.open(site / "index.html", state)
    assert set(column(browser, "Task")) == {"mnist/to-usps"}
    assert browser.evaluate("rule.value") == "im"
    browser.open(site / "index.html", "#task=%3Cscript%3E&rule=made-up&nothing=1")
    assert browser.evaluate("[task.value, rule.value].join()") == ",last"


def test_every_page_is_reached_by_links_and_loads(browser, site):
    visited, queue = set(), ["index.html"]
    while queue:
        name = queue.pop()
        visited.add(name)
        browser.open(site / name)
        assert browser.evaluate("document.querySelectorAll('h1').length") == 1
        urls = browser.evaluate("Array.from(document.querySelectorAll('a[href]'), link => link.href)")
        pages = {url.rpartition("/")[2].partition("#")[0] for url in urls if url.startswith("file:")}
        queue += [page for page in pages if page.endswith(".html") and page not in visited and page not in queue]
    assert visited == {path.name for path in site.glob("*.html")}


def test_everything_works_by_keyboard(browser, site):
    """The skip link comes first, then filters and headings; Enter sorts; the focus is visible."""
    browser.open(site / "index.html")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.className") == "skip"
    reached = []
    for _ in range(20):
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.id || document.activeElement.textContent"))
        if reached[-1] == "Accuracy":
            break
    controls = ["task", "backbone", "protocol", "rule", "search", "bounds"]
    assert [name for name in reached if name in controls] == controls
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter")
    down = numbers(column(browser, "Accuracy"))
    assert down == sorted(down, reverse=True)


def luminance(colour):
    """Relative luminance of "rgb(r, g, b)", as WCAG 2.2 defines it."""
    parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


TEXTS = "body, p, a, th button, td .value, .badge, dt, label span, code"
CONTRAST = f"""Array.from(document.querySelectorAll('{TEXTS}')).map(element => {{
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
  return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor, element.outerHTML.slice(0, 80)];
}})"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_both_themes_are_readable_at_every_width(browser, site, theme, width):
    """Contrast is at least 4.5, nothing is wider than the screen, and controls are at least 24 pixels high."""
    browser.emulate(width, theme)
    pages = ("index.html", "about.html", "method_dann.html", next(path.name for path in site.glob("task_*.html")))
    for name in pages:
        browser.open(site / name)
        for text, ground, element in browser.evaluate(CONTRAST):
            light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, element
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        heights = browser.evaluate(
            "Array.from(document.querySelectorAll('select, input[type=search], th button'), node => node.offsetHeight)"
        )
        assert min((height for height in heights if height), default=24) >= 24
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) > 0.5) == (theme == "light")


@pytest.mark.parametrize("payloads", [PAYLOADS[::4], pytest.param(PAYLOADS, marks=pytest.mark.slow)], ids=len)
def test_hostile_names_are_inert(browser, tmp_path, payloads):
    """Payloads in every text of a record; nothing violates the content security policy."""
    records = [hostile(payload) for payload in payloads]
    build(Gathered([source(records)], []), tmp_path / "site", "last")
    names = ["index.html", "tasks.html", "methods.html"]
    names += sorted(path.name for path in (tmp_path / "site").glob("method_*.html"))[:: len(payloads) // 8]
    for name, interact in itertools.product(names, (False, True)):
        browser.open(tmp_path / "site" / name)
        if interact:
            browser.evaluate(
                "document.querySelectorAll('*').forEach(node => node.dispatchEvent(new Event('mouseover')))"
            )
            browser.evaluate("document.querySelectorAll('th button, summary').forEach(element => element.click())")
        assert browser.evaluate("window.pwned === undefined")
        assert browser.evaluate("document.scripts.length") == 1
    browser.open(tmp_path / "site" / "index.html")
    for value in browser.evaluate("Array.from(task.options, option => option.value)")[:20]:
        browser.evaluate(f"task.value = {value!r}; task.dispatchEvent(new Event('input', {{bubbles: true}}))")
        assert browser.evaluate("window.pwned === undefined")
