"""Pretrained weights: published files -> one file of our own layout -> networks that start from it. No network code."""

from da_bench.pretrained.store import (
    Asked,
    Facts,
    check,
    facts,
    folder,
    import_file,
    load,
    names,
    network,
    pretrained_name,
    start,
    verify,
    view,
)

__all__ = [
    "Asked",
    "Facts",
    "check",
    "facts",
    "folder",
    "import_file",
    "load",
    "names",
    "network",
    "pretrained_name",
    "start",
    "verify",
    "view",
]
