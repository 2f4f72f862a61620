"""How a download is shown: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from yeoul.core.llm.downloads import Report

_LINE_SECONDS = 5
_MEGABYTE = 1_000_000


class PlainReport:
    """Says where a download stands in lines of text, one each 5 seconds."""

    def __init__(self, name: str, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._say = say
        self._clock = clock
        self._last: tuple[float, int] | None = None

    def line(self, text: str) -> None:
        """Says it."""
        self._say(text)

    def moved(self, done: int, total: int) -> None:
        """Says it when the last time was long enough ago."""
        now = self._clock()
        if self._last is None:
            self._last = (now, done)
            self._say(f"{self._name}: downloading {total / _MEGABYTE:,.0f} MB, {done / _MEGABYTE:,.0f} MB are here.")
            return
        then, before = self._last
        if now - then >= _LINE_SECONDS:
            self._last = (now, done)
            speed = max(done - before, 0) / (now - then) / _MEGABYTE
            self._say(
                f"{self._name}: {done / _MEGABYTE:,.1f} of {total / _MEGABYTE:,.1f} MB "
                f"({done / total:.0%}), {speed:,.1f} MB/s."
            )


def bar(console: Console, **how: Any) -> Progress:  # noqa: ANN401  (what rich's takes)
    """A bar for downloads: bytes, speed and time left."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=console, **how)


class BarReport:
    """Moves a bar."""

    def __init__(self, name: str, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None)

    def line(self, text: str) -> None:
        """Says it above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)

    def moved(self, done: int, total: int) -> None:
        """So many bytes are here."""
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def shown(name: str) -> Iterator[Report]:
    """A report for people: on standard error, as a bar when that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainReport(name, lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201  (who asked is watching)
        return
    with bar(console) as progress:
        yield BarReport(name, progress)
