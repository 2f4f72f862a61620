"""What ``yeoul doctor`` looks at in the database."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

from yeoul.commands import vault
from yeoul.commands.checks import Finding, ok, problem, warning
from yeoul.commands.database import Sync, addresses, connect, lacking, made, revisions, run_by_nobody, started
from yeoul.commands.session import opened
from yeoul.commands.settings import shown
from yeoul.commands.terminal import run
from yeoul.core.db import migrate
from yeoul.core.db.listen import ListenHub, Ringer
from yeoul.core.jobs.doorbells.factory import open_doorbell
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings

_CLOCK_SECONDS = 2
"""How far the clocks may be apart before tokens and times look odd."""
_DOORBELL_SECONDS = 6

_LOGIN = """
SELECT r.rolname, r.rolsuper, r.rolbypassrls,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'yeoul'::regnamespace AND c.relowner = r.oid) AS owns
FROM pg_roles r WHERE r.rolname = current_user
"""
_TOO_MUCH = ("is a superuser", "bypasses row level security", "owns tables")

_UNPROTECTED = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'yeoul'::regnamespace AND c.relkind IN ('r', 'p')
    AND NOT starts_with(c.relname, 'alembic_version') AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
ORDER BY 1
"""

_WORKERS = """
SELECT count(*), coalesce(sum(running), 0) FROM yeoul.workers WHERE expires_at > now()
"""

_WAITING = "SELECT count(*) FROM yeoul.jobs WHERE status = 'queued' AND run_at < now()"


def database(settings: Settings) -> Iterator[Finding]:
    """Whether it can be reached, is ours, protects one user's rows from another, and is worked on."""
    if not settings.embedded:
        yield from _look(settings, addresses(settings), "YEOUL_DATABASE_URL")
    elif not made(settings.data_dir):
        yield ok("database", f"not made yet: the first start makes it in {settings.data_dir}")
    else:
        with started(settings.data_dir) as urls:
            yield from _look(settings, urls, f"embedded, in {settings.data_dir}")


def _look(settings: Settings, urls: DatabaseUrls, where: str) -> Iterator[Finding]:
    with connect(urls.app, "YEOUL_DATABASE_URL") as app, connect(urls.service, "YEOUL_SERVICE_DATABASE_URL") as service:
        version = ".".join(map(str, divmod(service.info.server_version, 10_000)))
        yield ok("database", f"PostgreSQL {version}, {where}")
        yield from _clock(service)
        if (trouble := lacking(revisions(service))) is not None:
            yield problem("schema", f"the database {trouble}", "yeoul migrate")
            return
        yield ok("schema", f"revision {migrate.head()}, as it must be")
        yield from _rights(app, service)
        yield from _workers(service)
        kept = service.execute("SELECT count(*) FROM yeoul.secrets").fetchone()
    if kept is not None and kept[0]:  # without any, there need be no key to them
        yield from _vault(settings, urls)
    yield from _doorbell(settings, urls)


def _clock(service: Sync) -> Iterator[Finding]:
    before = datetime.now(UTC)
    row = service.execute("SELECT clock_timestamp()").fetchone()
    after = datetime.now(UTC)
    assert row is not None  # noqa: S101  (one row, always)
    apart = (row[0] - (before + (after - before) / 2)).total_seconds()
    found = f"the database's is {abs(apart):.1f} s {'ahead' if apart > 0 else 'behind'}"
    if abs(apart) > _CLOCK_SECONDS:
        yield warning("clock", found, "Have both machines keep time by NTP.")
    else:
        yield ok("clock", found)


def _rights(app: Sync, service: Sync) -> Iterator[Finding]:
    mend = "Have `yeoul migrate` make both roles, on a database where they are not there yet."
    well = True
    for connection in (app, service):
        row = connection.execute(_LOGIN).fetchone()
        assert row is not None  # noqa: S101  (whoever asks is a role)
        name, *rights = row
        if wrong := [words for words, has in zip(_TOO_MUCH, rights, strict=True) if has]:
            well = False
            yield problem("logins", f"{name} {' and '.join(wrong)}, and must not", mend)
    if unprotected := [name for (name,) in service.execute(_UNPROTECTED).fetchall()]:
        well = False
        found = f"no row level security on {', '.join(unprotected)}"
        yield problem("logins", found, "Somebody has taken it off: restore it as the migrations make it.")
    row = app.execute("SELECT count(*) FROM yeoul.jobs").fetchone()
    if row is not None and row[0]:
        well = False
        yield problem("logins", f"{migrate.APP} sees {row[0]} jobs without being bound to a user", mend)
    if well:
        yield ok("logins", f"{migrate.APP} sees one user's rows at a time, {migrate.SERVICE} all; neither is owner")


def _workers(service: Sync) -> Iterator[Finding]:
    row = service.execute(_WORKERS).fetchone()
    waiting = service.execute(_WAITING).fetchone()
    assert row is not None and waiting is not None  # noqa: S101, PT018  (aggregates give one row)
    jobs = f"{waiting[0]} waiting" if waiting[0] else "nothing waiting"
    if row[0] and (left := run_by_nobody(service)):
        names = ", ".join(left)
        mend = f"Start `yeoul worker --kinds {','.join(left)}`, or one without --kinds: such jobs wait."
        yield warning("workers", f"{row[0]} alive, none of which runs {names}; {jobs}", mend)
    elif row[0]:
        yield ok("workers", f"{row[0]} alive, {row[1]} jobs running, {jobs}")
    elif waiting[0]:
        yield warning("workers", f"none alive, {jobs}", "Start `yeoul serve` or `yeoul worker`.")
    else:
        yield ok("workers", f"none alive, {jobs}; `yeoul serve` brings one")


def _vault(settings: Settings, urls: DatabaseUrls) -> Iterator[Finding]:
    found = run(vault.standing(settings, urls))
    if found.lost:
        yield problem(
            "users' keys",
            f"{found.lost} stored keys of providers cannot be opened",
            "Every machine needs the same YEOUL_VAULT_KEY or YEOUL_SECRET_KEY; put a former one into "
            "YEOUL_VAULT_OLD_KEYS. Lost for good, their owners must store them anew.",
        )
    elif found.older:
        words = f"{found.older} stored keys of providers are sealed with a former key"
        yield warning("users' keys", words, "yeoul rotate-vault")
    else:
        yield ok("users' keys", f"{found.newest} stored keys of providers, all can be opened")


def _doorbell(settings: Settings, urls: DatabaseUrls) -> Iterator[Finding]:
    if settings.doorbell == "postgres":
        yield ok("doorbell", "PostgreSQL's own")
        return
    address = shown(settings.doorbell)
    if (trouble := run(_trouble(settings, urls))) is None:
        yield ok("doorbell", f"{address} answers")
    else:
        yield warning("doorbell", f"{address}: {trouble}", "Start it, or correct YEOUL_DOORBELL.")


async def _trouble(settings: Settings, urls: DatabaseUrls) -> str | None:
    """What keeps the broker from being heard after a while; null when it is heard."""
    async with opened(urls) as db:
        bell = open_doorbell(settings.doorbell, db, ListenHub(db), Ringer(db))
        await bell.start()
        try:
            async with asyncio.timeout(_DOORBELL_SECONDS):
                while bell.trouble is not None:  # noqa: ASYNC110  (it tells nobody when it is connected)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return bell.trouble
        finally:
            await bell.stop()
    return None
