"""Stopping on request: after Ctrl-C or SIGTERM, runs save their progress first. A second signal stops at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Stopped on request; the progress is saved.

    Attributes:
        signal: number of the signal that asked for it.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class StopRequest:
    """Whether a signal asked to stop.

    Attributes:
        signal: its number; None while none has come.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def raise_if_requested(self) -> None:
        """Raise Stopped if a signal has come."""
        if self.signal is not None:
            raise Stopped(self.signal)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first signal to stop inside the block into a request.

    Threads other than the main one receive no signals, so the request stays empty there.

    Raises:
        Stopped: at a second signal.
    """
    request = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if request.signal is not None:
            raise Stopped(number)
        request.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
