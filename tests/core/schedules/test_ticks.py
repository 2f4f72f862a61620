"""When a schedule falls due: a pure function of an expression, a zone and a moment."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yeoul.core.schedules.errors import InvalidSchedule
from yeoul.core.schedules.ticks import NAMED, checked_cron, next_tick, zone

NOW = datetime(2026, 11, 21, 12, 30, 15, 500_000, UTC)
NEW_YORK = ZoneInfo("America/New_York")


def ticks(cron: str, time_zone: str, after: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    for _ in range(count):
        tick = next_tick(cron, None, time_zone, after=found[-1] if found else after, start=after)
        assert tick is not None
        found.append(tick)
    return found


def local(cron: str, after: datetime, count: int) -> list[str]:
    """Ticks as a clock on a wall in New York shows them, with what it is called there."""
    return [f"{t.astimezone(NEW_YORK):%d %H:%M %Z}" for t in ticks(cron, "America/New_York", after, count)]


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("* * * * *", datetime(2026, 11, 21, 12, 31, tzinfo=UTC)),
        ("@hourly", datetime(2026, 11, 21, 13, tzinfo=UTC)),
        ("@daily", datetime(2026, 11, 22, tzinfo=UTC)),
        ("@weekly", datetime(2026, 11, 22, tzinfo=UTC)),
        ("30 9 * * MON-FRI", datetime(2026, 11, 23, 9, 30, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_next_tick(cron: str, first: datetime) -> None:
    assert next_tick(cron, None, "UTC", after=NOW, start=NOW) == first


def test_a_zone_moves_the_tick() -> None:
    assert ticks("0 9 * * *", "Asia/Seoul", NOW, 1) == [datetime(2026, 11, 22, 0, tzinfo=UTC)]


SPRING = datetime(2026, 3, 7, 20, tzinfo=UTC)  # New York: on the 8th 02:00 EST becomes 03:00 EDT
AUTUMN = datetime(2026, 10, 31, 20, tzinfo=UTC)  # on 1 November 02:00 EDT becomes 01:00 EST


def test_what_falls_into_the_missing_hour_runs_right_after_it() -> None:
    assert local("30 2 * * *", SPRING, 2) == ["08 03:00 EDT", "09 02:30 EDT"]


def test_what_falls_into_the_repeated_hour_runs_the_first_time_only() -> None:
    assert local("30 1 * * *", AUTUMN, 2) == ["01 01:30 EDT", "02 01:30 EST"]


def test_asked_in_the_second_pass_of_the_repeated_hour_it_does_not_go_back() -> None:
    within = datetime(2026, 11, 1, 6, 10, tzinfo=UTC)  # 01:10 EST, the second 01:10 of that day
    assert local("30 1 * * *", within, 1) == ["02 01:30 EST"]


def test_every_hour_goes_on_with_the_time_that_really_passes() -> None:
    assert local("0 * * * *", datetime(2026, 3, 8, 6, 30, tzinfo=UTC), 2) == ["08 03:00 EDT", "08 04:00 EDT"]
    assert local("0 * * * *", datetime(2026, 11, 1, 4, 30, tzinfo=UTC), 3) == [
        "01 01:00 EDT",
        "01 01:00 EST",
        "01 02:00 EST",
    ]


def test_an_interval_never_minds_the_clocks() -> None:
    first = next_tick(None, 3600, "America/New_York", after=SPRING, start=SPRING)
    assert first == SPRING + timedelta(hours=1)


def test_an_interval_keeps_its_beat_however_late_it_is_looked_at() -> None:
    late = NOW + timedelta(seconds=250)
    assert next_tick(None, 60, "UTC", after=late, start=NOW) == NOW + timedelta(seconds=300)
    assert next_tick(None, 60, "UTC", after=NOW, start=NOW) == NOW + timedelta(seconds=60)
    assert next_tick(None, 60, "UTC", after=NOW + timedelta(seconds=60), start=NOW) == NOW + timedelta(seconds=120)


@given(
    cron=st.sampled_from(
        ["* * * * *", "*/7 * * * *", "30 1 * * *", "30 2 * * *", "15 */3 * * *", "0 0 1 * *", "0 12 * * SUN"]
    ),
    time_zone=st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Seoul"]),
    moment=st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_a_tick_lies_ahead_of_the_moment(cron: str, time_zone: str, moment: datetime) -> None:
    first, second = ticks(cron, time_zone, moment, 2)
    assert moment < first < second


def checked(cron: str, time_zone: str = "UTC", shortest: int = 60) -> str:
    return checked_cron(cron, time_zone, now=NOW, shortest=shortest)


def test_an_expression_is_kept_in_one_spelling() -> None:
    assert checked("  0   9  * * mon ") == "0 9 * * mon"
    assert [checked(name.upper()) for name in NAMED] == list(NAMED)


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("", "five fields"),
        ("0 9 * *", "five fields"),
        ("0 0 9 * * *", "five fields"),
        ("60 * * * *", "bad minute"),
        ("* * * * nonsense", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("@reboot", "none of @hourly"),
        ("0 0 5-1 * *", "bad day-of-month"),
    ],
)
def test_nonsense_is_named(cron: str, said: str) -> None:
    with pytest.raises(InvalidSchedule, match=said) as caught:
        checked(cron)
    assert caught.value.errors[0]["loc"] == ["body", "cron"]


@pytest.mark.parametrize("cron", ["* * * * *", "*/4 * * * *", "0,1 12 * * *", "59,0 * * * *"])
def test_too_often_is_refused(cron: str) -> None:
    with pytest.raises(InvalidSchedule, match="300 s is the shortest"):
        checked(cron, shortest=300)
    assert checked(cron, shortest=1) == cron


def test_just_often_enough_is_not() -> None:
    assert checked("*/5 * * * *", shortest=300)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "", "asia/seoul", "\0"])
def test_a_zone_that_is_none(name: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        zone(name)
    assert caught.value.errors[0]["loc"] == ["body", "time_zone"]
