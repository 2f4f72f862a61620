"""What can go wrong when a model is asked in another API's dialect, and how OpenAI's clients are told.

::

    YeoulError
    ├─ InvalidInput  ├─ UnsupportedParameter   known or not, this server does nothing with it
    │                ├─ InvalidParameter       right name, wrong value
    │                └─ AnswerCanceled         somebody canceled the job while its answer was waited for
    └─ NotFound      └─ ResponseNotFound
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from yeoul.core.base.errors import InvalidInput, NotFound, YeoulError
from yeoul.core.llm.errors import ModelError, ModelRateLimited, ModelTimeout


class UnsupportedParameter(InvalidInput):
    """A parameter that would change the answer, which this server cannot honour."""

    code, title = "unsupported_parameter", "Unsupported parameter"

    def __init__(self, param: str, why: str = "") -> None:
        detail = f"`{param}` is not supported here. Leave it out.{why and ' '}{why}"
        super().__init__(detail, errors=[{"loc": ["body", param], "message": detail}])


def refuse(
    given: Mapping[str, Any],
    known: set[str] | frozenset[str],
    neutral: Mapping[str, Sequence[Any]] | None = None,
    *,
    at: str = "",
) -> None:
    """Raises ``UnsupportedParameter`` for the first that is neither known, nor empty, nor at its neutral value."""
    for name, value in given.items():
        if name in known or value is None or value in ([], {}):
            continue
        allowed = (neutral or {}).get(name, ())
        if value in allowed:
            continue
        why = "It may only be " + " or ".join(f"`{one}`" for one in allowed) + "." if allowed else ""
        raise UnsupportedParameter(at + name, why)


class InvalidParameter(InvalidInput):
    """A parameter whose value makes no sense."""

    code = "invalid_parameter"

    def __init__(self, param: str, why: str) -> None:
        detail = f"`{param}`: {why}"
        super().__init__(detail, errors=[{"loc": ["body", param], "message": why}])


class AnswerCanceled(InvalidInput):
    """The job was canceled before it had an answer. No 409: OpenAI's clients would ask again by themselves."""

    code, title = "canceled", "Canceled"


class ResponseNotFound(NotFound):
    """No such response, or somebody else's."""

    code = "response_not_found"


_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}
_CODES = {
    "unknown_model": "model_not_found",
    "context_too_long": "context_length_exceeded",
    "content_filtered": "content_filter",
    "model_rate_limited": "rate_limit_exceeded",
}
_RETRY_SECONDS = 5
"""When to ask again after a provider's rate limit: its own word does not survive the job's retries."""


def openai_status(status: int) -> int:
    """The status OpenAI's API has for it: it knows no 422."""
    return HTTPStatus.BAD_REQUEST if status == HTTPStatus.UNPROCESSABLE_ENTITY else status


def openai_error(problem: Mapping[str, Any]) -> dict[str, Any]:
    """A problem document as OpenAI's clients read errors: ``{error: {message, type, param, code}}``."""
    status = problem["status"]
    server = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    kind = "server_error" if server else _TYPES.get(status, "invalid_request_error")
    code = problem["code"]
    if status == HTTPStatus.UNAUTHORIZED:
        code = "invalid_api_key"
    param = None
    for field in problem.get("errors", ())[:1]:
        loc = [str(part) for part in field["loc"]]
        param = ".".join(loc[1:] if loc[0] in {"body", "query", "path", "header"} else loc) or None
    if code == "unknown_model":
        param = "model"
    error = {"message": problem["detail"], "type": kind, "param": param, "code": _CODES.get(code, code)}
    return {"error": error}


def failure(error: Mapping[str, Any]) -> YeoulError:
    """A failed job's error as the exception it once was, so that it is answered with its own status."""
    code, message = str(error.get("code")), str(error.get("message"))
    if code == "timeout":
        return ModelTimeout(message)
    kinds: list[type[ModelError]] = [ModelError]
    for kind in kinds:
        if kind.code == code:
            return kind(message, retry_after=_RETRY_SECONDS if kind is ModelRateLimited else None)
        kinds += kind.__subclasses__()
    return YeoulError(message)


def stream_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """A failed job's error inside a stream of OpenAI's: the same body as the answer's would have been."""
    made = failure(error)
    code = str(error.get("code"))
    return openai_error({"status": made.status, "code": code, "detail": made.detail})
