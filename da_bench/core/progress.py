"""How far a sweep is: one live line on a terminal, plain lines elsewhere, JSON lines for programs, or nothing.

Nothing here is a result, and nothing of it depends on target labels.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Literal

Mode = Literal["line", "json", "none"]
MODE: ContextVar[Mode] = ContextVar("progress", default="line")
EVERY = {"line": 0.2, "plain": 10.0, "json": 1.0, "none": float("inf")}  # seconds between two reports at least


class Sweep:
    """The runs of a study as they are made.

    runs, steps: in all that are to be made; counts of runs are `done`, `running` and `failed`. To be used in a `with`.
    """

    def __init__(self, runs: int, steps: int) -> None:
        self.runs, self.steps = runs, steps
        self.done = self.failed = self.running = 0
        self.label, self.rate, self.metrics = "", 0.0, ""
        self._made = self._here = self._at = 0  # steps, those made times runs; here: not in an earlier session
        mode = MODE.get()
        self.mode = "plain" if mode == "line" and not sys.stderr.isatty() else mode
        self._live: Any = None
        self._begun = self._shown = self._since = time.monotonic()

    def __enter__(self) -> "Sweep":
        if self.mode == "line" and self.runs:
            self._live = _live()
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def begin(self, label: str, runs: int) -> None:
        """A group of runs starts."""
        self.label, self.running, self.metrics, self.rate = label, runs, "", 0.0
        self._at, self._since = 0, time.monotonic()
        self._show(forced=self.mode == "json")

    def reach(self, step: int, metrics: Mapping[str, float]) -> None:
        """Every run of the group has made `step` steps, some perhaps in an earlier session; `metrics`: their means."""
        self._reach(step, ", ".join(f"{name} {value:.3g}" for name, value in metrics.items()))

    def relay(self, line: str) -> None:
        """A line of the process that makes the only run there is now, in the mode "json"; what else it prints, too."""
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        match said:
            case {"event": "progress", "step": int(step), "metrics": str(metrics)}:
                if step > self._at:
                    self._reach(step, metrics)
            case {"event": "note", "text": str(text)}:
                self.note(text)
            case _:
                self.note(line)

    def _reach(self, step: int, metrics: str) -> None:
        now, before = time.monotonic(), self._at
        if before:
            self.rate = (step - before) * self.running / max(now - self._since, 1e-9)
            self._here += (step - before) * self.running
        self._made += (step - before) * self.running
        self._at, self._since, self.metrics = step, now, metrics
        self._show()

    def due(self) -> bool:
        """Whether a report would be shown now: metrics are not fetched from a device for nothing."""
        return time.monotonic() - self._shown >= EVERY[self.mode]

    def end(self, runs: int, failed: int = 0) -> None:
        """`runs` runs are on record now, `failed` of them without a result."""
        self.done, self.failed, self.running = self.done + runs, self.failed + failed, max(self.running - runs, 0)
        self._show(forced=True)

    def note(self, text: str) -> None:
        """One line for the user, whatever the mode; JSON for programs."""
        if self.mode == "json":
            print(json.dumps({"event": "note", "text": text}), flush=True)
        elif self._live:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _show(self, forced: bool = False) -> None:
        if self.mode == "none" or not (forced or self.due()):
            return
        self._shown = time.monotonic()
        if self.mode == "json":
            print(json.dumps({"event": "progress", **self.facts()}), flush=True)
        elif self._live:
            self._live.update(_text(self), refresh=True)
        else:
            print(self, file=sys.stderr, flush=True)

    def facts(self) -> dict[str, Any]:
        """The state of the sweep; steps_per_second is of all runs together."""
        return {
            "runs": self.runs,
            "done": self.done,
            "running": self.running,
            "failed": self.failed,
            "group": self.label,
            "step": self._at,
            "steps_per_second": round(self.rate, 2),
            "metrics": self.metrics,
        }

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.runs} runs"]
        parts += [f"{self.failed} failed"] * bool(self.failed)
        if self.running:
            parts += [f"{self.running} running: {self.label}", f"step {self._at}", *self._pace()]
        return " · ".join(part for part in [*parts, self.metrics] if part)

    def _pace(self) -> list[str]:
        if not self.rate:
            return []
        # by the pace of all so far: compiling and looks take their time too, now and then
        left = max(self.steps - self._made, 0) * (self._since - self._begun) / max(self._here, 1)
        return [f"{self.rate:.3g} steps/s", f"about {int(left) // 60}:{int(left) % 60:02d} left"]


def _live() -> Any:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(stderr=True), transient=True, auto_refresh=False)


def _text(sweep: Sweep) -> Any:
    from rich.text import Text

    return Text(str(sweep), no_wrap=True, overflow="ellipsis")


def bar(rows: Iterable[Any], name: str, unit: str) -> Iterator[Any]:
    """`rows`, with a bar on a terminal while they are gone through; `name` "" or another mode shows nothing."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn(), TimeRemainingColumn())
    shown = bool(name) and MODE.get() == "line"
    with Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True), disable=not shown) as made:
        yield from made.track(rows, description=name)
