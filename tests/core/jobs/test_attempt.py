"""What an attempt says, in pieces that the log takes."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yeoul.core.base import json
from yeoul.core.base.errors import InvalidInput
from yeoul.core.events.schemas import MAX_EVENT_BYTES
from yeoul.core.jobs.attempt import PIECE, Attempt, StepResult
from yeoul.core.jobs.errors import LostLease


def attempt(last_seq: int = 1) -> Attempt:
    return Attempt(
        job_id=uuid4(), kind="test.echo", owner_id=uuid4(), root_id=uuid4(), input="{}", attempt=1, max_attempts=3,
        epoch=1, last_seq=last_seq, owner_stream=uuid4(),
    )  # fmt: skip


def text_of(taken: list[tuple[int, str, str, StepResult | None]]) -> str:
    return "".join(json.loads(data)["delta"] for _, kind, data, _ in taken if kind == "text")


async def test_text_joins_text_until_something_else_is_said() -> None:
    it = attempt(7)
    it.say_text("a")
    it.say_text("b")
    it.say("usage", {"tokens": 1})
    it.say_text("c")
    assert it.take() == [
        (8, "text", '{"delta":"ab"}', None),
        (9, "usage", '{"tokens":1}', None),
        (10, "text", '{"delta":"c"}', None),
    ]
    it.say_text("d")
    assert it.take() == [(11, "text", '{"delta":"d"}', None)]
    assert it.take() == []
    assert it.unwritten == 0


@pytest.mark.parametrize("character", ["x", "\x01", "가", "😀", '"'])
async def test_a_megabyte_is_split_into_events_of_their_size(character: str) -> None:
    text = character * 1_000_000
    it = attempt()
    it.say_text(text)
    taken = it.take()
    assert text_of(taken) == text
    assert [seq for seq, *_ in taken] == list(range(2, 2 + len(taken)))
    assert max(len(data.encode()) for _, _, data, _ in taken) <= MAX_EVENT_BYTES
    assert len(taken) == -(-len(text) // PIECE)


@given(st.lists(st.text(st.characters(categories=[*"LNPSZ", "Cc", "Cs"])), max_size=30))
async def test_any_text_arrives_as_it_was_but_for_what_nobody_can_store(deltas: list[str]) -> None:
    it = attempt()
    for delta in deltas:
        it.say_text(delta)
    said = text_of(it.take())
    assert said == "".join(map(json.clean_text, deltas))
    assert "\0" not in said
    said.encode()  # no lone surrogate


async def test_many_small_pieces_cost_as_much_as_they_are_long() -> None:
    """While the database is away they gather; joining them is not paid again by every piece."""
    it = attempt()
    for _ in range(200_000):
        it.say_text("x")
    assert len(it.take()) == -(-200_000 // PIECE)


async def test_small_events_weigh_more_than_their_data() -> None:
    it = attempt()
    for _ in range(1000):
        it.say("tick", {})
    assert it.unwritten > 60_000


async def test_what_is_too_large_is_refused_in_bytes() -> None:
    it = attempt()
    it.say("component", "x" * (MAX_EVENT_BYTES - 2))
    with pytest.raises(InvalidInput, match="262,144 is the most"):
        it.say("component", "x" * (MAX_EVENT_BYTES - 1))
    with pytest.raises(InvalidInput, match="Put large data in a file"):
        it.say("component", "가" * 100_000)
    assert len(it.take()) == 1


@pytest.mark.parametrize(("first", "then", "stays"), [("cancel", "drain", "cancel"), ("drain", "lost", "lost")])
async def test_the_first_reason_to_stop_stands_but_for_a_loss(first: str, then: str, stays: str) -> None:
    it = attempt()
    it.stop(first)  # type: ignore[arg-type]
    it.stop(then)  # type: ignore[arg-type]
    assert it.stop_reason == stays
    assert it.stopped.done()


@pytest.mark.parametrize("reason", ["lost", "broken"])
async def test_who_has_lost_the_job_says_nothing_more(reason: str) -> None:
    it = attempt()
    it.stop(reason)  # type: ignore[arg-type]
    with pytest.raises(LostLease):
        it.say_text("late")
    with pytest.raises(LostLease):
        it.say("step", {})
    assert it.take() == []
