"""The first signal is a request, the second one stops; outside, signals are what they were."""

import os
import signal
import threading

import pytest

from da_bench.core.shutdown import SIGNALS, Request, Stopped, listening


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_asks(number):
    with listening() as request:
        request.raise_if_made()
        os.kill(os.getpid(), number)
        assert request.signal == number
        with pytest.raises(Stopped) as caught:
            request.raise_if_made()
    assert caught.value.signal == number
    assert isinstance(caught.value, KeyboardInterrupt)  # so that nobody's `except Exception` swallows it


@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_stops_at_once(second):
    with listening():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped) as caught:
            os.kill(os.getpid(), second)
    assert caught.value.signal == second


def test_signals_are_afterwards_what_they_were():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), listening():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_another_thread_hears_none_and_does_no_harm():
    found, before = [], [signal.getsignal(number) for number in SIGNALS]

    def listen():
        with listening() as request:
            found.append((request, [signal.getsignal(number) for number in SIGNALS]))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    ((request, within),) = found
    assert request.signal is None
    assert within == before


def test_nobody_asked():
    Request().raise_if_made()
