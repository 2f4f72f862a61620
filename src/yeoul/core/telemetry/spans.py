"""Spans through OpenTelemetry's SDK, sent as OTLP over HTTP. Imported only where a collector is configured.

What is not said here the SDK reads from its own variables: ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``,
``OTEL_TRACES_SAMPLER``, ``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_BSP_*`` and the rest.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from yeoul import __version__
from yeoul.core.base.ids import new_id
from yeoul.core.telemetry.tracing import Attributes, Kind, Span
from yeoul.settings import Settings

STOP_SECONDS = 3.0
"""How long a stopping process waits for a collector that does not answer."""

_KINDS = {
    "server": SpanKind.SERVER,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
}
_W3C = TraceContextTextMapPropagator()


class _Span(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()


class OtelTraces:
    """Makes spans and hands them to the exporter's thread."""

    def __init__(self, provider: TracerProvider, *, content: bool) -> None:
        self.content = content
        self._provider = provider
        self._tracer = provider.get_tracer("yeoul", __version__)

    @contextmanager
    def current(
        self, name: str, kind: Kind, attributes: Attributes, parent: str | None, link: str | None
    ) -> Iterator[Span]:
        """A span that those begun inside its block are children of."""
        linked = None if link is None else _remote(link)
        span = self._tracer.start_span(
            name,
            context=None if parent is None else _context(parent),
            kind=_KINDS[kind],
            attributes=dict(attributes),
            links=[Link(linked)] if linked is not None else None,
        )
        # What a block raises may quote a prompt: whoever knows its code says it by `fail`.
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield _Span(span)

    def begin(self, name: str, kind: Kind, attributes: Attributes) -> Span:
        """A child of the present span, for the caller to end."""
        return _Span(self._tracer.start_span(name, kind=_KINDS[kind], attributes=dict(attributes)))

    def traceparent(self) -> str | None:
        """The present span as a W3C ``traceparent``."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get("traceparent")

    def trace_id(self) -> str | None:
        """The present trace's id."""
        found = trace.get_current_span().get_span_context()
        return trace.format_trace_id(found.trace_id) if found.is_valid else None

    def stop(self) -> None:
        """Sends what there is; a collector that does not answer is waited for no longer than ``STOP_SECONDS``."""
        # A daemon: the exporter tries again for longer than a process that was told to stop should stay.
        last = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(STOP_SECONDS)


def open_traces(settings: Settings) -> OtelTraces:
    """Begins to send spans to the configured collector."""
    base = (settings.otlp_endpoint or "").rstrip("/")
    attributes = {"service.version": __version__, "service.instance.id": str(new_id())}
    if "OTEL_SERVICE_NAME" not in os.environ and "service.name" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        attributes["service.name"] = "yeoul"
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    endpoint = base if base.endswith("/v1/traces") else f"{base}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return OtelTraces(provider, content=settings.trace_content)


def _context(traceparent: str) -> Context:
    """A context that continues another process's span; an empty one, so a new trace, when that is none."""
    return _W3C.extract({"traceparent": traceparent}, context=Context())


def _remote(traceparent: str) -> SpanContext | None:
    found = trace.get_current_span(_context(traceparent)).get_span_context()
    return found if found.is_valid else None
