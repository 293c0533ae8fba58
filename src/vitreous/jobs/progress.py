"""Progress with the time left: a bar on a terminal, plain lines elsewhere, JSON lines for programs."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from statistics import median_low
from time import perf_counter
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vitreous.jobs.history import to_json
from vitreous.jobs.notebook import notebook_bar
from vitreous.words import printable

__all__ = [
    "Forecast",
    "Reporter",
    "describe_bytes",
    "describe_duration",
    "describe_step",
    "follow",
    "reporting",
    "watching",
]

PATIENCE_S = 2.0  # before a call in Python shows a bar
Forecast = Callable[[Sequence[Mapping[str, Any]]], float]  # what every step has said -> seconds left after the last


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """Tells the user what happens. Human text goes to one stream, JSON lines (if asked for) to the other."""

    console: Console
    json_stream: TextIO | None
    total: int
    clock: "_Clock"
    move: Callable[[float, str, str | None], None] | None = None  # of the bar: done, time left, figures

    def say(self, text: str) -> None:
        """A sentence for the human, and an event {"event": "message"} for the program."""
        self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        self.emit("message", {"text": text})

    def emit(self, event: str, content: Mapping[str, Any]) -> None:
        """A JSON line with the key "event"; nothing without ``--json``."""
        if self.json_stream is not None:
            print(to_json({"event": event, **content}), file=self.json_stream, flush=True)

    def within(self, fraction: float) -> None:
        """How much of the iteration in progress is done, 0..1; moves the bar only."""
        if self.move is not None:
            seconds = self.clock.seconds_left(min(max(fraction, 0.0), 1.0), self.total)
            self.move(self.clock.shown(fraction, self.total, seconds), _left(seconds), None)

    def step(self, info: Mapping[str, Any]) -> None:
        """One iteration is complete: the driver's ``on_step``."""
        self.clock.step(info)
        seconds = self.clock.seconds_left(0.0, self.total)
        if self.move is not None:
            self.move(self.clock.shown(0.0, self.total, seconds), _left(seconds), describe_step(info))
        else:
            text = f"iteration {info['iteration']}/{self.total}  {describe_step(info)}  {_left(seconds)}"
            self.console.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)
        self.emit("iteration", {**info, "seconds_left": seconds})


def _left(seconds: float | None) -> str:
    return f"about {describe_duration(seconds)} left" if seconds else ""


@dataclass
class _Clock:
    """When the counting began, what an earlier run had done by then, and what is done now (in iterations).

    forecast: seconds left after the steps that there have been, where the job has one; without it, every iteration is
    taken to cost what the median one has: the first one may have compiled loops, which takes longer than the rest.
    """

    done: int
    now: Callable[[], float]
    forecast: Forecast | None
    steps: list[Mapping[str, Any]]
    lasted: list[float] = field(default_factory=list)
    start: float = field(init=False)
    stepped: float = field(init=False)
    left: float | None = None

    def __post_init__(self) -> None:
        self.start = self.stepped = self.now()

    def step(self, info: Mapping[str, Any]) -> None:
        now, reached = self.now(), int(info["iteration"])
        self.lasted.append((now - self.stepped) / max(reached - self.done, 1))
        self.done, self.stepped = reached, now
        self.steps.append(info)
        if self.forecast is not None:
            self.left = self.forecast(self.steps)

    def seconds_left(self, fraction: float, total: int) -> float | None:
        """With a fraction of the next iteration done."""
        if self.forecast is not None:
            return None if self.left is None else max(self.left - (self.now() - self.stepped), 0.0)
        if self.lasted:
            return max(total - self.done - fraction, 0) * median_low(self.lasted)
        return max(total - self.done - fraction, 0) * (self.now() - self.start) / fraction if fraction > 0 else None

    def shown(self, fraction: float, total: int, seconds: float | None) -> float:
        """Where the bar is: at the share of iterations, or of the time where that is foreseen."""
        if self.forecast is None or seconds is None:
            return self.done + fraction
        spent = sum(float(info["seconds"]) for info in self.steps) + self.now() - self.stepped
        return total * spent / max(spent + seconds, 1e-9)


