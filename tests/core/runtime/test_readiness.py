"""What a process looks at before it calls itself ready."""

import psycopg
import pytest

from tests.conftest import process
from yeoul.core.db import migrate
from yeoul.core.db.database import driver_url
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE yeoul.alembic_version SET version_num = '0000'", f"0000 of core, this version needs {migrate.head()}"),
        ("DELETE FROM yeoul.alembic_version_playground", "None of playground, this version needs"),
        ("DROP TABLE yeoul.alembic_version_playground", "The schema's version cannot be read."),
    ],
)
async def test_a_migration_that_is_missing(settings: Settings, urls: DatabaseUrls, statement: str, words: str) -> None:
    async with process(settings, urls) as (services, _):
        assert await services.readiness["migrations"]() is None
        async with await psycopg.AsyncConnection.connect(driver_url(urls.admin or ""), autocommit=True) as connection:
            await connection.execute(statement.encode())
        said = await services.readiness["migrations"]()
    assert said is not None
    assert words in said
    assert "Run `yeoul migrate`." in said
