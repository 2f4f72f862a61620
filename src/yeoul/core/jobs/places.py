"""Tells whoever watches a waiting job where it stands in the queue, whenever that has changed."""

import asyncio
from typing import NoReturn

import psycopg
import structlog

from yeoul.core.base.tasks import cancel
from yeoul.core.db.database import Database
from yeoul.core.events.hub import EventHub
from yeoul.core.jobs import queries
from yeoul.core.jobs.service import place_data

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
MOST = 500
"""Waiting jobs looked up in one query; when more are watched, they take turns."""


class Places:
    """Looks once a second for all streams of this process, in one query, and not at all when nobody waits."""

    def __init__(self, database: Database, events: EventHub) -> None:
        self._line = database.line("places")
        self._events = events
        self._task: asyncio.Task[NoReturn] | None = None
        self._turn = 0

    async def start(self) -> None:
        """Starts looking."""
        self._task = asyncio.create_task(self._run(), name="queue places")

    async def stop(self) -> None:
        """Stops looking."""
        await cancel(self._task)
        await self._line.close()

    async def _run(self) -> NoReturn:
        while True:
            try:
                await self.look()
            except (psycopg.Error, OSError) as error:
                log.warning("could not look up places in the queue, trying again", error=str(error).strip())
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Looks once."""
        waiting = self._events.waiting()
        if len(waiting) > MOST:
            begin = self._turn % len(waiting)
            waiting = (waiting[begin:] + waiting[:begin])[:MOST]
            self._turn += MOST
        if not waiting:
            return
        ids = list({subscription.stream_id for subscription in waiting})
        rows = await self._line.fetch(queries.PLACES, [ids])
        places = {job_id: place_data(place, eta) for job_id, place, eta in rows}
        for subscription in waiting:
            if subscription.waiting and (data := places.get(subscription.stream_id)):
                subscription.tell("queued", data)
