"""Published numbers, read from published.toml: shown next to results, and the printed cells of reproductions.

Tables that experiments use are `Source` objects here under their key, such as `TLLIB`; so are lists of tasks.
Methods have the names they have in da_bench. A form of a method that is printed under its own name has an entry in
[forms]. Methods that da_bench lacks are left out.
"""

import tomllib
from pathlib import Path

from da_bench.reporting.tables.published import Source, publish, publish_form

_DATA = tomllib.loads((Path(__file__).parent / "published.toml").read_text(encoding="utf-8"))
_TASKS: dict[str, list[str]] = _DATA["tasks"]


def _publish(table: dict) -> Source:
    """Register the numbers of one table."""
    fields = {name: table[name] for name in Source._fields if name in table}
    tasks = table["tasks"] if isinstance(table["tasks"], list) else _TASKS[table["tasks"]]
    percents = {method: [None if value == "" else value for value in row] for method, row in table["percent"].items()}
    source = Source(**fields)
    publish(source, tasks, percents)
    return source


def _better(key: str) -> dict[tuple[str, str], float]:
    """(first, second) -> printed probability that the first method is better on most pairs."""
    return {(first, second): probability for first, second, probability in _DATA["tables"][key]["better"]}


for _name, _form in _DATA["forms"].items():
    publish_form(_name, **_form)
_SOURCES = {key: _publish(table) for key, table in _DATA["tables"].items()}

OFFICE31 = _TASKS["OFFICE31"]
OFFICE_CALTECH10 = _TASKS["OFFICE_CALTECH10"]
OFFICE_CALTECH10_SURF = _TASKS["OFFICE_CALTECH10_SURF"]
AMAZON = _TASKS["AMAZON"]

TLLIB = _SOURCES["TLLIB"]
SHOT = _SOURCES["SHOT"]
SHOT_DIGITS = _SOURCES["SHOT_DIGITS"]
SHOT_SVHN = _SOURCES["SHOT_SVHN"]
ADA_DIGITS = _SOURCES["ADA_DIGITS"]
GANIN_DIGITS = _SOURCES["GANIN_DIGITS"]
GANIN_AMAZON = _SOURCES["GANIN_AMAZON"]
GANIN_AMAZON_SVM = _SOURCES["GANIN_AMAZON_SVM"]
GANIN_AMAZON_BETTER = _better("GANIN_AMAZON")
GANIN_AMAZON_MSDA = _SOURCES["GANIN_AMAZON_MSDA"]
GANIN_AMAZON_MSDA_SVM = _SOURCES["GANIN_AMAZON_MSDA_SVM"]
GANIN_AMAZON_MSDA_BETTER = _better("GANIN_AMAZON_MSDA")
SURF = _SOURCES["SURF"]
