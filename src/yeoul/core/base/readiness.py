"""What a part of a process says when asked whether it can do its work."""

from collections.abc import Awaitable, Callable

Check = Callable[[], Awaitable[str | None]]
"""A readiness check: null when all is well, else what is wrong and what to do."""


class Note(str):
    """What a check has to say that keeps nobody from working: it is shown, and the check has passed."""

    __slots__ = ()
