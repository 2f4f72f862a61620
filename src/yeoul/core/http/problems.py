"""The one renderer of errors: everything that goes wrong leaves as RFC 9457 ``application/problem+json``.

``{type, title, status, detail, code, request_id, errors?}`` and whatever the error adds. ``code`` is for programs,
``detail`` for people, ``request_id`` is the one in the log. Input is never echoed: it may hold a password.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any

import psycopg
import sqlalchemy.exc
import structlog
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from yeoul.core.base.errors import InvalidInput, Unavailable, YeoulError
from yeoul.core.http.ratelimit import RateLimited

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "yeoul.request_id"
"""Key of the request id in the ASGI scope."""

log = structlog.get_logger(__name__)

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong, and what to do next.",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "title": "Problem",
                    "required": ["type", "title", "status", "detail", "code", "request_id"],
                    "properties": {
                        "type": {"type": "string", "format": "uri-reference"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                        "code": {"type": "string"},
                        "request_id": {"type": "string"},
                        "errors": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["loc", "message"],
                                "properties": {
                                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                                    "message": {"type": "string"},
                                },
                            },
                        },
                    },
                }
            }
        },
    }
}
"""Documents the problem shape in OpenAPI: pass as ``responses`` of the application."""


def request_id_of(connection: HTTPConnection) -> str:
    """The id of this request, as in its ``X-Request-ID`` and the log."""
    return str(connection.scope.get(REQUEST_ID, ""))


def render(error: YeoulError, connection: HTTPConnection) -> Response:
    """The response of an error."""
    headers = dict(error.headers) if isinstance(error, RateLimited) else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(ceil(error.retry_after), 1))
    members = {**error.extra, "errors": list(error.errors)} if error.errors else error.extra
    return _problem(connection, error.status, error.code, error.title, error.detail, headers, members)


def render_internal(connection: HTTPConnection) -> Response:
    """The response of a fault of ours: says nothing about it but the id under which the log has it."""
    detail = "Something went wrong on our side. Try again; if it stays, give the request id to who runs this server."
    return _problem(connection, 500, "internal", "Internal error", detail)


def _problem(
    connection: HTTPConnection,
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    document = {
        **(extra or {}),
        "type": f"/docs/errors#{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id_of(connection),
    }
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    if status == HTTPStatus.UNAUTHORIZED:
        all_headers.setdefault("WWW-Authenticate", "Bearer")
    # "replace": a field name sent as a lone surrogate has no UTF-8.
    body = json.dumps(document, ensure_ascii=False, default=str).encode("utf-8", "replace")
    return Response(body, int(status), all_headers, MEDIA_TYPE)


async def refuse(websocket: WebSocket, response: Response, code: str) -> None:
    """Ends a WebSocket with an error: before the handshake by an HTTP answer, later by a close frame."""
    if websocket.application_state is WebSocketState.DISCONNECTED:
        return
    before = websocket.application_state is WebSocketState.CONNECTING
    if before and "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(response)
    else:
        await websocket.close(1011 if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else 1008, reason=code)


async def _answer(connection: HTTPConnection, response: Response, code: str) -> Response | None:
    if isinstance(connection, WebSocket):
        await refuse(connection, response, code)
        return None
    return response


async def on_yeoul_error(connection: HTTPConnection, error: Exception) -> Response | None:
    """Handles our own errors."""
    assert isinstance(error, YeoulError)  # noqa: S101  (registered for this class alone)
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", code=error.code, exc_info=error)
    return await _answer(connection, render(error, connection), error.code)


async def on_validation_error(connection: HTTPConnection, error: Exception) -> Response | None:
    """Handles what FastAPI found wrong with a request."""
    assert isinstance(error, RequestValidationError | WebSocketRequestValidationError)  # noqa: S101
    fields = [_field(e) for e in error.errors()]
    problem = InvalidInput(_summary(fields), errors=fields)
    return await _answer(connection, render(problem, connection), problem.code)


async def on_http_exception(connection: HTTPConnection, error: Exception) -> Response | None:
    """Handles what the framework itself refuses: unknown paths, wrong methods, unreadable bodies."""
    assert isinstance(error, HTTPException)  # noqa: S101
    status = HTTPStatus(error.status_code)
    if not isinstance(connection, WebSocket) and status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        return Response(status_code=status, headers=error.headers)
    detail = str(error.detail)
    if detail == status.phrase:
        detail = _words(status, connection)
    code = re.sub(r"[^a-z]+", "_", status.phrase.lower().replace("'", ""))
    return await _answer(connection, _problem(connection, status, code, status.phrase, detail, error.headers), code)


async def on_database_error(connection: HTTPConnection, error: Exception) -> Response | None:
    """Handles a database that does not answer, or has no connection left: try again, it is not the request's fault."""
    log.error("the database does not answer", error=str(error).strip())
    problem = Unavailable("The database does not answer right now. Try again in a few seconds.", retry_after=3)
    return await _answer(connection, render(problem, connection), problem.code)


def install_handlers(app: Starlette) -> None:
    """Registers the handlers. Unhandled exceptions are the error barrier's (``middleware.py``)."""
    handlers: dict[type[Exception], Any] = {  # Any: Starlette types handlers for requests or for WebSockets, not both
        YeoulError: on_yeoul_error,
        HTTPException: on_http_exception,
        RequestValidationError: on_validation_error,
        WebSocketRequestValidationError: on_validation_error,
        sqlalchemy.exc.OperationalError: on_database_error,
        sqlalchemy.exc.TimeoutError: on_database_error,
        psycopg.OperationalError: on_database_error,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)


def _field(error: Mapping[str, Any]) -> dict[str, Any]:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "json_invalid":
        message = f"Not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    return {"loc": list(error["loc"]), "message": message}


def _summary(fields: Sequence[Mapping[str, Any]]) -> str:
    shown = [f"{_dotted(f['loc'])}: {f['message']}" for f in fields[:3]]
    more = [f"and {len(fields) - 3} more"] if len(fields) > len(shown) else []
    return "; ".join(shown + more)


def _dotted(loc: Iterable[object]) -> str:
    parts = [str(part) for part in loc]
    return ".".join(parts[1:] if len(parts) > 1 else parts)


def _words(status: HTTPStatus, connection: HTTPConnection) -> str:
    match status:
        case HTTPStatus.NOT_FOUND:
            return f"There is nothing at {connection.url.path}."
        case HTTPStatus.METHOD_NOT_ALLOWED if isinstance(connection, Request):
            return f"{connection.url.path} does not take {connection.method}; the header Allow says what it takes."
        case _:
            return f"{status.description}." if status.description else f"{status.phrase}."
