"""Jinja2 templates filled so that no text of a record or submission can become markup or a foreign link."""

import functools
import re
import unicodedata
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from da_bench.leaderboard.site.entries import BADGES, slug
from da_bench.reporting.tables.text import single_line

LINK = re.compile(
    r"https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~/%+-]*)?|[a-z0-9_.-]+\.(?:html|css|js|csv|json|bib)(?:#[\w=%&.+~-]*)?"
)


def render(template: str, **data: Any) -> str:
    """The page that a template makes of `data`.

    Args:
        template: name of a file in `templates/`, without ".html.j2".
        data: variables of the template.

    Raises:
        ValueError: a link leads neither to a page of the site nor to an https address.
        jinja2.UndefinedError: the template uses a variable that is not in `data`.
    """
    return _environment().get_template(f"{template}.html.j2").render(**data)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("da_bench.leaderboard.site"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_single_line,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"href": checked_link, "slug": slug, "preformatted": preformatted}
    environment.globals["badge_meanings"] = BADGES
    return environment


def _single_line(value: Any) -> Any:
    """A value without control characters and line breaks, before Jinja2 escapes it; markup as it is."""
    return value if isinstance(value, Markup | StrictUndefined) else single_line(value)


def checked_link(target: str) -> str:
    """`target`, if it is a page of the site or an https address.

    Raises:
        ValueError: it is neither.
    """
    if not LINK.fullmatch(target):
        raise ValueError(f"{target!r} is neither a page of the site nor an https link")
    return target


def preformatted(text: str) -> Markup:
    """A <pre> element whose lines keep their spaces."""
    lines = (escape("".join(filter(_is_printable, line.replace("\t", " ")))) for line in text.splitlines())
    return Markup('<pre tabindex="0">{}</pre>').format(Markup("\n").join(lines))


def _is_printable(letter: str) -> bool:
    return not unicodedata.category(letter).startswith("C")


def fragment(**values: str) -> str:
    """State of the index page as the fragment of a link to it: "#task=moons%2F35"."""
    return "#" + "&".join(f"{name}={quote(value, safe='', errors='replace')}" for name, value in values.items())
