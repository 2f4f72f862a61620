"""Pools of workers apart: each takes the jobs of its kinds, and leaves the others alone."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from tests.conftest import process
from tests.core.runtime.helpers import Given, Made, add, echo, events, read
from tests.deploy.fleet import clean_environment
from yeoul.core.jobs.errors import UnknownKind
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings


@handler("test.other")
async def other(ctx: Context, given: Given) -> Made:
    return Made(word=f"other {given.word}")


def pool(settings: Settings, *kinds: str) -> Settings:
    return settings.model_copy(update={"worker_kinds": list(kinds)})


async def test_a_pool_leaves_other_kinds_alone(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    async with (
        process(settings, urls, echo, other) as (services, _),
        process(pool(settings, "test.echo"), urls, echo, other, workers=1),
    ):
        others = [await add(services, user_id, other, priority=7) for _ in range(3)]
        mine = await add(services, user_id, echo, priority=0)
        assert (await events(services, user_id, mine))[-1][1] == "succeeded"
        # These came first and go first: the worker saw them, and left them.
        assert {(await read(services, user_id, job_id)).status for job_id in others} == {"queued"}
        async with process(pool(settings, "test.other"), urls, echo, other, workers=1):
            for job_id in others:
                assert (await events(services, user_id, job_id))[-1][1] == "succeeded"


async def test_a_pool_for_a_kind_that_is_none(settings: Settings, urls: DatabaseUrls) -> None:
    with pytest.raises(UnknownKind, match=r"There is no kind 'test\.eko' here\. Known kinds: test\.echo"):
        async with process(pool(settings, "test.eko"), urls, echo, workers=1):
            pass


def test_the_command_says_which_kinds_there_are(urls: DatabaseUrls, tmp_path: Path) -> None:
    environment = clean_environment() | {
        "YEOUL_DATA_DIR": str(tmp_path),
        "YEOUL_DATABASE_URL": urls.app,
        "YEOUL_SERVICE_DATABASE_URL": urls.service,
        "YEOUL_LOCAL_ENABLED": "false",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, "-m", "yeoul", "worker", "--kinds", "llm.complete, llm.compleat"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        "error: There is no kind 'llm.compleat' here. Known kinds: llm.complete, llm.embed, maintenance." in done.stderr
    )
    assert ", playground.iteration." in done.stderr
    assert "Traceback" not in done.stderr
