"""Where a reader of an execution is: the seq of the last event it has of every iteration.

Written as one part for each iteration, joined by dots: the seq in base 36, nothing for 0, ``-`` once its end has been
told. Iterations end and begin more or less in their order, so parts that are the same at the two ends are counted:
``-*120.1k.a3.*880``. A thousand iterations take a few dozen characters, not thousands in every message.
"""

import re
from collections.abc import Sequence
from itertools import islice

from yeoul.core.base.errors import InvalidInput
from yeoul.core.events.schemas import AGE_BITS

TOLD = -1
"""In place of a seq: the iteration's end has been told, and nothing comes after it."""

FIRST_AGE = 1 << AGE_BITS
"""Seqs from here on were given after a restore, which may have an iteration end anew: those are kept in full."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PART = re.compile(r"(-|[0-9a-z]{0,12})(?:\*([1-9][0-9]{0,3}))?")


class Cursor:
    """The seqs of a reader, one for each iteration; ``str`` is what a client keeps."""

    def __init__(self, seqs: Sequence[int]) -> None:
        self._seqs = list(seqs)
        self._begin = 0
        """All before it have been told."""
        self._end = next((n for n in range(len(seqs), 0, -1) if seqs[n - 1]), 0)
        """None from here on has begun."""

    def move(self, number: int, seq: int) -> None:
        """Sets one iteration's seq."""
        self._seqs[number] = seq
        self._end = max(self._end, number + 1)
        self._begin = min(self._begin, number)

    def __str__(self) -> str:
        while self._begin < len(self._seqs) and self._seqs[self._begin] == TOLD:
            self._begin += 1
        end = max(self._begin, self._end)
        parts = [f"-*{self._begin}"] if self._begin else []
        parts += [_written(seq) for seq in islice(self._seqs, self._begin, end)]
        if left := len(self._seqs) - end:
            parts.append(f"*{left}")
        return ".".join(parts)


def decode(cursor: str | None, count: int) -> list[int]:
    """The seqs of a cursor; raises ``InvalidInput``."""
    if not cursor:
        return [0] * count
    seqs: list[int] = []
    for part in cursor.split("."):
        found = _PART.fullmatch(part)
        if found is None or len(seqs) >= count:
            raise _not_ours()
        seqs += [_read(found[1])] * int(found[2] or 1)
    if len(seqs) != count:
        raise _not_ours()
    return seqs


def _not_ours() -> InvalidInput:
    return InvalidInput("This cursor is not one of this execution's; start again without it.")


def _written(seq: int) -> str:
    if seq == TOLD:
        return "-"
    digits = ""
    while seq:
        seq, digit = divmod(seq, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _read(part: str) -> int:
    if part == "-":
        return TOLD
    return int(part, 36) if part else 0
