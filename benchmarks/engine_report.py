"""Tables and plot of `benchmarks.engine`."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.markdown import markdown_table
from benchmarks.workloads import IMAGE_BATCH_SIZE
from da_bench.reporting.plots.canvas import render_figure

DA_BENCH = "da_bench"
SUITES = ("pytorch-adapt", "skada")
TITLES = {"torch": "tuned torch", "compile": "tuned torch + compile"}
TARGET_RATIOS = {  # da_bench's steps per second, divided by those of the faster suite
    "W1": dict.fromkeys(("source_only", "dann", "coral", "mmd"), 1.4),
    "W2": dict.fromkeys(("source_only", "coral", "mmd"), 3.0) | {"dann": 1.7},
}

EXPLANATIONS = """Why some targets are missed:

- LeNet (W1): XLA has no fast convolution on a CPU, so patches are copied and multiplied. About two thirds of a step are
  these products, and most of the rest is copying; PyTorch's convolutions read the feature maps in place. With both
  domains in one batch (CORAL, MMD), the patches of 128 rows no longer fit into the cache. Two passes of 64 rows were
  about an eighth faster, but are not used, because batch normalisation and GPUs need a single pass.
- Several seeds: one run keeps both cores busy already, so there is little to gain. One device per core is the best
  placement on a CPU, and the one that `da-bench run` uses. Under vmap, matrix products become batches of small ones.
- Compilation with a warm cache consists of tracing and lowering, 1.7 s for each method whatever the number of steps: a
  fifth of this study with 800 steps, and less than a tenth with 2000.

Differences: DANN's weight increases here and is constant in the suites; skada's MMD has other bandwidths, and its steps
include its data loader; CORAL is that of the paper, up to a constant factor.

