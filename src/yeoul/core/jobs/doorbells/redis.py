"""The doorbell on Redis, or what speaks its protocol: one pub/sub channel. Needs the extra ``redis``."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from yeoul.core.jobs.doorbells.broker import ANSWER_SECONDS, QUIET_SECONDS, BrokerDoorbell


class RedisLink:
    """A connection that is subscribed, and one beside it that publishes: Redis wants them apart."""

    def __init__(self, client: Redis, pubsub: PubSub, name: str, heard: Callable[[], None]) -> None:
        self._client = client
        self._pubsub = pubsub
        self._name = name
        self._heard = heard

    async def publish(self) -> None:
        """Sends a ring."""
        await self._client.publish(self._name, b"")

    async def until_closed(self) -> None:
        """Hears rings. A connection that went dead without a word is found out by a ping that nobody answers."""
        asked = False
        while True:
            said = await self._pubsub.get_message(timeout=QUIET_SECONDS)
            if said is not None:
                asked = False
                if said["type"] == "message":
                    self._heard()
            elif asked:
                raise TimeoutError(f"no answer within {QUIET_SECONDS} s")
            else:
                asked = True
                await self._pubsub.ping()


class RedisDoorbell(BrokerDoorbell):
    """``PUBLISH`` and ``SUBSCRIBE``."""

    broker = "Redis"

    @asynccontextmanager
    async def _link(self, name: str, heard: Callable[[], None]) -> AsyncGenerator[RedisLink]:
        client = Redis.from_url(
            self._url,
            client_name="yeoul",
            protocol=2,  # also spoken by older servers and by those that are not quite Redis
            socket_connect_timeout=ANSWER_SECONDS,
            # The client's own retries would subscribe anew without telling anybody that rings were lost.
            retry=Retry(NoBackoff(), 0),
        )
        async with client, client.pubsub() as pubsub:
            await pubsub.subscribe(name)
            await pubsub.get_message(timeout=None)  # the answer: from here on nothing is missed
            yield RedisLink(client, pubsub, name, heard)
