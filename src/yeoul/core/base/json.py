"""JSON as PostgreSQL takes it."""

from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json

_REPLACEMENT = "\ufffd"


def dumps(value: Any) -> str:  # noqa: ANN401  (anything JSON can say)
    """Compact JSON text. NUL, which PostgreSQL cannot hold, and lone surrogates become U+FFFD; NaN becomes null."""
    try:
        text = to_json(value, inf_nan_mode="null").decode()
    except ValueError:  # a lone surrogate somewhere
        text = to_json(clean(value), inf_nan_mode="null").decode()
    if "\\u0000" in text:
        text = to_json(clean(from_json(text))).decode()
    return text


def loads(text: str | bytes) -> Any:  # noqa: ANN401
    """The value of a JSON text; raises ``ValueError``."""
    return from_json(text)


def clean(value: Any) -> Any:  # noqa: ANN401
    """The same value with NUL and lone surrogates replaced by U+FFFD in every string and key."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    if isinstance(value, BaseModel):
        return clean(value.model_dump())
    return value


def clean_text(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", _REPLACEMENT)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # UTF-16 makes one character of two halves that stand together
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
