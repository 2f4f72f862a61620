"""Puts all of this room into an application, in the one order that works."""

from collections.abc import Mapping

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from yeoul.core.http import health, metrics, problems
from yeoul.core.http.body_limit import Admit, BodyLimitMiddleware
from yeoul.core.http.hosts import HostMiddleware, allowed_hosts
from yeoul.core.http.middleware import ErrorBarrierMiddleware, RequestContextMiddleware
from yeoul.core.http.security_headers import SecurityHeadersMiddleware
from yeoul.settings import Settings

_EXPOSED = ["Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"]


def install(
    app: FastAPI, settings: Settings, *, larger_bodies: Mapping[str, int] | None = None, admit: Admit | None = None
) -> None:
    """Adds middlewares, error handlers, ``/health``, ``/up``, ``/ready`` and ``/metrics``.

    From the outside in: request id, log and numbers → security headers → CORS → error barrier → host → body limit →
    routes.
    ``larger_bodies`` are paths that take more than ``max_body_bytes``, and how much; from those alone whom ``admit``
    lets in.
    ``app.state.services`` must give ``settings`` and ``readiness`` by the time of the first request.
    """
    app.add_middleware(BodyLimitMiddleware, limit=settings.max_body_bytes, larger=larger_bodies, admit=admit)
    if (names := allowed_hosts(settings)) is not None:
        app.add_middleware(HostMiddleware, names=names)
    app.add_middleware(ErrorBarrierMiddleware)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin.rstrip("/") for origin in settings.allowed_origins],
            allow_credentials="*" not in settings.allowed_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
        )
    app.add_middleware(SecurityHeadersMiddleware, https=(settings.public_url or "").startswith("https://"))
    app.add_middleware(RequestContextMiddleware)
    problems.install_handlers(app)
    app.router.responses |= problems.PROBLEM_RESPONSES
    app.include_router(health.router)
    app.include_router(metrics.router)
