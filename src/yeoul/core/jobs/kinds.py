"""Kinds: what jobs there are, what they take and give, and how often they are tried."""

import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from yeoul.core.jobs.errors import InvalidJobInput, UnknownKind


@dataclass(frozen=True)
class Backoff:
    """Seconds to wait before the next attempt: doubling from ``first`` to ``longest``, half of it random."""

    first: float = 1.0
    longest: float = 60.0

    def seconds(self, attempt: int) -> float:
        """The wait after a failed ``attempt`` (1 is the first)."""
        whole = min(self.first * 2.0 ** min(attempt - 1, 16), self.longest)
        return whole * (0.5 + random.random() / 2)  # noqa: S311  (jitter, not a secret)


@dataclass(frozen=True)
class Kind:
    """A job's type: its handler, and the rules that hold for its jobs.

    ``timeout`` is in seconds for one attempt. A kind that is not ``public`` is submitted by our own code alone. One
    for ``everywhere`` is run by every worker, also by those that a setting keeps to other kinds.
    """

    name: str
    handler: Callable[[Any, Any], Awaitable[BaseModel | None]]
    input: type[BaseModel]
    output: type[BaseModel] | None = None
    max_attempts: int | None = None
    timeout: float = 3600
    backoff: Backoff = field(default_factory=Backoff)
    public: bool = True
    everywhere: bool = False

    def parse(self, value: object) -> BaseModel:
        """The typed input; raises ``InvalidJobInput`` with what is wrong where."""
        try:
            return self.input.model_validate(value)
        except ValidationError as error:
            raise InvalidJobInput(
                f"The input does not fit kind {self.name}. See its schema at /api/jobs/kinds.",
                errors=[
                    {"loc": ["body", "input", *item["loc"]], "message": item["msg"], "type": item["type"]}
                    for item in error.errors(include_url=False, include_input=False, include_context=False)
                ],
            ) from None


class Kinds:
    """The kinds a process knows."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}

    def add(self, kind: Kind) -> None:
        """Registers a kind; its name must be free."""
        if "," in kind.name:
            raise ValueError(f"a kind's name has no comma: {kind.name!r}")  # workers are told kinds between commas
        if kind.name in self._kinds and self._kinds[kind.name] != kind:
            raise ValueError(f"two handlers are registered for kind {kind.name!r}")
        self._kinds[kind.name] = kind

    def get(self, name: str) -> Kind:
        """The kind of this name; raises ``UnknownKind``."""
        try:
            return self._kinds[name]
        except KeyError:
            known = ", ".join(sorted(kind.name for kind in self if kind.public))
            raise UnknownKind(f"There is no kind {name!r} here. Known kinds: {known}.") from None

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._kinds)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())
