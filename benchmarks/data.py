"""How fast do images get from files into a training step?

Measures decoding, preparing and opening the data, and training with data in memory and streamed from disk.

Command: `python -m benchmarks.data TASK --data-root DIR [--pixels 224]`, where TASK is a domain pair of images, such as
office31/amazon-to-webcam. It uses a temporary cache.
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

NUM_DECODED = 500  # images decoded one after another
STEPS, BATCH_SIZE = 100, 32


@register
class MeanColour(Network):
    """The mean of each channel and a linear head, so that nearly all of a step is data loading."""

    def setup(self) -> None:
        """Create the layer."""
        self.head = nn.Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """Features [n, 3] and logits of images [n, h, w, 3]."""
        features = inputs.mean(axis=(1, 2))
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """Logits [n, classes] of features [n, 3]."""
        return self.head(features)


def measure_decoding(task: str, root: Path, side: int) -> str:
    """Images that one core reads, decodes and resizes per second, with the files in the page cache."""
    listing = listing_of(parts_of(spec(task).source, root))
    paths = [listing.folder / file for file in listing.files[:NUM_DECODED]]
    for path in paths:
        path.read_bytes()
    start = time.process_time()
    with strict_pillow():
        for path in paths:
            resize(decode_bytes(read_bytes(path), path), side, "squash")
    rate = len(paths) / (time.process_time() - start)
    return f"{rate:.0f} images per CPU second (read, decode, resize to {side})"


def measure_preparing(task: str, root: Path, pixels: int) -> Iterator[str]:
    """Time of `da-bench data prepare` for both domains, and of a second call, which only opens the prepared data."""
    for name in ("prepare", "open"):
        for domain in (spec(task).source, spec(task).target):
            command = [sys.executable, "-m", "da_bench", "data", "prepare", domain, "--pixels", str(pixels)]
            start = time.perf_counter()
            subprocess.run([*command, "--data-root", root], check=True, capture_output=True)
            yield f"{name} {domain}: {time.perf_counter() - start:.2f} s, including the start of Python"
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    yield f"peak memory of these processes: {peak:.0f} MiB, including memory-mapped images"


def measure_training(task: str, root: Path, pixels: int) -> Iterator[str]:
    """Images per second in training, with and without augmentation, in memory and streamed from disk."""
    for augment in ("none", "crop_flip"):
        for name, resident_gib in {"in memory": 1000.0, "streamed": 0.0}.items():
            with tempfile.TemporaryDirectory() as folder:
                options = da.Options(results=Path(folder), data_root=root, resident_gib=resident_gib, progress="none")
                seconds = _training_seconds(task, da.View(pixels=pixels, augment=augment), options)
            yield f"{name}, augment {augment}: {2 * BATCH_SIZE * STEPS / seconds:.0f} images per second"


def _training_seconds(task: str, view: da.View, options: da.Options) -> float:
    """Seconds of `STEPS` steps: of a run of twice as many steps, minus those of a run of `STEPS` steps."""

    def seconds(steps: int) -> float:
        training = da.Training(steps=steps, evaluations=1, batch_size=BATCH_SIZE)
        results = da.run(
            da.methods.Coral(), task, seeds=1, options=options, model=MeanColour(), view=view, training=training
        )
        return results.records[0].result["seconds"]["run"]

    return seconds(2 * STEPS) - seconds(STEPS)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", help="domain pair of images, such as office31/amazon-to-webcam")
    parser.add_argument(
        "--data-root", type=Path, default=os.environ.get("DA_BENCH_DATA"), help="folder of the data (DA_BENCH_DATA)"
    )
    parser.add_argument("--pixels", type=int, default=224, help="side of the images in training (%(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["DA_BENCH_CACHE"] = cache
        print(f"{args.task}, {args.pixels} pixels, {os.cpu_count()} cores")
        print(measure_decoding(args.task, args.data_root, da.View(pixels=args.pixels).stored_side))
        for measure in (measure_preparing, measure_training):
            for line in measure(args.task, args.data_root, args.pixels):
                print(line, flush=True)


if __name__ == "__main__":
    main()
