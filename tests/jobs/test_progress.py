"""What is told to people and what to programs."""

import io
import json
import sys
from types import ModuleType

from rich.console import Console

from vitreous.jobs import progress
from vitreous.jobs.progress import describe_duration, describe_step, reporting

INFO = {"iteration": 2, "resolution_A": 24.13, "changed_fraction": 0.123, "seconds": 4.2}


def test_plain_lines_without_a_terminal():
    out, err = io.StringIO(), io.StringIO()
    with reporting("class2d", total=25, stdout=out, stderr=err) as reporter:
        reporter.say("5000 particles [64 px]")
        reporter.within(0.5)
        reporter.step(INFO)
    lines = out.getvalue().splitlines()
    assert lines[0] == "5000 particles [64 px]"
    assert lines[1].startswith("iteration 2/25  24.1 Å  changed 12.3%  4.2 s  about ")
    assert lines[1].endswith(" left")
    assert err.getvalue() == ""


def test_json_on_stdout_and_words_on_stderr():
    out, err = io.StringIO(), io.StringIO()
    with reporting("class2d", total=4, json=True, stdout=out, stderr=err) as reporter:
        reporter.say("hello")
        reporter.step({**INFO, "log_likelihood": float("nan")})
        reporter.emit("result", {"folder": "out"})
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [e["event"] for e in events] == ["message", "iteration", "result"]
    assert events[1]["log_likelihood"] is None
    assert events[1]["seconds_left"] >= 0
    assert "hello" in err.getvalue()
    assert "iteration 2/4" in err.getvalue()


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    out = io.StringIO()
    with reporting("class2d", total=4, first=1, stdout=out) as reporter:
        reporter.within(0.5)
        reporter.step(INFO)
    text = out.getvalue()
    assert "class2d" in text
    assert "50%" in text
    assert "24.1 Å" in text


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def test_what_a_job_foresees_is_said_and_runs_down(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    clock, out, seen = Clock(), io.StringIO(), []

    def forecast(steps):
        seen.append([step["iteration"] for step in steps])
        return 30.0

    before = [{"iteration": 1, "seconds": 6.0}]
    with reporting("refining", total=25, first=1, forecast=forecast, before=before, now=clock, stdout=out) as reporter:
        reporter.within(0.5)
        assert "left" not in out.getvalue()  # a first pass says nothing of the others yet
        clock.seconds += 4.0
        reporter.step({"iteration": 2, "seconds": 4.0})
        clock.seconds += 10.0
        reporter.within(0.9)
    assert seen == [[1, 2]]
    text = out.getvalue()
    assert "about 20 s left" in text
    assert "50%" in text  # 6 + 4 + 10 s of 40, whatever the most passes are


def test_without_a_forecast_all_iterations_cost_the_same():
    clock, out = Clock(), io.StringIO()
    with reporting("neighbours", total=10, first=2, now=clock, stdout=out) as reporter:
        clock.seconds += 4.0
        reporter.step({"iteration": 4, "seconds": 2.0})
    assert out.getvalue().strip().endswith("about 12 s left")


def test_without_a_forecast_a_first_iteration_that_compiles_does_not_frighten():
    clock, out = Clock(), io.StringIO()
    with reporting("initial", total=12, now=clock, stdout=out) as reporter:
        for iteration, seconds in enumerate((36.0, 1.0, 1.0), 1):
            clock.seconds += seconds
            reporter.step({"iteration": iteration, "seconds": seconds})
    assert out.getvalue().strip().endswith("about 9 s left")


def test_durations():
    assert [describe_duration(s) for s in (0.2, 42, 185, 7805)] == ["0 s", "42 s", "3 min 5 s", "2 h 10 min"]


def test_missing_figures_are_left_out():
    assert describe_step({"iteration": 1, "resolution_A": None}) == ""


class _Seen:
    """What a notebook was shown, one after the other."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, html: str) -> None:
        self.shown.append(html)

    update = display


def test_a_call_in_a_notebook_has_a_bar_after_two_seconds_that_goes_at_the_end(monkeypatch):
    seen, clock = _Seen(), [0.0]
    display = ModuleType("IPython.display")
    display.HTML, display.DisplayHandle = str, lambda: seen  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    notebook = lambda **options: Console(**options, force_jupyter=not options.get("quiet"))  # noqa: E731
    monkeypatch.setattr(progress, "Console", notebook)
    with progress.watching("working", total=4, now=lambda: clock[0]) as reporter:
        clock[0] = 1.0
        reporter.within(0.5)
        assert seen.shown == []
        clock[0] = 3.0
        reporter.step({"iteration": 1})
        reporter.within(0.5)
    assert seen.shown[0] == seen.shown[-1] == ""
    assert any("working <progress" in html for html in seen.shown)


def test_a_call_is_silent_where_nobody_looks_and_where_it_is_to_be(capsys, monkeypatch):
    with progress.watching("working", total=2) as reporter:
        assert reporter.move is None  # neither a terminal nor a notebook
        reporter.say("a sentence")
        reporter.step({"iteration": 1})
    monkeypatch.setattr(progress, "Console", lambda **options: Console(**options, force_terminal=True))
    with progress.watching("working", total=2, quiet=True) as reporter:
        assert reporter.move is None
    assert capsys.readouterr() == ("", "")
