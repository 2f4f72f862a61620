"""The doorbell on RabbitMQ: a fanout exchange, and a queue of its own for every process. Needs the extra ``rabbitmq``.

Nothing is kept: the exchange and the queues go with the broker and are declared anew.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from aio_pika.connection import Connection, make_url

from yeoul.core.jobs.doorbells.broker import ANSWER_SECONDS, QUIET_SECONDS, BrokerDoorbell

CLOSE_SECONDS = 1.0
"""How long a broker may take to say goodbye."""

# It logs every failed try, and then raises it as well: what matters is said once, in ``broker.py``.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)


class RabbitLink:
    """A channel that consumes and publishes."""

    def __init__(self, exchange: AbstractExchange, closed: asyncio.Event) -> None:
        self._exchange = exchange
        self._closed = closed

    async def publish(self) -> None:
        """Sends a ring and waits until it is confirmed."""
        await self._exchange.publish(aio_pika.Message(b""), routing_key="", mandatory=False)

    async def until_closed(self) -> None:
        """Waits; rings come by callback. Heartbeats find out a connection that went dead without a word."""
        await self._closed.wait()


class RabbitDoorbell(BrokerDoorbell):
    """Publishes to the exchange, consumes from a queue bound to it."""

    broker = "RabbitMQ"

    @asynccontextmanager
    async def _link(self, name: str, heard: Callable[[], None]) -> AsyncGenerator[RabbitLink]:
        closed = asyncio.Event()

        async def on_message(message: AbstractIncomingMessage) -> None:
            heard()
            await message.ack()

        def on_end(*_: object) -> None:
            closed.set()

        # Not by aio_pika.connect(): what that leaves of a try in vain closes itself at the garbage collector's whim.
        connection = Connection(make_url(_with_heartbeat(self._url)), client_properties={"connection_name": "yeoul"})
        try:
            await connection.connect(timeout=ANSWER_SECONDS)
            channel = await connection.channel()
            # One ring on its way and one waiting say all there is to say, however slow a process is to hear them.
            await channel.set_qos(prefetch_count=1)
            exchange = await channel.declare_exchange(name, aio_pika.ExchangeType.FANOUT)
            queue = await channel.declare_queue(exclusive=True, arguments={"x-max-length": 1})
            connection.close_callbacks.add(on_end)
            channel.close_callbacks.add(on_end)
            underlay = await channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(on_end)  # somebody deleted the queue
            await queue.bind(exchange)
            await queue.consume(on_message)
            yield RabbitLink(exchange, closed)
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.close()


def _with_heartbeat(url: str) -> str:
    return url if "heartbeat=" in url else f"{url}{'&' if '?' in url else '?'}heartbeat={QUIET_SECONDS}"
