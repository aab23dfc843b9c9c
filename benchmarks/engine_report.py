"""Tables and plot of `engine.py`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from workloads import PHOTOGRAPHS

SUITES = ("pytorch-adapt", "skada")
NAMES = {"torch": "tuned torch", "compile": "tuned torch + compile"}
LEAST = {
    "W1": dict.fromkeys(("source_only", "dann", "coral", "mmd"), 1.4),
    "W2": dict.fromkeys(("source_only", "coral", "mmd"), 3.0) | {"dann": 1.7},
}

REASONS = """Why some are missed:

- LeNet (W1): XLA has no fast convolution on a CPU, so patches are copied and multiplied. About two thirds of a step
  are these products, and the rest is mostly copies; PyTorch's convolutions read the maps where they are. With both
  domains in a batch (CORAL, MMD) the patches of 128 rows no longer fit the cache: two passes of 64 rows were about an
  eighth faster, and are not taken, because batch normalisation and accelerators want one.
- Seeds together: one run keeps both cores busy already, so little is left to gain. A core each is the best placement
  on a CPU, and what `da-bench run` takes; under vmap products become batches of small ones.
- Compiling with a warm cache is tracing and lowering, 1.7 s a method however many steps there are: of the 800 steps
  of this study a fifth; of 2,000 it would be less than a tenth.

What differs: DANN's weight rises here and is constant in the suites; skada's MMD has bandwidths of its own, and its
steps include its loader; CORAL is the paper's, up to a constant factor.

Memory: a device holds the data once, and of each run in hand the parameters, the optimizer's memory of them, and the
activations of a step; on a CPU a small convolution's patches are size^2 times its input (8 MB for LeNet's second)."""


def write(result: dict[str, Any], folder: Path) -> None:
    """engine.json, engine.md and engine.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "engine.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "engine.md").write_text("\n".join(lines(result)) + "\n")
    plot(result, folder / "engine.png")


def lines(result: dict[str, Any]) -> list[str]:
    """The page."""
    parts = [
        *(head(result), steps(result), targets(result), REASONS.splitlines(), seeds(result)),
        *(images(result), losses(result), start(result), absent(result)),
    ]
    return [line for part in parts for line in [*part, ""]]


def head(result: dict[str, Any]) -> list[str]:
    """What, where, with what."""
    machine = result["machine"]
    installed = {k: v for about in result["about"].values() for k, v in about.get("versions", {}).items()}
    return [
        "# Speed of a step",
        "",
        f"`{result['command']}`, commit {result['commit']}; {machine['cpu']}, {machine['cores']} cores, float32.",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in installed.items()) + ".",
        f"Others used {result['others']:.0%} of the machine meanwhile"
        + ("; that hurts the contestants unequally, so take the ratios with care." if result["others"] > 0.1 else "."),
        "Medians over interleaved rounds (least - most); ratio: ours over theirs, of the medians.",
    ]


def of(result: dict[str, Any], section: str) -> list[dict[str, Any]]:
    """Its cells that anyone could be timed in."""
    return [cell for cell in result["cells"] if cell["cell"][0] == section and cell["seconds"]]


def rates(cell: dict[str, Any]) -> dict[str, np.ndarray]:
    """Steps a second of each round, by contestant."""
    return {name: cell["questions"][name]["steps"] / np.array(s) for name, s in cell["seconds"].items()}


def spread(values: np.ndarray) -> str:
    """Median (least - most)."""
    return f"{number(np.median(values))} ({number(values.min())} - {number(values.max())})"


