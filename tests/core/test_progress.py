"""Progress counts what is made, on lines that a program can read, and says nothing where nothing is wanted."""

import json

import pytest

from da_bench.core import progress
from da_bench.core.progress import MODE, ProgressReporter


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


@pytest.fixture(params=["line", "json", "none"])
def mode(request):
    before = MODE.set(request.param)
    yield request.param
    MODE.reset(before)


def shown(mode, runs=3, steps=300):
    before = MODE.set(mode)
    try:
        return ProgressReporter(runs, steps)
    finally:
        MODE.reset(before)


def made(sweep, clock):
    """Two groups of a sweep: two runs of 100 steps, then one that fails."""
    with sweep:
        sweep.start_group("first", 2)
        for step in (20, 60, 100):
            clock(20)
            sweep.update(step, {"loss": 1 / step})
        sweep.finish_runs(2)
        sweep.start_group("second", 1)
        clock(20)
        sweep.update(50, {})
        sweep.finish_runs(1, 1)


def test_plain_lines_elsewhere_than_on_a_terminal(clock, capsys):
    made(shown("line"), clock)
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
    made(shown("json"), clock)
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
    made(shown("none"), clock)
    assert capsys.readouterr() == ("", "")


def test_no_two_reports_too_soon_after_another(clock, capsys):
    sweep = shown("line")
    sweep.start_group("first", 1)
    for step in range(1, 100):
        clock(1)
        assert sweep.should_report() == (step % 10 == 0)
        sweep.update(step, {})
    assert len(capsys.readouterr().err.splitlines()) == 9


def test_a_note_is_said_in_every_mode(mode, capsys):
    text = 'a checkpoint is damaged: "x" [bold]'
    ProgressReporter(1, 1).note(text)
    out, err = capsys.readouterr()
    if mode == "json":
        assert json.loads(out) == {"event": "note", "text": text}
    else:
        assert (out, err) == ("", text + "\n")


def test_on_a_terminal_one_line_lives(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    sweep = shown("line")
    assert sweep.mode == "line"
    made(sweep, clock)
    assert capsys.readouterr().out == ""


def test_steps_of_an_earlier_session_are_no_pace_and_are_not_left(clock):
    sweep = shown("none", runs=1, steps=100)
    sweep.start_group("first", 1)
    clock(1)
    sweep.update(90, {})
    assert sweep.as_dict()["steps_per_second"] == 0
    clock(1)
    sweep.update(95, {})
    assert str(sweep).endswith("5 steps/s · about 0:02 left")


def test_runs_one_after_another_never_go_backwards(clock):
    """As streamed ones: each begins at step 0."""
    sweep = shown("none")
    for _ in range(2):
        sweep.start_group("streamed", 1)
        for step in (10, 100):
            clock(1)
            sweep.update(step, {})
            assert sweep.rate >= 0
    assert sweep._steps_done == 200


def test_what_a_process_says_of_the_run_is_passed_on(clock, capsys):
    """The sweep of the process that makes the run, heard by the one that waits for it, and what a method prints."""
    with shown("json", runs=1, steps=100) as there, shown("none", runs=2, steps=200) as here:
        there.start_group("alone", 1), here.start_group("alone", 1)
        for step in (40, 80):
            clock(20)
            there.update(step, {"loss": 1 / step})
        there.note("slow")
        said = capsys.readouterr().out.splitlines()
        for line in said:
            here.relay(line)
    assert (here.as_dict()["step"], here.as_dict()["metrics"]) == (80, "loss 0.0125")
    assert (here.done, here.running) == (0, 1)  # that it is on record, the record says
    assert "slow" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["of a method", '{"event": "progress", "step": "x"}', "[1]", ""])
def test_any_other_line_is_a_note(line, capsys):
    shown("none").relay(line)
    assert line in capsys.readouterr().err
