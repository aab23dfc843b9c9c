"""The built site read back: pages are well-formed, links lead somewhere, and nothing is inline or from elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path

VOID = frozenset({"input", "link", "meta"})  # elements without an end tag
FOREIGN = {
    "style.css": re.compile(r"https?:|@import|url\("),
    "script.js": re.compile(r"https?:|innerHTML|eval|document\.write|fetch"),
}


class Page(HTMLParser):
    """The elements of a page.

    Attributes:
        elements: names of start tags, and "comment" for a comment, in order.
        attributes: (name, value) of all elements.
        text: pieces of text, in order.
        problems: end tags that do not match.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"<{name}> is not closed" for name in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:  # noqa: D102
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes another element")

    def handle_data(self, data: str) -> None:  # noqa: D102
        self.text.append(data)

    def handle_comment(self, data: str) -> None:  # noqa: D102
        self.elements.append("comment")

    def values(self, name: str) -> list[str]:
        """Values of an attribute, in order."""
        return [value or "" for key, value in self.attributes if key == name]


def problems(folder: Path) -> list[str]:
    """What is wrong with the site in `folder`, as "FILE: PROBLEM"; empty if nothing is."""
    pages = {path.name: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.html"))}
    files = {path.name for path in folder.iterdir()}
    anchors = {name: set(page.values("id")) for name, page in pages.items()}
    wrong = [f"{name} is missing" for name in ("index.html", *FOREIGN) if name not in files]
    for name, page in pages.items():
        wrong += [f"{name}: {problem}" for problem in (*page.problems, *_unsafe(page))]
        for target in (*page.values("href"), *page.values("src")):
            if target.startswith("https://"):
                continue
            file, _, anchor = target.partition("#")
            if file not in files:
                wrong.append(f"{name}: the link {target} leads to no file of the site")
            elif anchor and "=" not in anchor and anchor not in anchors[file]:  # "task=...": state of the index page
                wrong.append(f"{name}: the link {target} leads to no element of that page")
    for name, pattern in FOREIGN.items():
        if name in files and (match := pattern.search((folder / name).read_text(encoding="utf-8"))):
            wrong.append(f"{name} contains '{match[0]}'")
    return wrong


def _unsafe(page: Page) -> list[str]:
    """What a page must not have: inline scripts or styles, handlers of events, no content security policy."""
    wrong = []
    if page.elements.count("script") != 1 or page.values("src") != ["script.js"]:
        wrong.append("it has a script that is not script.js")
    if "style" in page.elements:
        wrong.append("it has an inline style sheet")
    names = {name for name, _ in page.attributes}
    wrong += [f"it has the attribute {name}" for name in sorted(names) if name.startswith("on") or name == "style"]
    if not any(value.startswith("default-src 'none'") for value in page.values("content")):
        wrong.append("it has no content security policy")
    return wrong
