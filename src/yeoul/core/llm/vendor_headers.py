"""What providers say in headers about their own limits, as seconds in which they take no calls.

OpenAI and those like it: ``x-ratelimit-remaining-requests: 0`` beside ``x-ratelimit-reset-requests: 6m0s``.
Anthropic: ``anthropic-ratelimit-tokens-remaining: 0`` beside ``…-reset: 2026-01-27T12:00:03Z``. Others:
``ratelimit-remaining`` and ``ratelimit-reset``, or the draft's ``ratelimit: "default";r=0;t=12``.
"""

import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 86_400.0
"""What is longer is taken for this: a clock that is wrong must not hold a model for ever."""

heard: ContextVar[dict[str, str] | None] = ContextVar("model_response_headers", default=None)
"""Where the HTTP client of a model call puts the headers of the answer; null outside calls."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_EPOCH = 1_000_000_000
"""Larger numbers are moments, not durations."""


def pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds in which the provider takes no calls, by headers with lower-case names; None: it takes them.

    ``Retry-After`` counts whatever else is said; otherwise a limit counts when nothing of it remains.
    """
    found = [*_seconds(headers.get("retry-after"), now), *_spent(headers, now)]
    return min(max(found), LONGEST_SECONDS) if found else None


def _spent(headers: Mapping[str, str], now: datetime) -> Iterator[float]:
    for name, value in headers.items():
        if "ratelimit-" in name and "remaining" in name and value.strip() == "0":
            yield from _seconds(headers.get(name.replace("remaining", "reset")), now)
    for item in headers.get("ratelimit", "").split(","):
        fields = dict(part.strip().partition("=")[::2] for part in item.split(";")[1:])
        if fields.get("r") == "0":
            yield from _seconds(fields.get("t"), now)


def _seconds(text: str | None, now: datetime) -> Iterator[float]:
    text = (text or "").strip()
    moment: datetime | None = None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        number = float(text)
        yield max(number - now.timestamp(), 0.0) if number > _EPOCH else number
        return
    if _DURATION.fullmatch(text):
        yield sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text))
        return
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return  # no word of ours
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    yield max((moment - now).total_seconds(), 0.0)
