"""Server-sent events: a subscription as ``text/event-stream``."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from starlette.responses import StreamingResponse

from yeoul.core.events.hub import Subscription
from yeoul.core.events.schemas import Event

HEARTBEAT_SECONDS = 15
_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


class EventStreamResponse(StreamingResponse):
    """``text/event-stream``, unbuffered. FastAPI's own would encode every event anew; ours are JSON text already."""

    media_type = "text/event-stream"


def encode(event: Event) -> str:
    """One event on the wire. JSON has no line breaks of its own, so its text is one ``data`` line."""
    head = "" if event.seq is None else f"id: {event.seq}\n"
    return f"{head}event: {event.type}\ndata: {event.data}\n\n"


def stream(subscription: Subscription, before: Sequence[Event] = ()) -> EventStreamResponse:
    """A response that sends ``before``, then the subscription until it ends or the client leaves."""
    return EventStreamResponse(_chunks(subscription, before), headers=_HEADERS)


async def _chunks(subscription: Subscription, before: Sequence[Event]) -> AsyncGenerator[str]:
    yield ": open\n\n" + "".join(map(encode, before))
    async with subscription, aclosing(subscription.batches(HEARTBEAT_SECONDS)) as batches:
        async for batch in batches:
            yield "".join(map(encode, batch)) if batch else ": still here\n\n"
