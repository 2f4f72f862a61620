"""The doorbell that the settings ask for."""

from collections.abc import Callable
from importlib import import_module

from prometheus_client import Gauge

from yeoul.core.base.errors import Unavailable
from yeoul.core.db.database import Database
from yeoul.core.db.listen import ListenHub, Ringer
from yeoul.core.jobs.doorbells.base import Doorbell
from yeoul.core.jobs.doorbells.postgres import PostgresDoorbell

CONNECTED = Gauge("yeoul_doorbell_connected", "Whether this process hears rings (1), or looks by the clock only (0).")

# The extra that brings each client; imported only where it is used, since it need not be installed.
_BROKERS = {
    "redis": ("yeoul.core.jobs.doorbells.redis", "RedisDoorbell", "redis"),
    "rediss": ("yeoul.core.jobs.doorbells.redis", "RedisDoorbell", "redis"),
    "amqp": ("yeoul.core.jobs.doorbells.rabbitmq", "RabbitDoorbell", "rabbitmq"),
    "amqps": ("yeoul.core.jobs.doorbells.rabbitmq", "RabbitDoorbell", "rabbitmq"),
}


def open_doorbell(address: str, database: Database, listen: ListenHub, ringer: Ringer) -> Doorbell:
    """The doorbell at an address that ``Settings.doorbell`` accepts, not started.

    Raises ``Unavailable`` when the broker's client is not installed.
    """
    doorbell: Doorbell
    scheme = address.partition("://")[0]
    if scheme in _BROKERS:
        module, name, extra = _BROKERS[scheme]
        try:
            broker: Callable[..., Doorbell] = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("yeoul"):
                raise
            raise Unavailable(
                f"YEOUL_DOORBELL={scheme}://… needs an extra: run `pip install 'yeoul[{extra}]'`."
            ) from None
        doorbell = broker(address, lambda: _name(database))
    else:
        doorbell = PostgresDoorbell(listen, ringer)
    CONNECTED.set_function(lambda: float(doorbell.trouble is None))
    return doorbell


async def _name(database: Database) -> str:
    """What no other database is called, so that installations that share a broker do not wake each other."""
    async with database.service_connection() as connection:
        cursor = await connection.execute(
            "SELECT 'yeoul.' || current_database() || '.' || system_identifier FROM pg_control_system()"
        )
        row = await cursor.fetchone()
        assert row is not None  # noqa: S101  (one row, always)
        return str(row[0])
