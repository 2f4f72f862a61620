"""Every dialect's encoder over made-up logs: the same text from any cursor, void text never taken for the answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.completions.helpers import ag_ui_text, chat_text, item_texts, sse, ui_text
from yeoul.core.base import json
from yeoul.core.completions.dialects.ag_ui import AGUIEncoder
from yeoul.core.completions.dialects.base import Asked, Encoder
from yeoul.core.completions.dialects.chat import ChatEncoder
from yeoul.core.completions.dialects.responses import ResponsesEncoder
from yeoul.core.completions.dialects.ui import UIEncoder
from yeoul.core.completions.said import Range, void_range
from yeoul.core.completions.schemas import CompleteInput
from yeoul.core.events.schemas import Event

ID = UUID("019f0000-0000-7000-8000-000000000001")
any_load = settings(deadline=None, max_examples=100)
"""A busy machine is no failure."""

ASKED = Asked(ID, datetime(2026, 1, 1, tzinfo=UTC), CompleteInput(prompt="hello"))


@dataclass(frozen=True)
class Log:
    """A job's log, and the text it stands for, as the reference of job events has it."""

    events: tuple[Event, ...]
    text: str

    def void(self, until: int) -> list[Range]:
        """What is void after so many events."""
        events = self.events[:until]
        return [void_range(e.seq or 0, json.loads(e.data)) for e in events if e.type == "retrying"]


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Up to four attempts of a few words each; retries keep the text of finished steps; any end."""
    # Few words, so that attempts often begin alike.
    words = st.lists(st.sampled_from(["a", "b", "여울 ", "\u2028\n", "data: x\n\n"]), max_size=5)
    events: list[Event] = []
    text: dict[int, str] = {}
    standing = 0

    def add(kind: str, data: Any) -> int:
        seq = len(events) + 1
        events.append(Event(ID, seq, kind, json.dumps(data)))
        return seq

    attempts = draw(st.integers(1, 4))
    for attempt in range(1, attempts + 1):
        add("started", {"attempt": attempt})
        for word in draw(words):
            text[add("text", {"delta": word})] = word
        if draw(st.booleans()):
            standing = add("step", {"name": "one", "status": "finished"})
            for word in draw(words):
                text[add("text", {"delta": word})] = word
        if attempt < attempts:
            add("retrying", {"attempt": attempt + 1, "void_after": standing, "in_seconds": 0, "error": None})
            text = {seq: word for seq, word in text.items() if seq <= standing}
    said = "".join(text.values())
    end = draw(st.sampled_from(["succeeded", "failed", "canceled"]))
    output = {"text": said, "finish_reason": "stop", "model": "fake/echo", "usage": None}
    error = {"code": "model_unavailable", "message": "It is gone."}
    add(end, {"succeeded": {"output": output}, "failed": {"error": error}, "canceled": {}}[end])
    return Log(tuple(events), said)


def wire(encoder: Encoder, events: Sequence[Event]) -> str:
    """All that an encoder sends for these events."""
    sent = encoder.open()
    for event in events:
        if encoder.ended:
            break
        sent += encoder.take(event)
    return sent


def ends(log: Log) -> str:
    """How the job ended."""
    return log.events[-1].type


@any_load
@given(logs(), st.data())
def test_responses_from_any_cursor_are_byte_identical(log: Log, data: st.DataObject) -> None:
    whole = wire(ResponsesEncoder(ASKED), log.events)
    events = sse(whole)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    after = data.draw(st.integers(0, len(events)))
    frames = whole.split("\n\n")
    rest = wire(ResponsesEncoder(ASKED, after), log.events)
    assert rest == "\n\n".join(frames[after + 1 :])


@any_load
@given(logs())
def test_a_response_holds_the_answer_alone_and_items_what_was_sent(log: Log) -> None:
    encoder = ResponsesEncoder(ASKED)
    events = sse(wire(encoder, log.events))
    last = events[-1]["response"]
    assert last == encoder.response
    texts = item_texts(events)
    done = {event["output_index"]: event["item"] for event in events if event["type"] == "response.output_item.done"}
    assert {index: item["content"][0]["text"] for index, item in done.items()} == {
        index: texts.get(index, "") for index in done
    }
    assert len({item["id"] for item in done.values()}) == len(done)
    if ends(log) == "succeeded":
        assert events[-1]["type"] == "response.completed"
        assert [part["text"] for item in last["output"] for part in item["content"]] == [log.text]
        assert texts.get(max(done), "") == log.text
        assert [item["status"] for item in done.values()] == ["incomplete"] * (len(done) - 1) + ["completed"]
        assert last["output"] == [done[max(done)]]
    else:
        status = {"failed": "failed", "canceled": "cancelled"}[ends(log)]
        assert last["status"] == status
        assert all(item["status"] == "incomplete" for item in done.values())


@any_load
@given(logs())
def test_a_chat_completion_is_the_answer_or_an_error(log: Log) -> None:
    sent = wire(ChatEncoder(ASKED, include_usage=False), log.events)
    chunks = sse(sent)
    errors = [chunk["error"]["code"] for chunk in chunks if "error" in chunk]
    if ends(log) == "succeeded" and not errors:
        assert chat_text(chunks) == log.text
        assert sent.endswith("data: [DONE]\n\n")
    elif ends(log) == "succeeded":
        assert errors == ["answer_began_anew"]
        assert "[DONE]" not in sent
    else:
        assert len(errors) == 1
    assert sum(bool(choice["finish_reason"]) for c in chunks for choice in c.get("choices", ())) == (not errors)


Make = Callable[[Sequence[Range]], Encoder]
Read = Callable[[Sequence[dict[str, Any]]], str]
REPLAYED: dict[str, tuple[Make, Read]] = {
    "ai-sdk": (lambda void: UIEncoder(ASKED, void), ui_text),
    "ag-ui": (lambda void: AGUIEncoder(ASKED, void), ag_ui_text),
}


@pytest.mark.parametrize("dialect", REPLAYED)
@any_load
@given(log=logs())
def test_a_replay_of_an_ended_job_is_its_text_whatever_was_void(dialect: str, log: Log) -> None:
    make, read = REPLAYED[dialect]
    events = sse(wire(make(log.void(len(log.events))), log.events))
    assert read(events) == log.text
    assert not any("anew" in str(event) for event in events)


@pytest.mark.parametrize("dialect", REPLAYED)
@any_load
@given(log=logs(), data=st.data())
def test_a_replay_begun_at_any_moment_is_the_text_or_says_that_it_began_anew(
    dialect: str, log: Log, data: st.DataObject
) -> None:
    make, read = REPLAYED[dialect]
    seen = data.draw(st.integers(0, len(log.events)))
    events = sse(wire(make(log.void(seen)), log.events))
    if not any("anew" in str(event) for event in events):
        held = read(events)
        # A job that failed or was canceled may end before it has repeated what the client holds.
        assert held == log.text if ends(log) == "succeeded" else held.startswith(log.text)


@any_load
@given(logs())
def test_the_same_log_gives_the_same_bytes(log: Log) -> None:
    for make in (lambda: ChatEncoder(ASKED, include_usage=True), lambda: UIEncoder(ASKED), lambda: AGUIEncoder(ASKED)):
        encoders: list[Encoder] = [make(), make()]
        first, second = (wire(encoder, log.events) for encoder in encoders)
        assert first == second
        assert encoders[0].ended


@any_load
@given(logs(), st.data())
def test_a_stream_that_the_server_cuts_says_where_to_read_on(log: Log, data: st.DataObject) -> None:
    upto = data.draw(st.integers(0, len(log.events) - 1))
    encoder = ResponsesEncoder(ASKED)
    sent = wire(encoder, log.events[:upto])
    error = sse(encoder.cut())[0]
    after = len(sse(sent)) - 1
    assert f"starting_after={after}" in error["message"]
    rest = wire(ResponsesEncoder(ASKED, after), log.events)
    assert sent + rest == wire(ResponsesEncoder(ASKED), log.events)
