"""What pydantic-ai and the vendors' SDKs raise, as our errors. The one place that knows both.

Imported on first use, with pydantic-ai itself.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelOverloadedError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelTimeoutError,
    UnexpectedModelBehavior,
    UserError,
)

from yeoul.core.llm.catalogue import Route
from yeoul.core.llm.errors import (
    ContentFiltered,
    ContextTooLong,
    ModelAuthFailed,
    ModelError,
    ModelOverloaded,
    ModelQuotaExceeded,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    RequestRejected,
    UnknownModel,
)
from yeoul.core.llm.vendor_headers import pause

_LONGEST_QUOTE = 300

# The class of the exception, most special first: our class, and our words. {title}, {key} and {model} are filled in.
_TABLE: tuple[tuple[type[Exception], type[ModelError], str], ...] = (
    (
        ModelAuthenticationError,
        ModelAuthFailed,
        "{title} refused the key in {key}. Check it and its account's right to `{model}`, or choose another model.",
    ),
    (ModelQuotaExceededError, ModelQuotaExceeded, "Our {title} account is used up. Top it up or choose another model."),
    (ModelRateLimitError, ModelRateLimited, "{title} takes no more requests for now. Wait a moment and try again."),
    (ModelOverloadedError, ModelOverloaded, "{title} has too much to do right now. Try again in a minute."),
    (
        ModelContextWindowExceededError,
        ContextTooLong,
        "The conversation is longer than `{model}` can read. Shorten it, or choose a model with a larger context.",
    ),
    (ModelNotFoundError, UnknownModel, "{title} knows no model `{model}`. `yeoul models list` shows what there is."),
    (ModelRequestRejectedError, RequestRejected, "{title} rejected the request. Change it before sending it again."),
    (ModelTimeoutError, ModelTimeout, "{title} did not answer in time. Try again."),
    (ModelConnectionError, ModelUnavailable, "{title} cannot be reached, or the connection broke. Try again."),
    (ModelAPIError, ModelUnavailable, "{title} failed. Try again; if it goes on, choose another model."),
    (UnexpectedModelBehavior, ModelUnavailable, "{title} gave no usable answer. Try again or choose another model."),
    (UserError, RequestRejected, "`{model}` cannot do this. Change the request or choose another model."),
)

_OWN: Mapping[type[Exception], str] = {
    ModelAuthenticationError: "{title} refused your own key. Store another one on the settings page, or choose another "
    "model: yours may have no right to `{model}`.",
    ModelQuotaExceededError: "Your {title} account is used up. Top it up or choose another model.",
}
"""What is said instead where a user's own key was used."""

# Statuses pydantic-ai puts in no category, and what servers that are only OpenAI-compatible say with a plain 400.
_STATUSES: Mapping[int, type[Exception]] = {
    408: ModelTimeoutError,
    413: ModelContextWindowExceededError,
    504: ModelTimeoutError,
}
_REJECTIONS = frozenset(range(400, 500)) - {409, 425}
_TOLD_APART = (ModelAuthenticationError, ModelNotFoundError, ModelContextWindowExceededError)
_CONTEXT_WORDS = ("exceed_context_size", "context size", "context length", "context window", "too many tokens")


@contextmanager
def mapped(route: Route) -> Iterator[None]:
    """Raises what happens inside as a ``ModelError``. Our own errors, cancellation and bugs pass through."""
    try:
        yield
    except (ModelAPIError, UnexpectedModelBehavior, UserError) as error:
        raise _translate(error, route) from error


def _translate(error: ModelAPIError | UnexpectedModelBehavior | UserError, route: Route) -> ModelError:
    kind, ours, words = next(row for row in _TABLE if issubclass(_kind(error), row[0]))
    words = _OWN.get(kind, words) if route.own_key else words
    detail = words.format(title=route.provider.title, key=route.provider.key_name or "its setting", model=route.id)
    quote = None if kind is ModelAuthenticationError else _quote(error)  # refusals like to repeat the key
    if quote is not None:
        detail = f"{detail} It said: {quote}"
    translated = ours(detail, retry_after=_retry_after(error), model=route.id)
    if kind is ModelAuthenticationError and route.own_key:
        translated.said = _quote(error)
    return translated


