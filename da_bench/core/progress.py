"""Progress of a study: a live line on a terminal, plain lines elsewhere, JSON lines for programs, or nothing.

Nothing here is a result, and nothing depends on target labels.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Literal

Mode = Literal["line", "json", "none"]
MODE: ContextVar[Mode] = ContextVar("progress", default="line")
SECONDS_BETWEEN_REPORTS = {"line": 0.2, "plain": 10.0, "json": 1.0, "none": float("inf")}  # at least


class ProgressReporter:
    """Reports how far the runs of a study are; to be used in a `with` block.

    Attributes:
        runs: number of runs to compute.
        steps: training steps of all of them together.
        done: runs that are on record now.
        running: runs of the current group.
        failed: runs on record without a result.
        label: of the current group.
        rate: steps a second, of all runs of the group together.
        metrics: text of the mean training metrics.
        mode: "line", "plain" (lines where there is no terminal), "json" or "none".
    """

    def __init__(self, runs: int, steps: int) -> None:
        self.runs, self.steps = runs, steps
        self.done = self.failed = self.running = 0
        self.label, self.rate, self.metrics = "", 0.0, ""
        self._group_step = 0  # of every run of the group
        self._steps_done = 0  # of all runs
        self._steps_timed = 0  # of these, the ones that this process has computed
        mode = MODE.get()
        self.mode = "plain" if mode == "line" and not sys.stderr.isatty() else mode
        self._live: Any = None
        self._started = self._last_report = self._last_update = time.monotonic()

    def __enter__(self) -> "ProgressReporter":
        if self.mode == "line" and self.runs:
            self._live = _live()
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def start_group(self, label: str, runs: int) -> None:
        """Report that a group of runs starts."""
        self.label, self.running, self.metrics, self.rate = label, runs, "", 0.0
        self._group_step, self._last_update = 0, time.monotonic()
        self._report(forced=self.mode == "json")

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report that every run of the group has done `step` steps, perhaps some in an earlier session.

        Args:
            step: steps done.
            metrics: means over the runs, by name.
        """
        self._update(step, ", ".join(f"{name} {value:.3g}" for name, value in metrics.items()))

    def relay(self, line: str) -> None:
        """Pass on a line, JSON or not, that the process of the only run prints in the mode "json"."""
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        match message:
            case {"event": "progress", "step": int(step), "metrics": str(metrics)}:
                if step > self._group_step:
                    self._update(step, metrics)
            case {"event": "note", "text": str(text)}:
                self.note(text)
            case _:
                self.note(line)

    def _update(self, step: int, metrics: str) -> None:
        now, previous = time.monotonic(), self._group_step
        new_steps = (step - previous) * self.running
        if previous:  # the first report of a group has no start to be timed from
            self.rate = new_steps / max(now - self._last_update, 1e-9)
            self._steps_timed += new_steps
        self._steps_done += new_steps
        self._group_step, self._last_update, self.metrics = step, now, metrics
        self._report()

    def should_report(self) -> bool:
        """Whether a report would be shown now; metrics are fetched from a device only then."""
        return time.monotonic() - self._last_report >= SECONDS_BETWEEN_REPORTS[self.mode]

    def finish_runs(self, runs: int, failed: int = 0) -> None:
        """Report that `runs` runs are on record now, `failed` of them without a result."""
        self.done, self.failed, self.running = self.done + runs, self.failed + failed, max(self.running - runs, 0)
        self._report(forced=True)

    def note(self, text: str) -> None:
        """Show one line to the user in every mode; as JSON for programs."""
        if self.mode == "json":
            print(json.dumps({"event": "note", "text": text}), flush=True)
        elif self._live:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _report(self, forced: bool = False) -> None:
        if self.mode == "none" or not (forced or self.should_report()):
            return
        self._last_report = time.monotonic()
        if self.mode == "json":
            print(json.dumps({"event": "progress", **self.as_dict()}), flush=True)
        elif self._live:
            self._live.update(_text(self), refresh=True)
        else:
            print(self, file=sys.stderr, flush=True)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of a JSON line."""
        return {
            "runs": self.runs,
            "done": self.done,
            "running": self.running,
            "failed": self.failed,
            "group": self.label,
            "step": self._group_step,
            "steps_per_second": round(self.rate, 2),
            "metrics": self.metrics,
        }

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.runs} runs"]
        parts += [f"{self.failed} failed"] * bool(self.failed)
        if self.running:
            parts += [f"{self.running} running: {self.label}", f"step {self._group_step}", *self._pace()]
        return " · ".join(part for part in [*parts, self.metrics] if part)

    def _pace(self) -> list[str]:
        if not self.rate:
            return []
        # by the mean pace so far, as compiling and evaluations take time too, now and then
        seconds_per_step = (self._last_update - self._started) / max(self._steps_timed, 1)
        left = int(max(self.steps - self._steps_done, 0) * seconds_per_step)
        return [f"{self.rate:.3g} steps/s", f"about {left // 60}:{left % 60:02d} left"]


def _live() -> Any:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(stderr=True), transient=True, auto_refresh=False)


def _text(progress: ProgressReporter) -> Any:
    from rich.text import Text

    return Text(str(progress), no_wrap=True, overflow="ellipsis")


def bar(rows: Iterable[Any], name: str, unit: str) -> Iterator[Any]:
    """Iterate over `rows` with a progress bar on a terminal.

    Args:
        rows: with a length, or without a total.
        name: shown next to the bar; "" shows no bar.
        unit: of the count, such as "images".
    """
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
    is_shown = bool(name) and MODE.get() == "line"
    description, console = TextColumn("{task.description}"), Console(stderr=True)
    with Progress(*columns, description, console=console, disable=not is_shown) as progress:
        yield from progress.track(rows, description=name)
