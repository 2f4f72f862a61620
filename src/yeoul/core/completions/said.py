"""What a client has been told of an answer that may begin anew.

An attempt that ends without a result voids its text, and the next one says it again. Text that has been sent cannot be
taken back in most dialects, but it need not be: a model that answers alike repeats what the client holds, and only what
follows it is sent. Where the new attempt says something else, the two part, and the dialect says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Range = tuple[int, int]
"""Text with a seq between the two is void."""


class Parted(Exception):
    """The answer no longer begins with what the client holds. ``text`` is what stands instead, so far."""

    def __init__(self, text: str) -> None:
        super().__init__("the answer began anew and differs")
        self.text = text


class Said:
    """The text of a job, as its ``text`` and ``retrying`` events give it, and how much of it the client holds.

    ``void``: what is known to be void before the first event is read.
    """

    def __init__(self, void: Sequence[Range] = ()) -> None:
        self._void = void
        self._pieces: list[tuple[int, str]] = []
        self._again = ""  # what the client holds beyond the pieces, and the next attempt has to repeat

    @property
    def text(self) -> str:
        """What stands now."""
        return "".join(piece for _, piece in self._pieces)

    @property
    def held(self) -> str:
        """What the client holds."""
        return self.text + self._again

    def more(self, seq: int, delta: str) -> str:
        """What of a text event is new to the client; raises ``Parted``."""
        if any(after < seq < until for after, until in self._void):
            return ""
        self._pieces.append((seq, delta))
        repeated = self._again[: len(delta)]
        if not delta.startswith(repeated):
            raise Parted(self.text)
        self._again = self._again[len(repeated) :]
        return delta[len(repeated) :]

    def retry(self, void_after: int) -> None:
        """Takes a ``retrying`` event: text after ``void_after`` is void."""
        self._again = "".join(piece for seq, piece in self._pieces if seq > void_after) + self._again
        self._pieces = [(seq, piece) for seq, piece in self._pieces if seq <= void_after]

    def end(self) -> None:
        """Takes ``succeeded``; raises ``Parted`` when the client holds more than the whole answer."""
        if self._again:
            raise Parted(self.text)

    def forget(self) -> None:
        """The client has been told that only ``text`` stands."""
        self._again = ""


def void_range(seq: int, retrying: Mapping[str, Any]) -> Range:
    """What a ``retrying`` event, at ``seq``, makes void."""
    return int(retrying["void_after"]), seq
