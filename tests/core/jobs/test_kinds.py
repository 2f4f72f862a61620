"""Kinds are registered once, under names that workers can be told, and known by them."""

import pytest
from pydantic import BaseModel

from yeoul.core.jobs.errors import UnknownKind
from yeoul.core.jobs.kinds import Backoff, Kind, Kinds


class Nothing(BaseModel):
    """The input of a kind that needs none."""


async def one(_ctx: object, _input: object) -> None: ...


async def another(_ctx: object, _input: object) -> None: ...


def test_a_kind_is_found_by_its_name() -> None:
    kinds = Kinds()
    kind = Kind("test.one", one, Nothing)
    kinds.add(kind)
    kinds.add(Kind("test.hidden", one, Nothing, public=False))
    assert kinds.get("test.one") is kind
    assert kinds.names() == ["test.hidden", "test.one"]
    with pytest.raises(UnknownKind, match=r"no kind 'test\.two' here\. Known kinds: test\.one\.$"):
        kinds.get("test.two")


def test_a_kind_is_registered_once() -> None:
    kinds = Kinds()
    kinds.add(Kind("test.one", one, Nothing))
    with pytest.raises(ValueError, match="two handlers"):
        kinds.add(Kind("test.one", another, Nothing))
    assert kinds.get("test.one").handler is one


def test_a_kind_with_a_comma_is_refused() -> None:
    with pytest.raises(ValueError, match="no comma"):
        Kinds().add(Kind("one,two", one, Nothing))


def test_waits_double_up_to_the_longest_and_half_is_random() -> None:
    backoff = Backoff(first=1, longest=5)
    for attempt, whole in (1, 1), (2, 2), (3, 4), (4, 5), (2_000, 5):
        waits = [backoff.seconds(attempt) for _ in range(200)]
        assert whole / 2 <= min(waits) < max(waits) <= whole
