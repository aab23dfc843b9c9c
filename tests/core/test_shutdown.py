"""The first signal requests a stop, the second stops at once; afterwards, the old handlers are restored."""

import os
import signal
import threading

import pytest

from da_bench.core.shutdown import SIGNALS, Stopped, StopRequest, stop_on_signal


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_requests_a_stop(number):
    with stop_on_signal() as request:
        request.raise_if_requested()
        os.kill(os.getpid(), number)
        assert request.signal == number
        with pytest.raises(Stopped) as caught:
            request.raise_if_requested()
    assert caught.value.signal == number
    assert isinstance(caught.value, KeyboardInterrupt)  # so that no `except Exception` swallows it


@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_stops_at_once(second):
    with stop_on_signal():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped) as caught:
            os.kill(os.getpid(), second)
    assert caught.value.signal == second


def test_the_old_handlers_are_restored():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), stop_on_signal():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_other_threads_get_no_request_and_change_no_handler():
    results, before = [], [signal.getsignal(number) for number in SIGNALS]

    def listen():
        with stop_on_signal() as request:
            results.append((request, [signal.getsignal(number) for number in SIGNALS]))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    ((request, handlers),) = results
    assert request.signal is None
    assert handlers == before


def test_without_a_signal_nothing_is_raised():
    StopRequest().raise_if_requested()