def _retry_after(error: ModelAPIError | UnexpectedModelBehavior | UserError) -> float | None:
    """The pause the provider asked for, in seconds: by ``Retry-After``, or by the limits that its headers tell."""
    said = getattr(error, "retry_after", None)
    if said is None and isinstance(error, ModelHTTPError) and error.headers is not None:
        return pause(error.headers, datetime.now(UTC))
    return said


def _kind(error: ModelAPIError | UnexpectedModelBehavior | UserError) -> type[Exception]:
    """The class to look up: the error's own, unless its status or its words say more."""
    if not isinstance(error, ModelHTTPError):
        return type(error)
    if error.status_code in _STATUSES:
        return _STATUSES[error.status_code]
    plain = isinstance(error, ModelRequestRejectedError) and not isinstance(error, _TOLD_APART)
    if plain and any(word in f"{error.provider_error_type} {error.body}".lower() for word in _CONTEXT_WORDS):
        return ModelContextWindowExceededError
    if type(error) is ModelHTTPError and error.status_code in _REJECTIONS:
        return ModelRequestRejectedError
    return type(error)


def _quote(error: ModelAPIError | UnexpectedModelBehavior | UserError) -> str | None:
    """The vendor's own sentence, if there is one."""
    body = getattr(error, "body", None)
    for _ in range(2):  # {"error": {"message": …}} or {"message": …}, and Gemini puts it into a list
        if isinstance(body, list) and body:
            body = body[0]
        if isinstance(body, Mapping) and "error" in body:
            body = body["error"]
    said = body.get("message") if isinstance(body, Mapping) else body
    if not isinstance(said, str) and not isinstance(error, ModelHTTPError):
        said = error.message
    if not isinstance(said, str) or not said.strip():
        return None
    said = " ".join(said.split())
    return said if len(said) <= _LONGEST_QUOTE else said[: _LONGEST_QUOTE - 1] + "…"


# Gemini's reasons for stopping, and OpenAI's and Anthropic's, in words.
_REASONS: Mapping[str, str] = {
    "SAFETY": "it was judged unsafe",
    "RECITATION": "the answer came too close to existing texts",
    "LANGUAGE": "the language is not supported",
    "BLOCKLIST": "it holds a word on the provider's block list",
    "PROHIBITED_CONTENT": "it holds content the provider forbids",
    "SPII": "it holds sensitive personal data",
    "IMAGE_SAFETY": "an image was judged unsafe",
    "MODEL_ARMOR": "the provider's Model Armor policy forbids it",
    "JAILBREAK": "it looks like an attempt to get around the model's rules",
    "OTHER": "for a reason the provider does not give",
    "content_filter": "the provider's content filter caught it",
    "refusal": "the model declined to answer",
}
_HARMS: Mapping[str, str] = {
    "HARM_CATEGORY_HARASSMENT": "harassment",
    "HARM_CATEGORY_HATE_SPEECH": "hate speech",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT": "sexually explicit content",
    "HARM_CATEGORY_DANGEROUS_CONTENT": "dangerous content",
    "HARM_CATEGORY_CIVIC_INTEGRITY": "election interference",
}


def filtered(details: Mapping[str, object] | None, route: Route, *, certain: bool) -> ContentFiltered | None:
    """The error for an answer a safety filter ended, from pydantic-ai's ``provider_details``.

    ``certain``: the finish reason already says so. Otherwise only a reason in the table counts, and OTHER does not:
    it also ends answers that nobody filtered.
    """
    details = details or {}
    asked = details.get("block_reason")
    reason = str(asked or details.get("finish_reason"))
    if not certain and (reason not in _REASONS or reason == "OTHER"):
        return None
    words = _REASONS.get(reason, f"its reason is {reason}")
    categories = _categories(details.get("safety_ratings"))
    if categories:
        words = f"{words} ({', '.join(categories)})"
    said = details.get("refusal") or details.get("block_reason_message")
    what = "question" if asked else "answer"
    return ContentFiltered(
        f"{route.provider.title} stopped this {what}: {words}. Say it differently, or choose another model."
        + (f" It said: {said}" if said else ""),
        model=route.id,
        reason=reason,
        categories=categories,
    )


def _categories(ratings: object) -> list[str]:
    found = []
    for rating in ratings if isinstance(ratings, list) else ():
        category = str(getattr(rating.get("category"), "value", rating.get("category")))
        likely = str(getattr(rating.get("probability"), "value", rating.get("probability")))
        if rating.get("blocked") or likely in {"HIGH", "MEDIUM"}:
            found.append(_HARMS.get(category, category))
    return found
