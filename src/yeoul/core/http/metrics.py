"""Prometheus metrics: those of HTTP, and ``GET /metrics`` for all.

Every room makes its own with ``prometheus_client`` as usual; they land in the one default registry shown here, beside
those of the process (memory, CPU, open files). Names begin with ``yeoul_``; units are seconds and bytes.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from fastapi import APIRouter
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope

from yeoul.core.base.errors import Forbidden, Unauthenticated
from yeoul.settings import Settings

registry = REGISTRY

_LABELS = ("method", "route", "status")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_requests = Counter("yeoul_http_requests_total", "Requests answered.", _LABELS)
_seconds = Histogram(
    "yeoul_http_request_duration_seconds", "Time to the first byte of the answer.", _LABELS, buckets=_BUCKETS
)
_in_progress = Gauge("yeoul_http_requests_in_progress", "Requests being answered, open streams included.")

router = APIRouter(include_in_schema=False)
"""``app.state.services.before_metrics()`` is awaited before each answer: it reads what is not this process's own."""


@contextmanager
def in_progress() -> Iterator[None]:
    """Counts one more request as being answered, for as long as it lasts."""
    with _in_progress.track_inprogress():
        yield


def observe(scope: Scope, status: int, seconds: float) -> None:
    """Counts a request whose answer began after ``seconds``."""
    method = scope.get("method", "WEBSOCKET")
    labels = (method if method in _METHODS else "other", route_of(scope), str(status))
    _requests.labels(*labels).inc()
    _seconds.labels(*labels).observe(seconds)


def route_of(scope: Scope) -> str:
    """The template of the route that answered, such as ``/api/jobs/{job_id}``; never the path: paths have no end."""
    # FastAPI keeps the whole template, prefixes of included routers included, in a context of its own.
    context: Any = scope.get("fastapi", {}).get("effective_route_context")
    template = getattr(context, "path_format", None) or getattr(scope.get("route"), "path", None)
    return str(template) if template else "unmatched"


@router.get("/metrics")
async def read_metrics(request: Request) -> Response:
    """All metrics in Prometheus' text format. Open on this machine; from elsewhere by ``YEOUL_METRICS_TOKEN``."""
    services = request.app.state.services
    _authorise(request, services.settings)
    await services.before_metrics()
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": content_type, "Cache-Control": "no-store"})


def _authorise(request: Request, settings: Settings) -> None:
    if _is_local(request):
        return
    if settings.metrics_token is None:
        raise Forbidden("Metrics are for this machine only. Set YEOUL_METRICS_TOKEN and send it as a bearer token.")
    expected = f"Bearer {settings.metrics_token.get_secret_value()}"
    if not secrets.compare_digest(request.headers.get("authorization", "").encode(), expected.encode()):
        raise Unauthenticated("Send the value of YEOUL_METRICS_TOKEN as a bearer token.")


def _is_local(connection: HTTPConnection) -> bool:
    """Whether the request was made on this machine. One a proxy passed on was not, wherever the proxy is."""
    if connection.client is None or any(h in connection.headers for h in ("forwarded", "x-forwarded-for", "via")):
        return False
    try:
        address = ip_address(connection.client.host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
