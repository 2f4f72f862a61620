"""``yeoul rotate-vault``, and what ``yeoul doctor`` says of users' keys."""

import asyncio
import json

import pytest

from tests.commands.conftest import Yeoul
from tests.conftest import add_user
from yeoul.core.db.database import Database
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.vault.cipher import Cipher
from yeoul.core.vault.service import Vault

OLD, NEW = "old-" * 10, "new-" * 10
KEY = "sk-a-users-own-key-1234"


@pytest.fixture
def stored(urls: DatabaseUrls) -> None:
    """Three keys, sealed with the old key."""

    async def store() -> None:
        database = Database(urls.app, urls.service, pool_size=2)
        owner = await add_user(database)
        for name in ("openai", "anthropic", "gemini"):
            await Vault(database, Cipher([OLD])).store(owner, name, KEY)
        await database.close()

    asyncio.run(store())


def users_keys(yeoul: Yeoul, **variables: str) -> list[dict[str, str]]:
    checks = json.loads(yeoul("doctor", "--json", YEOUL_PORT="0", **variables).stdout)["checks"]
    return [check for check in checks if check["name"] == "users' keys"]


@pytest.mark.usefixtures("stored")
def test_the_whole_rotation(yeoul: Yeoul) -> None:
    """With the new key alone all is lost; with both it is sealed anew; then the old one can go."""
    (lost,) = users_keys(yeoul, YEOUL_VAULT_KEY=NEW)
    assert lost["state"] == "problem"
    assert "YEOUL_VAULT_OLD_KEYS" in lost["mend"]
    refused = yeoul("rotate-vault", YEOUL_VAULT_KEY=NEW)
    assert refused.exit_code == 1
    assert "3 stored keys cannot be opened" in refused.output
    both = {"YEOUL_VAULT_KEY": NEW, "YEOUL_VAULT_OLD_KEYS": OLD}
    (older,) = users_keys(yeoul, **both)
    assert (older["state"], older["mend"]) == ("warning", "yeoul rotate-vault")
    done = yeoul("rotate-vault", **both)
    assert done.exit_code == 0
    assert "Sealed 3 stored keys with the present key." in done.output
    assert "can be taken out now" in done.output
    assert "nothing to do" in yeoul("rotate-vault", **both).output
    (well,) = users_keys(yeoul, YEOUL_VAULT_KEY=NEW)
    assert (well["state"], well["found"]) == ("ok", "3 stored keys of providers, all can be opened")


def test_without_any_doctor_asks_for_no_key(yeoul: Yeoul) -> None:
    assert users_keys(yeoul) == []
