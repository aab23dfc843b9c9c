"""One way to read a file of weights: what it is, its content says, not its name."""

from pathlib import Path

import numpy as np

from da_bench.pretrained import keras_h5, safetensors, tflite, torch_file
from da_bench.pretrained.files import unusable


def read(path: Path, arch: str) -> dict[str, np.ndarray]:
    """The arrays of a file, called as its kind calls them; of a `.tflite` file as Keras would.

    Raises:
        UserError: see the readers; or the network has no file of this kind.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise unusable(path, error.strerror or str(error), "give the path of a readable file") from None
    if start.startswith((b"PK\x03\x04", b"\x80\x02")):
        return torch_file.read(path)
    if start.startswith(b"\x89HDF"):
        return keras_h5.read(path)
    if start[4:] != b"TFL3":
        return safetensors.read(path).arrays
    if arch != "mobilenet_v2":
        raise unusable(
            path, f"TensorFlow Lite files are read for 'mobilenet_v2' alone, not for '{arch}'", "give another"
        )
    return tflite.mobilenet_v2(path)
