"""When a schedule falls due. Nothing here looks at a clock: the database's time is passed in.

Cron expressions are read as Debian's cron reads them. Where clocks are put forward or back, expressions that name their
minutes and hours run once a day: what would fall into the missing hour runs right after it, and what falls into the
repeated hour runs the first time. Those with ``*`` in minute or hour go on with the time that really passes: nothing in
the missing hour, both times in the repeated one. An interval never minds.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from yeoul.core.schedules.errors import InvalidSchedule

FIELDS = 5
LOOK_AHEAD = 70
"""Ticks looked at for the shortest gap: more than an hour has minutes, so that every gap inside one is among them."""

NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def zone(name: str) -> ZoneInfo:
    """The time zone; raises ``InvalidSchedule`` for a name that is none."""
    if name not in _zone_names():
        raise InvalidSchedule("time_zone", f"There is no time zone {name!r}. Use an IANA name such as Asia/Seoul.")
    return ZoneInfo(name)


def _after(cron: str, time_zone: str, after: datetime) -> CronSim:
    return CronSim(NAMED.get(cron, cron), after.astimezone(UTC if time_zone == "UTC" else ZoneInfo(time_zone)))


def next_tick(
    cron: str | None, every_seconds: int | None, time_zone: str, *, after: datetime, start: datetime
) -> datetime | None:
    """The first tick after a moment, in UTC; null when none will come. Intervals are counted from ``start``."""
    if every_seconds is not None:
        passed = (after - start) // timedelta(seconds=every_seconds)
        return start + timedelta(seconds=every_seconds * (max(passed, 0) + 1))
    assert cron is not None  # noqa: S101  (a schedule has the one or the other)
    for tick in _after(cron, time_zone, after):
        moment = tick.astimezone(UTC)
        if moment > after:  # in a repeated hour its first pass lies behind
            return moment
    return None


def checked_cron(cron: str, time_zone: str, *, now: datetime, shortest: int) -> str:
    """The expression in one spelling; raises ``InvalidSchedule`` when it has no tick or comes more often than allowed.

    ``shortest`` is in seconds.
    """
    zone(time_zone)
    text = " ".join(cron.split())
    if text.startswith("@"):
        text = text.lower()
        if text not in NAMED:
            raise InvalidSchedule("cron", f"{text} is none of {', '.join(NAMED)}.")
    elif len(text.split()) != FIELDS:
        raise InvalidSchedule("cron", "A cron expression has five fields: minute, hour, day of month, month, weekday.")
    try:
        ticks = [
            tick.astimezone(UTC) for tick in islice(_after(text, time_zone, now), LOOK_AHEAD if shortest > 1 else 1)
        ]
    except CronSimError as error:
        raise InvalidSchedule("cron", f"The cron expression makes no sense: {str(error).lower()}.") from None
    if not ticks:
        raise InvalidSchedule("cron", "This cron expression never falls due.")
    gap = min((later - sooner for sooner, later in pairwise(ticks)), default=None)
    if gap is not None and gap < timedelta(seconds=shortest):
        raise InvalidSchedule(
            "cron", f"It comes every {gap.total_seconds():,.0f} s; {shortest:,} s is the shortest you may ask for."
        )
    return text
