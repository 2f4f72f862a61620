"""A database with one row of everything, shared: tests here roll back what they do, or have one of their own."""

from collections.abc import Generator
from dataclasses import dataclass
from uuid import UUID

import pytest

from tests.conftest import fresh_database
from tests.rls.seed import seed
from yeoul.core.db.embedded import EmbeddedServer
from yeoul.core.runtime.services import DatabaseUrls


@dataclass(frozen=True)
class Seeded:
    """Whose rows there are, and somebody who has none."""

    urls: DatabaseUrls
    owner: UUID
    other: UUID


@pytest.fixture(scope="session")
def seeded(postgres: EmbeddedServer) -> Generator[Seeded]:
    with fresh_database(postgres) as urls:
        yield Seeded(urls, *seed(urls.service))
