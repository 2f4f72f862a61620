"""Several streams as one."""

import asyncio
from uuid import UUID

from tests.core.runtime.helpers import until
from yeoul.core.base.ids import new_id
from yeoul.core.db.database import Database
from yeoul.core.events.hub import BUFFER, EventHub
from yeoul.core.events.merged import Merged


async def write(database: Database, stream_id: UUID, first: int, last: int, kind: str = "text") -> None:
    async with database.service_connection() as connection:
        await connection.execute(
            "INSERT INTO events (stream_id, seq, type, data) SELECT %s, n, %s, '{}'"
            " FROM generate_series(%s::int, %s) n",
            [stream_id, kind, first, last],
        )
        await connection.execute("SELECT pg_notify('yeoul_streams', %s)", [str(stream_id)])


async def test_each_in_its_order_to_the_end_of_all(hub: EventHub, database: Database) -> None:
    one, two = new_id(), new_id()
    await write(database, one, 1, BUFFER * 3)
    await write(database, one, BUFFER * 3 + 1, BUFFER * 3 + 1, "succeeded")
    await write(database, two, 1, 2)
    merged = Merged(hub, [(one, 0), (two, 1)])
    seen: dict[UUID, list[int | None]] = {one: [], two: []}
    async with asyncio.timeout(20), merged:
        async for batch in merged.batches():
            for event in batch:
                seen[event.stream_id].append(event.seq)
            if seen[two] == [2] and merged.subscriptions[0].over:
                await write(database, two, 3, 3, "failed")
    assert seen == {one: list(range(1, BUFFER * 3 + 2)), two: [2, 3]}
    assert merged.over


async def test_silence(hub: EventHub) -> None:
    merged = Merged(hub, [(new_id(), 0), (new_id(), 0)])
    batches = []
    async with asyncio.timeout(20), merged:
        async for batch in merged.batches(0.01):
            batches.append(batch)
            if len(batches) == 2:
                hub.end_all()
    assert batches == [[], []]
    assert not merged.over


async def test_none() -> None:
    merged = Merged(None, [])  # type: ignore[arg-type]
    async with merged:
        assert [batch async for batch in merged.batches()] == []
    assert merged.over


async def test_what_comes_while_the_reader_is_busy_is_not_lost(hub: EventHub, database: Database) -> None:
    """Also the end: of a single subscription and of several."""
    job = new_id()
    await write(database, job, 1, 1)
    for reader in (hub.subscribe(job), Merged(hub, [(job, 0)])):
        kinds = []
        subscription = reader.subscriptions[0] if isinstance(reader, Merged) else reader
        async with asyncio.timeout(20), reader:
            async for batch in reader.batches():
                kinds += [event.type for event in batch]
                if kinds == ["text"]:
                    if not isinstance(reader, Merged):
                        await write(database, job, 2, 2, "succeeded")
                    await until(lambda: subscription.over)  # noqa: B023  (used at once)
        assert kinds[-1] == "succeeded"
