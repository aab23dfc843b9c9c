"""Progress counts finished runs, prints lines that a program can parse, and is silent in the mode "none"."""

import json

import pytest

from da_bench.core import progress
from da_bench.core.progress import MODE, ProgressReporter


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test advances."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


@pytest.fixture(params=["line", "json", "none"])
def mode(request):
    before = MODE.set(request.param)
    yield request.param
    MODE.reset(before)


def make_reporter(mode, runs=3, steps=300):
    before = MODE.set(mode)
    try:
        return ProgressReporter(runs, steps)
    finally:
        MODE.reset(before)


def report_two_groups(reporter, clock):
    """Report two groups: two runs of 100 steps, then one that fails."""
    with reporter:
        reporter.start_group("first", 2)
        for step in (20, 60, 100):
            clock(20)
            reporter.update(step, {"loss": 1 / step})
        reporter.finish_runs(2)
        reporter.start_group("second", 1)
        clock(20)
        reporter.update(50, {})
        reporter.finish_runs(1, 1)


def test_plain_lines_are_printed_without_a_terminal(clock, capsys):
    report_two_groups(make_reporter("line"), clock)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "0 of 3 runs · 2 running: first · step 20 · loss 0.05",
        "0 of 3 runs · 2 running: first · step 60 · 4 steps/s · about 1:30 left · loss 0.0167",
        "0 of 3 runs · 2 running: first · step 100 · 4 steps/s · about 0:37 left · loss 0.01",
        "2 of 3 runs · loss 0.01",
        "2 of 3 runs · 1 running: second · step 50",
        "3 of 3 runs · 1 failed",
    ]


def test_json_lines_parse_and_count(clock, capsys):
    report_two_groups(make_reporter("json"), clock)
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    assert {line["event"] for line in lines} == {"progress"}
    assert [(line["done"], line["running"], line["failed"], line["step"]) for line in lines] == [
        (0, 2, 0, 0),
        (0, 2, 0, 20),
        (0, 2, 0, 60),
        (0, 2, 0, 100),
        (2, 0, 0, 100),
        (2, 1, 0, 0),
        (2, 1, 0, 50),
        (3, 0, 1, 50),
    ]
    assert lines[2]["steps_per_second"] == 4


def test_none_is_silent(clock, capsys):
    report_two_groups(make_reporter("none"), clock)
    assert capsys.readouterr() == ("", "")


def test_reports_are_at_least_ten_seconds_apart(clock, capsys):
    reporter = make_reporter("line")
    reporter.start_group("first", 1)
    for step in range(1, 100):
        clock(1)
        assert reporter.should_report() == (step % 10 == 0)
        reporter.update(step, {})
    assert len(capsys.readouterr().err.splitlines()) == 9


def test_a_note_is_printed_in_every_mode(mode, capsys):
    text = 'a checkpoint is damaged: "x" [bold]'
    ProgressReporter(1, 1).note(text)
    out, err = capsys.readouterr()
    if mode == "json":
        assert json.loads(out) == {"event": "note", "text": text}
    else:
        assert (out, err) == ("", text + "\n")


def test_a_terminal_shows_one_updated_line(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    reporter = make_reporter("line")
    assert reporter.mode == "line"
    report_two_groups(reporter, clock)
    assert capsys.readouterr().out == ""


def test_steps_of_an_earlier_session_do_not_count_in_the_rate(clock):
    reporter = make_reporter("none", runs=1, steps=100)
    reporter.start_group("first", 1)
    clock(1)
    reporter.update(90, {})
    assert reporter.as_dict()["steps_per_second"] == 0
    clock(1)
    reporter.update(95, {})
    assert str(reporter).endswith("5 steps/s · about 0:02 left")


def test_the_rate_is_never_negative_between_runs(clock):
    """Streamed runs start at step 0, one after another."""
    reporter = make_reporter("none")
    for _ in range(2):
        reporter.start_group("streamed", 1)
        for step in (10, 100):
            clock(1)
            reporter.update(step, {})
            assert reporter.rate >= 0
    assert reporter._steps_done == 200


def test_progress_of_another_process_is_relayed(clock, capsys):
    """The reporter of the process that waits relays lines of the reporter of the process that computes."""
    with make_reporter("json", runs=1, steps=100) as computing, make_reporter("none", runs=2, steps=200) as waiting:
        computing.start_group("alone", 1), waiting.start_group("alone", 1)
        for step in (40, 80):
            clock(20)
            computing.update(step, {"loss": 1 / step})
        computing.note("slow")
        lines = capsys.readouterr().out.splitlines()
        for line in lines:
            waiting.relay(line)
    assert (waiting.as_dict()["step"], waiting.as_dict()["metrics"]) == (80, "loss 0.0125")
    assert (waiting.done, waiting.running) == (0, 1)  # only a record makes a run done
    assert "slow" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["of a method", '{"event": "progress", "step": "x"}', "[1]", ""])
def test_any_other_line_is_a_note(line, capsys):
    make_reporter("none").relay(line)
    assert line in capsys.readouterr().err
