"""How far a long step is: a bar in a terminal, plain lines elsewhere; nothing at all when it takes no second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from yeoul.commands.terminal import console, say

_FIRST_SECONDS, _LINE_SECONDS = 1.0, 5.0
_MEGABYTE = 1_000_000


class _Lines:
    """Says where the step stands, after a second and then every five."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._next = time.monotonic() + _FIRST_SECONDS

    def moved(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LINE_SECONDS
            total = f" of about {self._total / _MEGABYTE:,.0f}" if self._total > self._done else ""
            say(f"{self._what}: {self._done / _MEGABYTE:,.0f}{total} MB.")


@contextmanager
def shown(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function to be told of bytes as they move; ``total`` is about how many there will be."""
    out = console()
    if not out.is_terminal:
        yield _Lines(what, total).moved
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task(what, total=max(total, 1))
        done = 0

        def moved(count: int) -> None:
            nonlocal done
            done += count
            progress.update(task, completed=done, total=max(total, done))

        yield moved
