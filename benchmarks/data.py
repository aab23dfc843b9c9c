"""How fast do images go from files into a step? Decoding, preparing, opening, training on resident and streamed data.

Command: `python benchmarks/data.py TASK --data-root DIR [--pixels 224]`, TASK a pair of domains of images, such as
office31/amazon-to-webcam. Everything is measured in one run, and in a cache of its own that is removed afterwards.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import flax.linen as nn

import da_bench as da
from da_bench.core.types import Array, Output
from da_bench.data.domains import listing_of, parts_of
from da_bench.data.images import decode_bytes, read_bytes, resize, strict_pillow
from da_bench.data.tasks import spec
from da_bench.models import Network, register

SAMPLE = 500  # images decoded one after another
STEPS = 100


@register
class MeanColour(Network):
    """Next to no network, so that a step is nearly all data: the mean of each channel, and a linear head."""

    def setup(self) -> None:
        """Name the layer."""
        self.head = nn.Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, h, w, 3] -> features [n, 3]."""
        features = inputs.mean(axis=(1, 2))
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, 3] -> [n, classes]."""
        return self.head(features)


def decoding(task: str, root: Path, side: int) -> str:
    """Images a second that one core reads, decodes and resizes, files in the page cache."""
    listing = listing_of(parts_of(spec(task).source, root))
    paths = [listing.place / file for file in listing.files[:SAMPLE]]
    for path in paths:
        path.read_bytes()
    start = time.process_time()
    with strict_pillow():
        for path in paths:
            resize(decode_bytes(read_bytes(path), path), side, "squash")
    return f"{len(paths) / (time.process_time() - start):.0f} images a CPU second (read, decode, resize to {side})"


def preparing(task: str, root: Path, pixels: int) -> Iterator[str]:
    """`da-bench data prepare` of both domains, then again, when all is there."""
    for what in ("prepare", "open"):
        for domain in (spec(task).source, spec(task).target):
            command = [sys.executable, "-m", "da_bench", "data", "prepare", domain, "--pixels", str(pixels)]
            start = time.perf_counter()
            subprocess.run([*command, "--data-root", root], check=True, capture_output=True)
            yield f"{what} {domain}: {time.perf_counter() - start:.2f} s, the start of Python included"
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    yield f"most memory of these processes: {most:.0f} MiB (mapped images included)"


def training(task: str, root: Path, pixels: int) -> Iterator[str]:
    """Images a second into the step, with and without augmentation, resident and streamed."""
    for augment in ("none", "crop_flip"):
        for name, resident_gib in {"resident": 1000.0, "streamed": 0.0}.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds = _train(task, da.View(pixels=pixels, augment=augment), _options(folder, root, resident_gib))
            yield f"{name}, augment {augment}: {2 * 32 * STEPS / seconds:.0f} images a second into the step"


def _options(folder: str, root: Path, resident_gib: float) -> da.Options:
    return da.Options(results=Path(folder), data_root=root, resident_gib=resident_gib, progress="none")


def _train(task: str, view: da.View, options: da.Options) -> float:
    """Seconds of `STEPS` steps: of a run less those of one with half the steps, twice; both evaluate once."""
    whole, half = (
        da.run(
            da.methods.Coral(),
            task,
            seeds=1,
            options=options,
            model=MeanColour(),
            view=view,
            training=da.Training(steps=steps, evaluations=1, batch_size=32),
        )
        .records[0]
        .result["seconds"]["run"]
        for steps in (2 * STEPS, STEPS)
    )
    return whole - half


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task")
    parser.add_argument("--data-root", type=Path, default=os.environ.get("DA_BENCH_DATA"))
    parser.add_argument("--pixels", type=int, default=224)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["DA_BENCH_CACHE"] = cache
        print(f"{asked.task}, {asked.pixels} pixels, {os.cpu_count()} cores")
        print(decoding(asked.task, asked.data_root, da.View(pixels=asked.pixels).stored_side))
        for measure in (preparing, training):
            for line in measure(asked.task, asked.data_root, asked.pixels):
                print(line, flush=True)


if __name__ == "__main__":
    main()
