"""How far a run is: bars on a terminal, elsewhere a line at every phase and every minute."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sae_bench.cli.console import err, is_quiet

if TYPE_CHECKING:
    from sae_bench.run.evaluate import Listener
    from sae_bench.run.forecast import ModelForecast

logger = logging.getLogger(__name__)

MINUTE = 60.0
"""Seconds between two lines of one phase."""


class RunState:
    """What is known of a run at a moment.

    Args:
        clock: seconds, as `time.perf_counter` counts them.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._start = self._phase_start = clock()
        self.phase = "starting"
        self.tokens = self.tokens_read = 0
        self.done = self.failed = self.asked = 0

    def begin(self, phase: str, tokens: int) -> None:
        """A new phase; `tokens` of it will be read, 0 for one that reads none."""
        self.phase, self.tokens, self.tokens_read = phase, tokens, 0
        self._phase_start = self._clock()

    def seconds_left(self) -> float | None:
        """Of this phase, at the speed it has had so far; None if it reads nothing or has not begun to."""
        if not self.tokens_read or not self.tokens:
            return None
        return (self._clock() - self._phase_start) / self.tokens_read * max(self.tokens - self.tokens_read, 0)

    def line(self) -> str:
        """What is done, what is left, and how long this phase will take."""
        parts = [f"{duration(self._clock() - self._start)}: {self.phase}"]
        if self.tokens:
            parts.append(f"{self.tokens_read:,} of {self.tokens:,} tokens")
        left = self.seconds_left()
        if left is not None:
            parts.append(f"{duration(left)} left of this phase")
        if self.asked:
            failed = f", {self.failed} failed" if self.failed else ""
            parts.append(f"{self.done} of {self.asked} results done{failed}")
        return "; ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def line_of_run(forecast: ModelForecast) -> str:
    """What a run that has prepared its evals still takes, as far as it is known."""
    n_saes = f"{forecast.n_saes} SAE" + ("" if forecast.n_saes == 1 else "s")
    parts = {
        f"the model over {forecast.tokens:,} tokens": forecast.pass_seconds,
        "codes": forecast.all_codes_seconds,
        "scores": forecast.all_score_seconds,
    }
    known = {what: seconds for what, seconds in parts.items() if seconds is not None}
    said = ", ".join(f"{duration(seconds)} for {what}" for what, seconds in known.items())
    if len(known) == len(parts):
        return f"{n_saes}: about {duration(sum(known.values()))} from here ({said})"
    missing = " and ".join(what for what in parts if what not in known)
    return f"{n_saes}: about {said}; how long {missing} will take, no result in this folder tells"


class RunProgress:
    """Keeps the state of a run, moves the bars, and says lines where there are no bars."""

    def __init__(self, bars: Progress | None) -> None:
        self.state = RunState()
        self._bars = bars
        if bars is not None:
            self._results = bars.add_task("results", total=None, visible=False)
            self._phase = bars.add_task("starting", total=None)

    @property
    def listener(self) -> Listener:
        """What a run tells of itself comes here."""
        from sae_bench.run.evaluate import Listener

        return Listener(self.phase, self.advance, self.result, self.forecast)

    def phase(self, name: str, tokens: int) -> None:
        """A new phase; one that reads tokens shows how far it is."""
        self.state.begin(name, tokens)
        if self._bars is not None:
            self._bars.remove_task(self._phase)  # a task that is reset keeps its old total
            self._phase = self._bars.add_task(name, total=tokens or None)
        self.say()

    def advance(self, tokens: int) -> None:
        """So many more tokens were read."""
        self.state.tokens_read += tokens
        if self._bars is not None:
            self._bars.advance(self._phase, tokens)

    def result(self, done: int, failed: int, asked: int) -> None:
        """So many results are there, so many could not be made."""
        self.state.done, self.state.failed, self.state.asked = done, failed, asked
        if self._bars is not None:
            self._bars.update(self._results, total=asked, completed=done + failed, visible=True)

    def forecast(self, of_model: ModelForecast) -> None:
        """What is to be expected, above the bars; nothing where nothing is known."""
        if of_model.pass_seconds is None and of_model.all_score_seconds is None:
            return
        line = line_of_run(of_model)
        logger.info("%s", line)
        if self._bars is not None:
            self._bars.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def say(self) -> None:
        """One line of the log; shown where there are no bars."""
        logger.info("%s", self.state.line())


@contextmanager
def run_progress() -> Iterator[RunProgress]:
    """Bars on a terminal; lines go to the log in any case."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    if not err.is_terminal or is_quiet():
        progress = RunProgress(None)
        with _every_minute(progress.say):
            yield progress
        return
    with Progress(*columns, console=err, transient=True) as bars:
        progress = RunProgress(bars)
        with _every_minute(progress.say):
            yield progress


@contextmanager
def _every_minute(say: Callable[[], None], seconds: float = MINUTE) -> Iterator[None]:
    """Call `say` once a minute while the block runs."""
    stop = threading.Event()

    def speak() -> None:
        while not stop.wait(seconds):
            say()

    speaker = threading.Thread(target=speak, name="progress", daemon=True)
    speaker.start()
    try:
        yield
    finally:
        stop.set()
        speaker.join()