def number(x: float) -> str:
    """Three digits."""
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}"


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown."""
    return ["| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]]


def steps(result: dict[str, Any]) -> list[str]:
    """W1 and W2."""
    cells = of(result, "steps")
    names = list(dict.fromkeys(name for cell in cells for name in cell["seconds"]))
    rows = [
        [" ".join(cell["cell"][1:]), *[_rate(cell, name) for name in names], _roofline(result, cell)] for cell in cells
    ]
    header = ["steps/s", *[NAMES.get(name, name) for name in names], "ours of the peak"]
    return ["## Steps", "", *table(header, rows)] if cells else []


def _rate(cell: dict[str, Any], name: str) -> str:
    found = rates(cell)
    if name not in found:
        return "absent"
    ratio = "" if name == "ours" else f", {np.median(found['ours']) / np.median(found[name]):.2f}x"
    return spread(found[name]) + ratio


def _roofline(result: dict[str, Any], cell: dict[str, Any]) -> str:
    flops = result["flops"].get(" ".join(cell["cell"][1:]), {}).get("flops", 0.0)
    peak = max(found.get("flops_a_second", 0.0) for found in result["peak"].values())
    return f"{float(np.median(rates(cell)['ours'])) * flops / peak:.0%}" if peak else "?"


def targets(result: dict[str, Any]) -> list[str]:
    """Every figure against what is aimed at."""
    rows = [_target(cell) for cell in of(result, "steps")]
    rows += [_slowdown_target(result, cell) for cell in of(result, "steps")]
    rows += [_seeds_target(cell) for cell in of(result, "seeds") if cell["cell"][3] == "10"]
    rows += [_compile_target(one) for kind, one in result["study"].items() if kind == "cached"]
    return ["## Targets", "", *table(["figure", "aim", "measured", ""], [row for row in rows if row])]


def _target(cell: dict[str, Any]) -> list[str]:
    _, workload, method = cell["cell"]
    medians = {name: float(np.median(rate)) for name, rate in rates(cell).items()}
    suites = [medians[name] for name in SUITES if name in medians]
    if not suites or "ours" not in medians:
        return []
    ratio, least = medians["ours"] / max(suites), LEAST[workload][method]
    rows = [f"{workload} {method} / best suite", f"{least}x", f"{ratio:.2f}x", "met" if ratio >= least else "MISSED"]
    if workload == "W1" and "compile" in medians:
        against = medians["ours"] / medians["compile"]
        rows[0] += ", / torch.compile"
        rows[1] += ", 1x"
        rows[2] += f", {against:.2f}x"
        rows[3] = "met" if ratio >= least and against >= 1 else "MISSED"
    return rows


def _slowdown_target(result: dict[str, Any], cell: dict[str, Any]) -> list[str]:
    """At most twice source only, or what the operations of its own networks come to."""
    _, workload, method = cell["cell"]
    plain = [one for one in of(result, "steps") if one["cell"][1:] == [workload, "source_only"]]
    if method == "source_only" or not plain or "ours" not in rates(cell):
        return []
    slower = float(np.median(rates(plain[0])["ours"]) / np.median(rates(cell)["ours"]))
    flops = [result["flops"][f"{workload} {one}"]["flops"] for one in (method, "source_only")]
    most = max(2.0, flops[0] / flops[1])
    row = [f"{workload} {method}, times as slow as source only", f"at most {most:.1f}x", f"{slower:.2f}x"]
    return [*row, "met" if slower <= most else "MISSED"]


def _seeds_target(cell: dict[str, Any]) -> list[str]:
    gain, way = max((gain, way) for way, gain in gains(cell).items())
    name = f"{' '.join(cell['cell'][1:3])}, 10 seeds together ({way}) / one after another"
    return [name, "1.5x", f"{gain:.2f}x", "met" if gain >= 1.5 else "MISSED"]


def _compile_target(study: dict[str, float]) -> list[str]:
    share = study["compile"] / study["command"]
    return ["compiling in a study, cache warm", "at most 10%", f"{share:.0%}", "met" if share <= 0.1 else "MISSED"]


def gains(cell: dict[str, Any]) -> dict[str, float]:
    """How many times faster than one run after another, by placement."""
    seconds = {way: float(np.median(s)) for way, s in cell["seconds"].items()}
    alone = seconds.pop("alone") * int(cell["cell"][3])
    return {way: alone / s for way, s in seconds.items()}


def seeds(result: dict[str, Any]) -> list[str]:
    """W3."""
    cells = of(result, "seeds")
    names = list(dict.fromkeys(name for cell in cells for name in gains(cell)))
    rows = [[*cell["cell"][1:], *[f"{gains(cell).get(name, np.nan):.2f}x" for name in names]] for cell in cells]
    text = "Times as fast as so many runs one after another; whole runs, start included."
    return ["## Seeds together", "", text, "", *table(["", "method", "seeds", *names], rows)] if cells else []


def images(result: dict[str, Any]) -> list[str]:
    """W4."""
    cells = of(result, "pictures")
    names = list(dict.fromkeys(name for cell in cells for name in cell["seconds"]))
    rows = [[*cell["cell"][1:], *[_rate(cell, name) for name in names]] for cell in cells]
    header = ["network", "", *[NAMES.get(name, name) for name in names]]
    text = f"Batches of {PHOTOGRAPHS} images a second: predicted, or a step of training on them."
    return ["## Images of 224 pixels", "", text, "", *table(header, rows)] if cells else []


def losses(result: dict[str, Any]) -> list[str]:
    """W6."""
    cells = of(result, "loss")
    names = list(dict.fromkeys(name for cell in cells for name in cell["seconds"]))
    rows = [[*cell["cell"][1:], *[_milliseconds(cell, name) for name in names]] for cell in cells]
    header = ["loss", "n", "d", *[NAMES.get(name, name) for name in names]]
    text = "Value and gradient, ms. Sinkhorn: 50 iterations in the logarithmic domain, of which POT alone has a form."
    return ["## Losses alone", "", text, "", *table(header, rows)] if cells else []


def _milliseconds(cell: dict[str, Any], name: str) -> str:
    return spread(1000 * np.array(cell["seconds"][name])) if name in cell["seconds"] else "absent"


def start(result: dict[str, Any]) -> list[str]:
    """W5 and the machine's peak."""
    peak = ", ".join(f"{k} {found.get('flops_a_second', 0.0) / 1e9:.0f}" for k, found in result["peak"].items())
    made = ", ".join(f"{kind} {seconds['command']:.1f} s" for kind, seconds in result["start"].items())
    text = f"From the command to the end of a run of one step: {made}." if made else ""
    return [text, *_study(result), f"Matrix product in float32, GFLOP/s: {peak}."]


