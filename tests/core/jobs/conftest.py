"""A queue on a fresh database."""

from collections.abc import Generator

import pytest

from tests.core.jobs.queue import Queue
from yeoul.core.runtime.services import DatabaseUrls


@pytest.fixture
def queue(urls: DatabaseUrls) -> Generator[Queue]:
    queue = Queue(urls)
    yield queue
    queue.close()