Memory: a device holds the data once, and for each current run the parameters, the state of the optimizer and the
activations of a step. On a CPU, the patches of a small convolution are size^2 times as large as its input (8 MB for
LeNet's second)."""


def write_report(result: dict[str, Any], folder: Path) -> None:
    """Write engine.json, engine.md and engine.png.

    Args:
        result: all measurements, as in engine.json.
        folder: folder to write to; created if necessary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "engine.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "engine.md").write_text("\n".join(report_lines(result)) + "\n")
    plot(result, folder / "engine.png")


def report_lines(result: dict[str, Any]) -> list[str]:
    """Lines of engine.md."""
    sections = [
        heading(result),
        steps_section(result),
        targets_section(result),
        EXPLANATIONS.splitlines(),
        seeds_section(result),
        images_section(result),
        losses_section(result),
        start_section(result),
        absent_section(result),
    ]
    return [line for section in sections for line in [*section, ""]]


def heading(result: dict[str, Any]) -> list[str]:
    """Title, command, machine and versions."""
    machine = result["machine"]
    versions = {name: v for about in result["about"].values() for name, v in about.get("versions", {}).items()}
    load = f"Other processes used {result['others']:.0%} of the machine meanwhile"
    if result["others"] > 0.1:
        load += "; this slows the frameworks down unequally, so read the ratios with care"
    return [
        "# Speed of a step",
        "",
        f"`{result['command']}`, commit {result['commit']}; {machine['cpu']}, {machine['cores']} cores, float32.",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        f"{load}.",
        "Medians over interleaved rounds (minimum - maximum). Ratio: da_bench divided by the other, of the medians.",
    ]


def cells_of(result: dict[str, Any], section: str) -> list[dict[str, Any]]:
    """Measurements of a section that at least one framework completed."""
    return [cell for cell in result["cells"] if cell["cell"][0] == section and cell["seconds"]]


def frameworks_of(cells: list[dict[str, Any]]) -> list[str]:
    """Names of the frameworks in some measurements, in order."""
    return list(dict.fromkeys(name for cell in cells for name in cell["seconds"]))


def titles_of(names: list[str]) -> list[str]:
    """Column titles of frameworks."""
    return [TITLES.get(name, name) for name in names]


def rates(cell: dict[str, Any]) -> dict[str, np.ndarray]:
    """Steps per second of each round, by framework."""
    return {name: cell["requests"][name]["steps"] / np.array(s) for name, s in cell["seconds"].items()}


def format_range(values: np.ndarray) -> str:
    """Median (minimum - maximum)."""
    return f"{format_number(np.median(values))} ({format_number(values.min())} - {format_number(values.max())})"


def format_number(x: float) -> str:
    """A number with three significant digits."""
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}"


def steps_section(result: dict[str, Any]) -> list[str]:
    """Table of training steps."""
    cells = cells_of(result, "steps")
    names = frameworks_of(cells)
    rows = [
        [" ".join(cell["cell"][1:]), *[_rate(cell, name) for name in names], _share_of_peak(result, cell)]
        for cell in cells
    ]
    header = ["steps/s", *titles_of(names), "da_bench, share of peak"]
    return ["## Steps", "", *markdown_table(header, rows)] if cells else []


def _rate(cell: dict[str, Any], name: str) -> str:
    by_name = rates(cell)
    if name not in by_name:
        return "absent"
    ratio = "" if name == DA_BENCH else f", {np.median(by_name[DA_BENCH]) / np.median(by_name[name]):.2f}x"
    return format_range(by_name[name]) + ratio


def _share_of_peak(result: dict[str, Any], cell: dict[str, Any]) -> str:
    flops = result["flops"].get(" ".join(cell["cell"][1:]), {}).get("flops", 0.0)
    peak = max(product.get("flops_a_second", 0.0) for product in result["peak"].values())
    return f"{float(np.median(rates(cell)[DA_BENCH])) * flops / peak:.0%}" if peak else "?"


def targets_section(result: dict[str, Any]) -> list[str]:
    """Table of targets and whether they are met."""
    rows = [_suite_target(cell) for cell in cells_of(result, "steps")]
    rows += [_slowdown_target(result, cell) for cell in cells_of(result, "steps")]
    rows += [_seeds_target(cell) for cell in cells_of(result, "seeds") if cell["cell"][3] == "10"]
    if study := result["study"].get("cached"):
        share = study["compile"] / study["command"]
        rows.append(["compilation in a study, warm cache", "at most 10%", f"{share:.0%}", _verdict(share <= 0.1)])
    return ["## Targets", "", *markdown_table(["quantity", "target", "measured", ""], [row for row in rows if row])]


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def _suite_target(cell: dict[str, Any]) -> list[str]:
    """Steps per second divided by those of the faster suite; on W1 also by those of torch.compile."""
    _, workload, method = cell["cell"]
    medians = {name: float(np.median(rate)) for name, rate in rates(cell).items()}
    suites = [medians[name] for name in SUITES if name in medians]
    if not suites or DA_BENCH not in medians:
        return []
    ratio, target = medians[DA_BENCH] / max(suites), TARGET_RATIOS[workload][method]
    if workload != "W1" or "compile" not in medians:
        return [f"{workload} {method} / best suite", f"{target}x", f"{ratio:.2f}x", _verdict(ratio >= target)]
    compiled = medians[DA_BENCH] / medians["compile"]
    return [
        f"{workload} {method} / best suite, / torch.compile",
        f"{target}x, 1x",
        f"{ratio:.2f}x, {compiled:.2f}x",
        _verdict(ratio >= target and compiled >= 1),
    ]


def _slowdown_target(result: dict[str, Any], cell: dict[str, Any]) -> list[str]:
    """At most twice the time of source only, or the ratio of floating-point operations if that is larger."""
    _, workload, method = cell["cell"]
    source_only = [c for c in cells_of(result, "steps") if c["cell"][1:] == [workload, "source_only"]]
    if method == "source_only" or not source_only or DA_BENCH not in rates(cell):
        return []
    slowdown = float(np.median(rates(source_only[0])[DA_BENCH]) / np.median(rates(cell)[DA_BENCH]))
    flops, source_flops = (result["flops"][f"{workload} {name}"]["flops"] for name in (method, "source_only"))
    target = max(2.0, flops / source_flops)
    name = f"{workload} {method}, slower than source only by"
    return [name, f"at most {target:.1f}x", f"{slowdown:.2f}x", _verdict(slowdown <= target)]


def _seeds_target(cell: dict[str, Any]) -> list[str]:
    gain, placement = max((gain, placement) for placement, gain in speedups(cell).items())
    name = f"{' '.join(cell['cell'][1:3])}, 10 seeds in one program ({placement}) / one after another"
    return [name, "1.5x", f"{gain:.2f}x", _verdict(gain >= 1.5)]


def speedups(cell: dict[str, Any]) -> dict[str, float]:
    """Speed of several seeds in one program relative to one run after another, by placement."""
    seconds = {placement: float(np.median(s)) for placement, s in cell["seconds"].items()}
    one_by_one = seconds.pop("single") * int(cell["cell"][3])
    return {placement: one_by_one / s for placement, s in seconds.items()}


def seeds_section(result: dict[str, Any]) -> list[str]:
    """Table of several seeds in one program."""
    cells = cells_of(result, "seeds")
    placements = list(dict.fromkeys(name for cell in cells for name in speedups(cell)))
    rows = [[*cell["cell"][1:], *[f"{speedups(cell).get(p, np.nan):.2f}x" for p in placements]] for cell in cells]
    text = "Speed relative to running the seeds one after another; whole runs, including their start."
    table = markdown_table(["", "method", "seeds", *placements], rows)
    return ["## Several seeds in one program", "", text, "", *table] if cells else []


def images_section(result: dict[str, Any]) -> list[str]:
    """Table of networks on images."""
    cells = cells_of(result, "images")
    names = frameworks_of(cells)
    rows = [[*cell["cell"][1:], *[_rate(cell, name) for name in names]] for cell in cells]
    table = markdown_table(["network", "", *titles_of(names)], rows)
    text = f"Batches of {IMAGE_BATCH_SIZE} images per second, for prediction and for training."
    return ["## Images of 224 pixels", "", text, "", *table] if cells else []


def losses_section(result: dict[str, Any]) -> list[str]:
    """Table of single losses."""
    cells = cells_of(result, "loss")
    names = frameworks_of(cells)
    rows = [[*cell["cell"][1:], *[_milliseconds(cell, name) for name in names]] for cell in cells]
    text = "Value and gradient, ms. Sinkhorn: 50 iterations on logarithms; of the libraries, only POT has it."
    table = markdown_table(["loss", "n", "d", *titles_of(names)], rows)
    return ["## Single losses", "", text, "", *table] if cells else []


def _milliseconds(cell: dict[str, Any], name: str) -> str:
    return format_range(1000 * np.array(cell["seconds"][name])) if name in cell["seconds"] else "absent"


def start_section(result: dict[str, Any]) -> list[str]:
    """Start-up time, compilation time of a study, and the peak of the machine."""
    lines = []
    if result["start"]:
        times = ", ".join(f"{cache} {seconds['command']:.1f} s" for cache, seconds in result["start"].items())
        lines.append(f"From the command to the end of a run of one step: {times}.")
    if result["study"]:
        parts = [f"{cache} {s['compile']:.1f} of {s['command']:.1f} s" for cache, s in result["study"].items()]
        lines.append(f"Compilation in a study of 4 methods with 5 seeds, digits, 800 steps: {', '.join(parts)}.")
    peak = ", ".join(f"{name} {p.get('flops_a_second', 0.0) / 1e9:.0f}" for name, p in result["peak"].items())
    return [*lines, f"Matrix product in float32, GFLOP/s: {peak}."]


def absent_section(result: dict[str, Any]) -> list[str]:
    """Measurements that a framework could not complete, and why."""
    lines = [
        f"- {' '.join(cell['cell'])}, {name}: {reason}"
        for cell in result["cells"]
        for name, reason in cell["absent"].items()
    ]
    return ["## Absent", "", *lines] if lines else []


def plot(result: dict[str, Any], path: Path) -> None:
    """Bar chart of the frameworks' steps per second relative to da_bench."""
    import matplotlib.pyplot as plt

    cells = cells_of(result, "steps")
    if not cells:
        return
    names = frameworks_of(cells)
    width = 0.8 / len(names)
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    for i, name in enumerate(names):
        heights = [_relative_speed(cell, name) for cell in cells]
        axes.bar(np.arange(len(cells)) + i * width, heights, width, label=TITLES.get(name, name))
    axes.set_xticks(np.arange(len(cells)) + 0.4, [" ".join(cell["cell"][1:]) for cell in cells], rotation=20)
    axes.set_ylabel("steps per second, da_bench = 1")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, frameon=False)
    path.write_bytes(render_figure(figure, "png"))


def _relative_speed(cell: dict[str, Any], name: str) -> float:
    by_name = rates(cell)
    return float(np.median(by_name[name]) / np.median(by_name[DA_BENCH])) if {name, DA_BENCH} <= by_name.keys() else 0.0
