"""The setting, the extras, and the name that keeps installations apart."""

import subprocess
import sys

import pytest
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from yeoul.core.base.errors import Unavailable
from yeoul.core.db.database import Database
from yeoul.core.db.listen import ListenHub, Ringer
from yeoul.core.jobs.doorbells import factory
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings


@pytest.mark.parametrize(
    "address",
    [
        "postgres",
        "redis://cache.example",
        "rediss://user:secret@cache.example:6380/1",
        "amqp://guest:guest@127.0.0.1:5672/",
        "amqps://[::1]/vhost?heartbeat=5",
    ],
)
def test_an_address_is_accepted(address: str) -> None:
    assert Settings(_env_file=None, doorbell=address).doorbell == address


@pytest.mark.parametrize(
    "address", ["", "redis", "redis://", "Postgres", "http://cache.example", "redis://cache:port", "amqp:///vhost"]
)
def test_anything_else_is_refused_with_what_is_accepted(address: str) -> None:
    with pytest.raises(ValidationError, match="must be postgres, or an address like redis://host:6379 or amqp://"):
        Settings(_env_file=None, doorbell=address)


@pytest.mark.parametrize(
    ("address", "client", "module", "extra"),
    [("rediss://h", "redis", "redis", "redis"), ("amqp://h", "aio_pika", "rabbitmq", "rabbitmq")],
)
async def test_a_missing_extra_is_named(
    database: Database, monkeypatch: pytest.MonkeyPatch, address: str, client: str, module: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == client]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"yeoul.core.jobs.doorbells.{module}", raising=False)
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(Unavailable, match=rf"pip install 'yeoul\[{extra}\]'"):
        factory.open_doorbell(address, database, ListenHub(database), Ringer(database))


def test_clients_are_imported_only_where_asked_for() -> None:
    code = "import sys, yeoul.core.jobs.doorbells.factory; assert not {'redis', 'aio_pika'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_the_name_is_the_databases(database: Database, urls: DatabaseUrls) -> None:
    word, name, system = (await factory._name(database)).split(".")
    assert (word, name) == ("yeoul", make_url(urls.service).database)
    assert system.isdigit()
