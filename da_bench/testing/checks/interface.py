"""Checks of a method's declaration: registration, fields and documentation."""

import dataclasses
import json
import math
import re
from typing import Any

from da_bench.core.config import UserError, as_dict, float_fields
from da_bench.methods import METHODS
from da_bench.studies.experiment import Experiment
from da_bench.studies.options import Options
from da_bench.testing.base import CheckFailed, check, require
from da_bench.testing.method_under_test import MethodUnderTest

PARTS: tuple[Any, ...] = (Options, Experiment)
RUN_OPTIONS = {field.name for part in PARTS for field in dataclasses.fields(part)}  # of `da-bench run`, and these:
RUN_OPTIONS |= {"seeds", "weights", "pixels", "augment", "rule", "distributed", "study", "quiet", "json"}


@check("any")
def is_registered_and_survives_json(under_test: MethodUnderTest) -> None:
    """The registry knows the method by its name, and its fields written as JSON build an equal method."""
    require(METHODS.get(under_test.cls.name) is under_test.cls, "it is not registered: put @register above the class")
    fields = json.loads(json.dumps(as_dict(under_test.method), allow_nan=False))
    require(fields.pop("name") == under_test.cls.name, "its name is not that of its class")
    require(under_test.cls(**fields) == under_test.method, "its fields change when written as JSON and read again")


@check("any")
def refuses_bad_fields(under_test: MethodUnderTest) -> None:
    """NaN, infinity, a negative weight, text and unknown fields are refused with the field's name."""
    for field in float_fields(under_test.cls):
        for value in (math.nan, math.inf, "much"):
            _require_refusal(under_test, field, value)
    _require_refusal(under_test, "wieght", 1.0)
    if "weight" in float_fields(under_test.cls):
        _require_refusal(under_test, "weight", -1.0)


def _require_refusal(under_test: MethodUnderTest, field: str, value: Any) -> None:
    try:
        under_test.cls(**{field: value})
    except UserError as error:
        require(field in str(error), f"the error for {field} = {value} does not name the field: {error}")
    else:
        raise CheckFailed(f"{field} = {value} is accepted; annotate it, for example as NonNegative")


@check("any")
def has_no_field_named_like_an_option(under_test: MethodUnderTest) -> None:
    """No field has the name of an option of `da-bench run`, on which the fields of the method are options too."""
    fields = [field.name for field in dataclasses.fields(under_test.cls)]  # type: ignore[arg-type]
    taken = [name for name in fields if name in RUN_OPTIONS]
    require(not taken, f"`da-bench run` has options of the same names; rename the fields {', '.join(taken)}")


@check("any")
def documents_its_paper_and_fields(under_test: MethodUnderTest) -> str | None:
    """The docstring has a line for every field and, if the method adapts, the reference to its paper."""
    doc = under_test.cls.__doc__ or ""
    fields = [field.name for field in dataclasses.fields(under_test.cls)]  # type: ignore[arg-type]
    missing = [name for name in fields if not re.search(rf"^[ \t]*{name}: *\S", doc, re.MULTILINE)]
    require(
        not missing, f"the docstring does not explain {', '.join(missing)}; add a line `name: what it is` under Args:"
    )
    has_reference = "References:" in doc and ("arXiv:" in doc or "doi:" in doc)
    if has_reference or not under_test.cls.metadata.adapts:
        return None
    require(
        under_test.cls.metadata.paper == "unpublished",
        "the docstring has no References: with arXiv: or doi:; a method without a paper is declared as "
        '@register(paper="unpublished")',
    )
    return "unpublished, so no reference is needed"
