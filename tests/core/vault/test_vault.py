"""Secrets in the database."""

from uuid import UUID

import psycopg
import pytest

from yeoul.core.db.database import Database
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.vault import repository, service
from yeoul.core.vault.cipher import Cipher
from yeoul.core.vault.errors import SecretLost, SecretNotFound
from yeoul.core.vault.service import Rotation, Standing, Vault

SECRET = "sk-a-long-provider-key-1234"


@pytest.fixture
def vault(database: Database) -> Vault:
    return Vault(database, Cipher(["k" * 32]))


async def test_stored_opened_replaced_and_removed(vault: Vault, database: Database, user_id: UUID) -> None:
    assert await vault.open(user_id, "openai") is None
    assert await vault.store(user_id, "openai", SECRET) == "1234"
    assert await vault.open(user_id, "openai") == SECRET
    await vault.store(user_id, "openai", "another-long-provider-key")
    assert await vault.open(user_id, "openai") == "another-long-provider-key"
    async with database.as_user(user_id) as session:
        ((name, hint, _, used),) = await repository.own(session)
    assert (name, hint) == ("openai", "-key")
    assert used is not None
    await vault.remove(user_id, "openai")
    assert await vault.open(user_id, "openai") is None
    with pytest.raises(SecretNotFound):
        await vault.remove(user_id, "openai")


async def test_a_short_secret_shows_nothing_of_itself(vault: Vault, user_id: UUID) -> None:
    assert await vault.store(user_id, "openai", "abc123") == ""


async def test_nobody_reads_what_is_sealed(vault: Vault, database: Database, urls: DatabaseUrls, user_id: UUID) -> None:
    """Not in the clear anywhere in the database, and to the API's login not even sealed."""
    await vault.store(user_id, "openai", SECRET)
    with psycopg.connect(urls.service) as connection:
        (row,) = connection.execute("SELECT row_to_json(s)::text FROM yeoul.secrets s").fetchall()
        assert SECRET not in row[0]
    with psycopg.connect(urls.app) as connection:
        connection.execute("SELECT set_config('yeoul.user_id', %s, true)", [str(user_id)])
        assert connection.execute("SELECT name FROM yeoul.secrets").fetchall() == [("openai",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT sealed FROM yeoul.secrets")


async def test_a_row_moved_to_somebody_else_does_not_open(vault: Vault, urls: DatabaseUrls, user_id: UUID) -> None:
    await vault.store(user_id, "openai", SECRET)
    with psycopg.connect(urls.service, autocommit=True) as connection:
        connection.execute("UPDATE yeoul.secrets SET name = 'gemini'")
    with pytest.raises(SecretLost):
        await vault.open(user_id, "gemini")


async def test_rotation(database: Database, user_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    old, both, new = (Vault(database, Cipher(keys)) for keys in (["o" * 32], ["n" * 32, "o" * 32], ["n" * 32]))
    monkeypatch.setattr(service, "_PAGE", 2)
    for n in range(5):
        await old.store(user_id, f"p{n}", f"secret {n}")
    with pytest.raises(SecretLost):
        await new.open(user_id, "p0")
    assert await new.stand() == Standing(newest=0, older=0, lost=5)
    assert await new.rotate() == Rotation(done=0, lost=5)
    assert await both.stand() == Standing(newest=0, older=5, lost=0)
    assert await both.rotate() == Rotation(done=5, lost=0)
    assert await both.rotate() == Rotation(done=0, lost=0)
    assert await new.stand() == Standing(newest=5, older=0, lost=0)
    assert await new.open(user_id, "p4") == "secret 4"
