"""A span for every request, under the names of OpenTelemetry's HTTP conventions; it continues a ``traceparent``."""

from contextlib import AbstractContextManager

from starlette.datastructures import Headers
from starlette.types import Scope

from yeoul.core.http import metrics
from yeoul.core.telemetry import tracing

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LONGEST = 300
_FAILURES = 500


def request(scope: Scope, headers: Headers, *, quiet: bool) -> AbstractContextManager[tracing.Span]:
    """The span of a request, for as long as its answer is sent. ``quiet`` ones (health, metrics, files) get none."""
    if quiet or not tracing.is_on():
        return tracing.NO_SPAN
    method = scope.get("method", "GET")  # a WebSocket begins as one
    attributes: dict[str, tracing.Value] = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "url.scheme": scope.get("scheme", "http"),
        "url.path": scope["path"][:_LONGEST],  # without its query, which may hold what is private
        "network.protocol.version": scope.get("http_version", "1.1"),
        "user_agent.original": headers.get("user-agent", "")[:_LONGEST],
    }
    if scope.get("client"):
        attributes["client.address"] = scope["client"][0]
    if scope.get("server") and scope["server"][1]:
        attributes |= {"server.address": scope["server"][0], "server.port": scope["server"][1]}
    return tracing.current(
        str(attributes["http.request.method"]), "server", attributes, parent=headers.get("traceparent")
    )


def answered(span: tracing.Span, scope: Scope, status: int) -> None:
    """Says how a request was answered, and by which route: it is known only now."""
    if span is tracing.NO_SPAN:
        return
    route = metrics.route_of(scope)
    method = scope.get("method", "GET")
    attributes: dict[str, tracing.Value] = {"http.response.status_code": status}
    if route != "unmatched":
        attributes["http.route"] = route
        span.rename(f"{method if method in _METHODS else 'HTTP'} {route}")
    span.set(attributes)
    if status >= _FAILURES:
        span.fail(str(status))
