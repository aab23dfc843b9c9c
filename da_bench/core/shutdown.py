"""Stopping when asked to: on Ctrl-C or SIGTERM what is being made is saved first. A second Ctrl-C stops at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Stopped on request, all that was reached being saved; `signal` is what asked for it."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class Request:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def raise_if_made(self) -> None:
        """Raise Stopped if a signal has come."""
        if self.signal is not None:
            raise Stopped(self.signal)


@contextlib.contextmanager
def listening() -> Iterator[Request]:
    """Within it, the first signal to stop only makes the request. Other threads than the main one hear none."""
    request = Request()

    def heard(number: int, frame: FrameType | None) -> None:
        if request.signal is not None:
            raise Stopped(number)
        request.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, heard) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
