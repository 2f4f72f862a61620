"""Traces, for the rooms that have something to tell; nothing at all while no collector is configured.

This module imports no OpenTelemetry: what is off costs one comparison. ``start`` turns it on for the process.

A trace begins with an HTTP request (or continues its ``traceparent``), goes on with the job it submits, is carried in
the job's row to whichever worker takes it, through every attempt, to the model calls in there.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from types import TracebackType
from typing import Literal, Protocol, Self

import structlog

from yeoul.settings import Settings

log = structlog.get_logger(__name__)

Kind = Literal["server", "producer", "consumer", "client"]
Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]


class Span:
    """A span that is not kept: what everybody gets while traces are off, and the shape of those that are."""

    def set(self, attributes: Attributes) -> None:
        """Adds attributes."""

    def rename(self, name: str) -> None:
        """Gives it the name that was not known at its beginning."""

    def fail(self, error_type: str) -> None:
        """Marks it as failed; ``error_type`` is an error's code or class, never its words: they may quote a prompt."""

    def end(self) -> None:
        """Ends it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it, however its block ended."""


NO_SPAN = Span()


class Traces(Protocol):
    """What makes spans once traces are on."""

    content: bool

    def current(
        self, name: str, kind: Kind, attributes: Attributes, parent: str | None, link: str | None
    ) -> AbstractContextManager[Span]:
        """A span that those begun inside its block are children of."""

    def begin(self, name: str, kind: Kind, attributes: Attributes) -> Span:
        """A child of the present span, for the caller to end; nobody becomes its child by themselves."""

    def traceparent(self) -> str | None:
        """The present span as a W3C ``traceparent``."""

    def trace_id(self) -> str | None:
        """The present trace's id, in hexadecimal."""

    def stop(self) -> None:
        """Sends what there is, for a few seconds at most, and stops."""


_traces: Traces | None = None


def is_on() -> bool:
    """Whether spans are kept. Ask before working out attributes that take work."""
    return _traces is not None


def with_content() -> bool:
    """Whether spans may hold prompts and answers."""
    return _traces is not None and _traces.content


def current(
    name: str, kind: Kind, attributes: Attributes, *, parent: str | None = None, link: str | None = None
) -> AbstractContextManager[Span]:
    """A span around a block; what is begun inside belongs to it.

    ``parent`` is a W3C ``traceparent`` to continue, else the present span; ``link`` one to point to. What they say that
    is no traceparent is not heeded.
    """
    return NO_SPAN if _traces is None else _traces.current(name, kind, attributes, parent, link)


def begin(name: str, kind: Kind, attributes: Attributes) -> Span:
    """A child of the present span, for generators: end it yourself."""
    return NO_SPAN if _traces is None else _traces.begin(name, kind, attributes)


def traceparent() -> str | None:
    """What a job carries along so that its attempts belong to the present trace; null when there is none."""
    return None if _traces is None else _traces.traceparent()


def trace_id() -> str | None:
    """The present trace's id, for log lines."""
    return None if _traces is None else _traces.trace_id()


def start(settings: Settings) -> None:
    """Turns traces on where a collector is configured. Without the extra ``otel`` it says so, and goes on without."""
    global _traces  # noqa: PLW0603  (one for the process: spans are begun where no services are at hand)
    if settings.otlp_endpoint is None or _refused():
        return
    try:
        spans = import_module("yeoul.core.telemetry.spans")
    except ImportError as error:
        log.warning(
            "traces are configured but cannot be sent: install the extra with pip install 'yeoul[otel]'",
            lacking=error.name,
        )
        return
    if _traces is not None:
        _traces.stop()
    _traces = spans.open_traces(settings)


def stop() -> None:
    """Sends what is left, then turns traces off. Takes up to a few seconds: call it in a thread."""
    global _traces
    stopping, _traces = _traces, None
    if stopping is not None:
        stopping.stop()


def _refused() -> bool:
    """Whether OpenTelemetry's own variables say no."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return disabled or os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
