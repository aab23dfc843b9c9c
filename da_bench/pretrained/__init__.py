"""Pretrained weights: published files -> one file of our own layout -> networks that start from it. No network code."""

from da_bench.pretrained.store import (
    ImportRequest,
    WeightsInfo,
    backbone,
    check_network,
    folder,
    import_file,
    imported_names,
    info,
    initial_variables,
    load,
    verify,
    view,
    weights_name,
)

__all__ = [
    "ImportRequest",
    "WeightsInfo",
    "backbone",
    "check_network",
    "folder",
    "import_file",
    "imported_names",
    "info",
    "initial_variables",
    "load",
    "verify",
    "view",
    "weights_name",
]
