"""A thousand open streams hold no connection of the database."""

import asyncio

import httpx
import psycopg
from fastapi import FastAPI

from tests.core.events.reading import gate, split
from tests.core.events.test_follow import submit
from tests.core.runtime.helpers import until
from yeoul.core.runtime.services import DatabaseUrls

HUB_STREAMS, HTTP_STREAMS = 900, 100


def connections(urls: DatabaseUrls) -> int:
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_thousand_streams(http: httpx.AsyncClient, app: FastAPI, urls: DatabaseUrls) -> None:
    """Of twenty jobs, all live, through one process: as many connections as for one, and everybody gets everything."""
    words = [{"do": "text", "n": 3}, {"do": "wait", "n": 30}] * 5
    services = app.state.services
    job_ids = [await submit(http, {"steps": [*words, {"do": "gate"}, *words]}) for _ in range(20)]

    async def over_hub(n: int) -> list[int | None]:
        seqs: list[int | None] = []
        async with services.events.subscribe(job_ids[n % 20]) as subscription:
            async for batch in subscription.batches():
                seqs += [event.seq for event in batch]
        return seqs

    async def over_http(n: int) -> int:
        answer = await http.get(f"/api/jobs/{job_ids[n % 20]}/events")
        return sum(frame.startswith(b"id: ") for frame in split(answer.content))

    async with asyncio.timeout(60):
        hub = asyncio.gather(*map(over_hub, range(HUB_STREAMS)))
        web = asyncio.gather(*map(over_http, range(HTTP_STREAMS)))
        await until(
            lambda: sum(map(len, services.events._subscriptions.values())) == HUB_STREAMS + HTTP_STREAMS, seconds=60
        )
        # Two pools, a line each for events, rings, flush, claims, heartbeat, sweep, models, and the one that listens.
        most = 2 * services.settings.database_pool_size + 8
        assert connections(urls) <= most
        assert services.database.pool_status() == {"app": 0, "service": 0}
        gate().set()
        lengths = {(n % 20, len(seqs)) for n, seqs in enumerate(await hub)}
        lengths |= {(n % 20, length) for n, length in enumerate(await web)}
    assert len(lengths) == 20, (
        "of one job everybody gets as many; of another it may be one more: words said at once are one"
    )
    assert connections(urls) <= most