@contextmanager
def reporting(
    title: str,
    *,
    total: int,
    first: int = 0,
    forecast: Forecast | None = None,
    before: Sequence[Mapping[str, Any]] = (),
    now: Callable[[], float] = perf_counter,
    json: bool = False,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> Iterator[Reporter]:
    """A reporter for a job of at most ``total`` iterations, ``first`` of them done by an earlier run.

    forecast: says what time is left (:mod:`vitreous.jobs.forecasts`), from what the iterations have said, those
    ``before`` in an earlier run included; now: the clock.
    Without ``json`` human text goes to standard output: a bar with the time left on a terminal, one plain line per
    iteration elsewhere. With ``json`` standard output carries JSON lines only and human text goes to standard error.
    """
    stdout, stderr = stdout or sys.stdout, stderr or sys.stderr
    console = Console(file=stderr if json else stdout)
    clock = _Clock(done=first, now=now, forecast=forecast, steps=list(before))
    reporter = Reporter(console=console, json_stream=stdout if json else None, total=total, clock=clock)
    if not console.is_terminal:
        yield reporter
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("[dim]{task.fields[figures]}"),
    )
    with Progress(*columns, console=console, transient=False) as bar:
        task = bar.add_task(title, total=total, completed=first, left="", figures="")

        def move(done: float, left: str, figures: str | None) -> None:
            bar.update(task, completed=done, left=left)
            if figures is not None:
                bar.update(task, figures=figures)

        yield replace(reporter, move=move)


@contextmanager
def watching(
    title: str,
    *,
    total: int,
    forecast: Forecast | None = None,
    quiet: bool = False,
    now: Callable[[], float] = perf_counter,
) -> Iterator[Reporter]:
    """A reporter for a call in Python: a bar that appears after two seconds and goes at the end, and no sentences.

    It is there on a terminal and in a notebook; elsewhere, and where it is to be ``quiet``, there is nothing.
    """
    clock = _Clock(done=0, now=now, forecast=forecast, steps=[])
    reporter = Reporter(console=Console(quiet=True), json_stream=None, total=total, clock=clock)
    console = Console(file=sys.stderr)
    if quiet or not (console.is_terminal or console.is_jupyter):
        yield reporter
        return
    with ExitStack() as showing:
        start = now()
        show: Callable[[float, str], None] | None = None

        def move(done: float, left: str, figures: str | None) -> None:
            nonlocal show
            if show is None and now() - start < PATIENCE_S:
                return
            show = show or showing.enter_context(notebook_bar(title) if console.is_jupyter else _bar(title, console))
            show(done / max(total, 1), left)

        yield replace(reporter, move=move)


@contextmanager
def _bar(title: str, console: Console) -> Iterator[Callable[[float, str], None]]:
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[left]}"),
    )
    # What is printed meanwhile goes where it would go without a bar.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(title, total=1.0, left="")
        yield lambda share, left: bar.update(task, completed=share, left=left)


def follow(reporter: Reporter) -> Callable[[int, int, str], None]:
    """Progress inside an iteration moves the bar; other work is named when it begins."""
    at = ""

    def follow(done: int, total: int, what: str) -> None:
        nonlocal at
        if what == "matching":
            reporter.within(done / max(total, 1))
        elif what != at:
            reporter.say(f"{what} ...")
        at = what

    return follow


def describe_step(info: Mapping[str, Any]) -> str:
    """The figures of one iteration that a user wants to see go by, those that are there."""
    parts = (
        ("run", "classification {}"),
        ("pass", "pass {}"),
        ("resolution_A", "{:.1f} Å"),
        ("changed_fraction", "changed {:.1%}"),
        ("score", "score {:.1f}"),
        ("mean_max_probability", "Pmax {:.2f}"),
        ("effective_classes", "{:.1f} classes"),
        ("log_posterior", "log posterior {:,.0f}"),
        ("seconds", "{:.1f} s"),
    )
    return "  ".join(form.format(info[key]) for key, form in parts if info.get(key) is not None)


def describe_duration(seconds: float) -> str:
    """A duration in at most two units: "42 s", "3 min 5 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def describe_bytes(count: float) -> str:
    """An amount of memory: "512 MB", "4.0 GB"."""
    for unit, size in (("GB", 2**30), ("MB", 2**20)):
        if count >= size:
            return f"{count / size:.{0 if count >= 10 * size else 1}f} {unit}"
    return f"{count / 2**10:.0f} KB"
