"""Pretrained weights: import published files, and start networks from them.

A published file (PyTorch, Keras, safetensors, TensorFlow Lite) is converted once to a file of our own layout. Reading a
file never runs code in it, and nothing is downloaded.
"""

from da_bench.pretrained.importing import ImportRequest, import_file
from da_bench.pretrained.networks import backbone, check_network, initial_variables, view, weights_name
from da_bench.pretrained.store import WeightsInfo, folder, imported_names, info, load, verify

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
