"""The error tree. Every error a client can see is one of these, rendered by ``core/http`` as problem+json.

::

    YeoulError                500  internal
    ├─ InvalidInput           422  invalid_input        the request is well-formed but its content is not
    ├─ Unauthenticated        401  unauthenticated      who are you?
    ├─ Forbidden              403  forbidden            we know who you are, and you may not
    ├─ NotFound               404  not_found            no such thing, or not yours
    ├─ Conflict               409  conflict             the thing's state does not allow it
    ├─ TooLarge               413  too_large
    ├─ TooManyRequests        429  too_many_requests    carries retry_after
    └─ Unavailable            503  unavailable          carries retry_after

A room derives its own from these in its ``errors.py``; the code is the class's ``code``, its words are for people and
say what to do next.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar


class YeoulError(Exception):
    """Base of every error that has words for a client.

    ``detail`` is one or two sentences for a person. ``errors`` lists field errors as
    ``{"loc": ["body", "email"], "message": "…"}``. ``extra`` is added to the problem's members.
    ``retry_after`` is in seconds.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after: float | None = None,
        **extra: Any,  # noqa: ANN401  (members of the problem document, any JSON)
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after
        self.extra = extra


class InvalidInput(YeoulError):
    """The request's content is not acceptable."""

    status, code, title = 422, "invalid_input", "Invalid input"


class Unauthenticated(YeoulError):
    """No principal, or a token that is not good."""

    status, code, title = 401, "unauthenticated", "Sign in first"


class Forbidden(YeoulError):
    """The principal may not do this."""

    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(YeoulError):
    """There is no such thing, or it belongs to somebody else."""

    status, code, title = 404, "not_found", "Not found"


class Conflict(YeoulError):
    """The thing's present state does not allow it."""

    status, code, title = 409, "conflict", "Conflict"


class TooLarge(YeoulError):
    """More than a stated limit."""

    status, code, title = 413, "too_large", "Too large"


class TooManyRequests(YeoulError):
    """More often than a stated limit."""

    status, code, title, retryable = 429, "too_many_requests", "Too many requests", True


class Unavailable(YeoulError):
    """Something this needs is not there right now."""

    status, code, title, retryable = 503, "unavailable", "Unavailable", True


def known_errors() -> list[type[YeoulError]]:
    """Every error of the modules imported so far, by status and code; of several with one code, the first."""
    found: dict[str, type[YeoulError]] = {}
    for error in sorted(_tree(YeoulError), key=lambda error: (error.status, error.code, error.__name__)):
        found.setdefault(error.code, error)
    return list(found.values())


def meaning(error: type[YeoulError]) -> str:
    """When an error is told: the first paragraph of its docstring, in one line."""
    return inspect.cleandoc(error.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _tree(base: type[YeoulError]) -> Iterator[type[YeoulError]]:
    yield base
    for derived in base.__subclasses__():
        yield from _tree(derived)
