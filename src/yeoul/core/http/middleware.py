"""What surrounds every request: its id, its line in the log, its numbers, and the barrier no exception passes.

Plain ASGI, so that streams flow through untouched.
"""

import asyncio
import re
from time import perf_counter
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from yeoul.core.base.errors import Unavailable
from yeoul.core.base.ids import new_id
from yeoul.core.http import metrics, problems, traces
from yeoul.core.telemetry import tracing

USER_ID = "yeoul.user_id"
"""Key of the signed-in user's id in the ASGI scope, set where the principal is found."""

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_QUIET = ("/health", "/ready", "/up", "/metrics", "/static/", "/favicon.ico")
_CLIENT_WENT_AWAY = 499
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})

log = structlog.get_logger(__name__)


class RequestContextMiddleware:
    """Gives each request an id (or keeps the sane ``X-Request-ID`` it came with), logs and counts it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, watching what is answered."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        wanted = headers.get("x-request-id", "")
        request_id = wanted if _SANE_ID.fullmatch(wanted) else str(new_id())
        scope[problems.REQUEST_ID] = request_id
        began = perf_counter()
        status = _CLIENT_WENT_AWAY
        latency: float | None = None

        async def observed(message: Message) -> None:
            nonlocal status, latency
            if message["type"] in _STARTS:
                status = message.get("status", 101)
                latency = perf_counter() - began
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            elif message["type"] == "websocket.close" and latency is None:
                status, latency = 403, perf_counter() - began  # what a close before the handshake means on the wire
            await send(message)

        span = traces.request(scope, headers, quiet=scope["path"].startswith(_QUIET))
        with structlog.contextvars.bound_contextvars(request_id=request_id), metrics.in_progress(), span as traced:
            if trace_id := tracing.trace_id():
                structlog.contextvars.bind_contextvars(trace_id=trace_id)
            try:
                await self._app(scope, receive, observed)
            finally:
                took = perf_counter() - began
                structlog.contextvars.unbind_contextvars("user_id")  # bound where the principal was found
                traces.answered(traced, scope, status)
                metrics.observe(scope, status, took if latency is None else latency)
                self._log(scope, status, took)
                structlog.contextvars.unbind_contextvars("trace_id")

    @staticmethod
    def _log(scope: Scope, status: int, took: float) -> None:
        path = scope["path"]
        fields = {
            "method": scope.get("method", "WEBSOCKET"),
            "path": quote(path),  # a decoded path may hold line breaks
            "status": status,
            "ms": round(took * 1000, 1),
        }
        if user_id := scope.get(USER_ID):
            fields["user_id"] = str(user_id)
        if status >= 500:  # noqa: PLR2004
            log.warning("request", **fields)
        elif path.startswith(_QUIET):
            log.debug("request", **fields)
        else:
            log.info("request", **fields)


class ErrorBarrierMiddleware:
    """Turns what nobody handled into a 500 problem and a traceback in the log.

    It stands inside the headers' middlewares, so that a 500 carries them too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and answers for it when it fails."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        started = ended = False

        async def watched(message: Message) -> None:
            nonlocal started, ended
            started = started or message["type"] in _STARTS
            ended = ended or message["type"] == "websocket.close"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except (ClientDisconnect, WebSocketDisconnect):
            pass  # the client left; there is nobody to tell
        except asyncio.CancelledError:  # the server stops, and waits no longer for this request
            if scope["type"] == "http" and not started:
                error = Unavailable("The server is being restarted. Ask again in a moment.", retry_after=2)
                await problems.render(error, Request(scope))(scope, receive, send)
            raise
        except Exception:
            log.exception("request failed", method=scope.get("method", "WEBSOCKET"), path=quote(scope["path"]))
            if scope["type"] == "websocket":
                if not ended:
                    websocket = WebSocket(scope, receive, send)
                    websocket.application_state = WebSocketState.CONNECTED if started else WebSocketState.CONNECTING
                    websocket.client_state = WebSocketState.CONNECTED
                    await problems.refuse(websocket, problems.render_internal(websocket), "internal")
            elif started:
                raise  # the server cuts the connection, so that nobody takes half an answer for a whole one
            else:
                await problems.render_internal(Request(scope))(scope, receive, send)