def _study(result: dict[str, Any]) -> list[str]:
    parts = [f"{kind} {one['compile']:.1f} of {one['command']:.1f} s" for kind, one in result["study"].items()]
    return [f"Compiling in a study of 4 methods with 5 seeds, digits, 800 steps: {', '.join(parts)}."] if parts else []


def absent(result: dict[str, Any]) -> list[str]:
    """Who could not be timed in what, and why."""
    gone = [(cell["cell"], name, why) for cell in result["cells"] for name, why in cell["absent"].items()]
    return ["## Absent", "", *[f"- {' '.join(cell)}, {name}: {why}" for cell, name, why in gone]] if gone else []


def plot(result: dict[str, Any], path: Path) -> None:
    """Bars: how many times as fast as the tuned loop each contestant is."""
    import matplotlib.pyplot as plt

    cells = of(result, "steps")
    if not cells:
        return
    names = list(dict.fromkeys(name for cell in cells for name in cell["seconds"]))
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    for i, name in enumerate(names):
        heights = [_over_ours(cell, name) for cell in cells]
        axes.bar(np.arange(len(cells)) + i * 0.8 / len(names), heights, 0.8 / len(names), label=NAMES.get(name, name))
    axes.set_xticks(np.arange(len(cells)) + 0.4, [" ".join(cell["cell"][1:]) for cell in cells], rotation=20)
    axes.set_ylabel("steps a second, ours = 1")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, frameon=False)
    figure.savefig(path, dpi=120)


def _over_ours(cell: dict[str, Any], name: str) -> float:
    found = rates(cell)
    return float(np.median(found[name]) / np.median(found["ours"])) if name in found and "ours" in found else 0.0
