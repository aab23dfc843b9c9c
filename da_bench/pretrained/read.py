"""Read the arrays of a file of weights in any of the supported formats."""

from pathlib import Path

import numpy as np

from da_bench.pretrained import keras_h5, safetensors_file, tflite, torch_file
from da_bench.pretrained.files import check_readable, unusable


def read_arrays(path: Path, arch: str) -> dict[str, np.ndarray]:
    """Read all arrays of a file. Its format is recognised by its content, not by its name.

    Args:
        path: a PyTorch `.pth`, Keras `.h5`, `.safetensors` or TensorFlow Lite file.
        arch: registered name of the network that the file is for.

    Returns:
        Arrays by their names in the file; those of a `.tflite` file by the names that Keras uses.

    Raises:
        UserError: see the readers; or the format is not supported for this network.
    """
    check_readable(path)
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith((b"PK\x03\x04", b"\x80\x02")):
        return torch_file.read(path)
    if start.startswith(b"\x89HDF"):
        return keras_h5.read(path)
    if start[4:] != b"TFL3":
        return safetensors_file.read(path).arrays
    if arch != "mobilenet_v2":
        raise unusable(
            path,
            f"TensorFlow Lite files can only be read for 'mobilenet_v2', not for '{arch}'",
            "give a file in another format",
        )
    return tflite.read_mobilenet_v2(path)
