"""Numbers, lengths of time and small bar charts, for templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from babel.numbers import format_decimal
from babel.units import format_unit

NOTHING = "\N{EN DASH}"
WIDTH, HEIGHT = 360.0, 88.0
"""A chart's size, in units of its own."""
_GAP = 6.0
_LEAST = 2.0

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def number(value: float | None, tag: str) -> str:
    """A number as people of the language write it; a dash for null."""
    return NOTHING if value is None else format_decimal(value, locale=tag)


def duration(seconds: float | None, tag: str) -> str:
    """A length of time in one or two units: "43ms", "2.4s", "12s", "2m 5s"; a dash for null."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return _unit(round(seconds * 1000), "millisecond", tag)
    if seconds < 10:  # noqa: PLR2004
        return _unit(round(seconds, 1), "second", tag)
    whole = round(seconds)
    for size, name, smaller, smaller_name in (
        (_DAY, "day", _HOUR, "hour"),
        (_HOUR, "hour", _MINUTE, "minute"),
        (_MINUTE, "minute", 1, "second"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return _unit(whole // size, name, tag) + (f" {_unit(rest, smaller_name, tag)}" if rest else "")
    return _unit(whole, "second", tag)


def _unit(value: float, name: str, tag: str) -> str:
    length: Literal["short", "narrow"] = "short" if tag == "ko" and name != "millisecond" else "narrow"
    return format_unit(value, f"duration-{name}", length=length, locale=tag)


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of a chart. ``part`` is which of the stacked values it stands for; ``slot`` which group."""

    x: float
    y: float
    width: float
    height: float
    part: int
    slot: int


def bars(groups: Sequence[Sequence[float | None]]) -> list[Bar]:
    """Bars from left to right, each a stack of values; the highest fills the chart. What is little is still seen."""
    most = max((sum(value or 0 for value in group) for group in groups), default=0)
    if not most:
        return []
    width = WIDTH / len(groups)
    drawn = []
    for slot, group in enumerate(groups):
        top = HEIGHT
        for part, value in enumerate(group):
            if not value:
                continue
            height = max(value / most * (HEIGHT - _LEAST * len(group)), _LEAST)
            top -= height
            drawn.append(
                Bar(
                    round(slot * width + _GAP / 2, 1),
                    round(top, 1),
                    round(width - _GAP, 1),
                    round(height, 1),
                    part,
                    slot,
                )
            )
    return drawn
