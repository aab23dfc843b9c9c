"""The first signal is a request, the second one stops; outside, signals are what they were."""

import os
import signal
import threading

import pytest

from da_bench.core.shutdown import SIGNALS, Stopped, StopRequest, stop_on_signal


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_asks(number):
    with stop_on_signal() as request:
        request.raise_if_requested()
        os.kill(os.getpid(), number)
        assert request.signal == number
        with pytest.raises(Stopped) as caught:
            request.raise_if_requested()
    assert caught.value.signal == number
    assert isinstance(caught.value, KeyboardInterrupt)  # so that nobody's `except Exception` swallows it


@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_stops_at_once(second):
    with stop_on_signal():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped) as caught:
            os.kill(os.getpid(), second)
    assert caught.value.signal == second


def test_signals_are_afterwards_what_they_were():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), stop_on_signal():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_another_thread_hears_none_and_does_no_harm():
    found, before = [], [signal.getsignal(number) for number in SIGNALS]

    def listen():
        with stop_on_signal() as request:
            found.append((request, [signal.getsignal(number) for number in SIGNALS]))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    ((request, within),) = found
    assert request.signal is None
    assert within == before


def test_nobody_asked():
    StopRequest().raise_if_requested()
