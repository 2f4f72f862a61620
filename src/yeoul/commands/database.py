"""Makes sure of the database before a command needs it: there, of the right version, migrated, and its logins let in.

Done in the open, on the main thread, before any event loop: slow steps are shown, Ctrl-C works, and what is wrong is
said in one line. Whoever opens the database afterwards finds it running and migrated, which takes milliseconds.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from rich.text import Text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from yeoul.commands.terminal import console, first_line, is_lost_database, say
from yeoul.core.base.errors import Unavailable
from yeoul.core.db import embedded, migrate
from yeoul.core.db.database import driver_url
from yeoul.core.runtime.services import DATABASE_NAME, DatabaseUrls
from yeoul.schema import METADATA
from yeoul.settings import Settings
from yeoul.worker import all_kinds

CONNECT_SECONDS = 5
RESTART_SECONDS = 60
"""How long the embedded database may take to come back when it dies while we look at it."""
RETRY_SECONDS = 0.2
OLDEST = 18
"""The PostgreSQL version that brings the functions we use."""

LOGINS = {"YEOUL_DATABASE_URL": migrate.APP, "YEOUL_SERVICE_DATABASE_URL": migrate.SERVICE}
"""The role that each address must sign in as."""

Sync = psycopg.Connection[tuple[Any, ...]]


@contextmanager
def ready(settings: Settings) -> Iterator[DatabaseUrls]:
    """The addresses of a database that works and is migrated, kept running until the end.

    Raises ``Unavailable`` with what to do.
    """
    if not settings.embedded:
        yield _outside(settings)
        return
    with started(settings.data_dir) as urls:
        _make_ready(urls)
        yield urls


def _make_ready(urls: DatabaseUrls) -> None:
    """Looks at the embedded database, once more when it dies meanwhile: whoever uses it starts it again."""
    deadline = time.monotonic() + RESTART_SECONDS
    while True:
        try:
            ensure_database(urls)
            upgrade(urls)
        except (Unavailable, psycopg.Error) as error:
            cause = error if isinstance(error, psycopg.Error) else error.__cause__ or error.__context__
            if time.monotonic() > deadline or not (isinstance(cause, Exception) and is_lost_database(cause)):
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def check_folder(folder: Path) -> None:
    """Makes the data folder; raises ``Unavailable`` when it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        raise Unavailable(
            f"Cannot write to the data folder {folder}: {error.strerror or error}. "
            "Choose another with YEOUL_DATA_DIR, or let this user write to it."
        ) from None


@contextmanager
def started(folder: Path) -> Iterator[DatabaseUrls]:
    """The embedded PostgreSQL of a data folder, running until the end; the database in it may be missing, or old."""
    check_folder(folder)
    first = not made(folder)
    try:
        what = f"Making the database in {folder / 'postgres'}" if first else "Starting the database"
        with doing(what, rare=first):
            server = embedded.start(folder)
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        free = shutil.disk_usage(folder).free / 1e6
        output = getattr(error, "stderr", None) or getattr(error, "output", None) or error
        said = output.decode(errors="replace") if isinstance(output, bytes) else str(output)
        last = (said.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(
            f"The embedded PostgreSQL of {folder} could not be set up: {last} ({free:,.0f} MB are free there.) "
            "`yeoul doctor` looks at the whole installation."
        ) from error
    try:
        yield DatabaseUrls(
            server.url(migrate.APP, DATABASE_NAME),
            server.url(migrate.SERVICE, DATABASE_NAME),
            server.url("postgres", DATABASE_NAME),
        )
    finally:
        server.close()


def made(folder: Path) -> bool:
    """Whether a data folder holds an embedded database already."""
    return (folder / "postgres").exists()


def ensure_database(urls: DatabaseUrls) -> None:
    """Makes the database where the administrator may; where not, connecting to it says what is wrong."""
    address = parsed(admin_of(urls), "YEOUL_ADMIN_DATABASE_URL")
    if address.database is None:
        raise Unavailable("YEOUL_ADMIN_DATABASE_URL names no database: it ends with /yeoul, say.")
    elsewhere = address.set(database="postgres").render_as_string(hide_password=False)
    with suppress(psycopg.Error):
        migrate.ensure_database(elsewhere, address.database)


def admin_of(urls: DatabaseUrls) -> str:
    """The administrator's address, where the caller knows that there is one."""
    if urls.admin is None:
        raise AssertionError("there is no administrator's address")
    return urls.admin


def upgrade(urls: DatabaseUrls) -> list[str]:
    """Migrates with the administrator's address; says what has moved: `the database from revision 0001 to 0002`."""
    with connect(admin_of(urls), "YEOUL_ADMIN_DATABASE_URL") as connection:
        found = revisions(connection)
    moves = [
        f"{'the database' if history.name == 'core' else history.name} "
        f"from revision {found.get(history.name, '(none)')} to {history.head}"
        for history in migrate.behind(found, METADATA)
    ]
    what = f"Migrating {', '.join(moves)}" if moves else "Looking at the database"
    try:
        with doing(what if found else "Making the tables", rare=bool(moves)):
            migrate.upgrade_to_head(admin_of(urls), urls.app, urls.service, METADATA)
    except (psycopg.Error, SQLAlchemyError) as error:
        raise Unavailable(
            f"The migration failed, and changed nothing: {first_line(error)}. "
            "The administrator's login needs CREATEROLE and CREATE on the database."
        ) from error
    return moves


def _outside(settings: Settings) -> DatabaseUrls:
    """A PostgreSQL of somebody's own, made sure of; migrated where an administrator's address is given too."""
    urls = addresses(settings)
    if urls.admin is not None:
        upgrade(urls)
    with connect(urls.app, "YEOUL_DATABASE_URL"), connect(urls.service, "YEOUL_SERVICE_DATABASE_URL") as connection:
        trouble = lacking(revisions(connection))
    if trouble is not None:
        raise Unavailable(f"The database {trouble}. Run `yeoul migrate` with YEOUL_ADMIN_DATABASE_URL.")
    return urls


def addresses(settings: Settings) -> DatabaseUrls:
    """The settings' addresses; raises ``Unavailable`` when one is missing, is none, or names another role than ours."""
    if settings.database_url is None or settings.service_database_url is None:
        raise Unavailable(
            "YEOUL_DATABASE_URL is set, so YEOUL_SERVICE_DATABASE_URL is needed too: "
            "the same database, as the login yeoul_service."
        )
    urls = DatabaseUrls(settings.database_url, settings.service_database_url, settings.admin_database_url)
    for (variable, role), url in zip(LOGINS.items(), (urls.app, urls.service), strict=True):
        user = parsed(url, variable).username
        if user != role:
            raise Unavailable(
                f"{variable} signs in as {user or 'nobody by name'}, and must as {role}: the roles are named "
                f"{migrate.APP} and {migrate.SERVICE}, and what each may do is written for these names. "
                "`yeoul migrate` makes them, with the passwords in the two addresses."
            )
    if urls.admin is not None:
        parsed(urls.admin, "YEOUL_ADMIN_DATABASE_URL")
    return urls


def parsed(url: str, variable: str) -> URL:
    """An address in its parts; raises ``Unavailable`` when it is no PostgreSQL address."""
    try:
        made = make_url(url)
    except (ArgumentError, ValueError):
        made = None
    if made is None or not made.drivername.startswith("postgres"):
        raise Unavailable(
            f"{variable} is no PostgreSQL address: it looks like postgresql://user:password@host/database."
        )
    return made


@contextmanager
def connect(url: str, variable: str) -> Iterator[Sync]:
    """A connection for a look around; raises ``Unavailable`` when there is none to be had."""
    address = parsed(url, variable)
    place = f"{address.host or 'the local socket'}{f':{address.port}' if address.port else ''}/{address.database or ''}"
    try:
        connection = psycopg.connect(driver_url(url), autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.Error as error:
        why = first_line(error).replace(address.password or "\0", "(hidden)")
        raise Unavailable(
            f"Cannot open the database of {variable} ({address.username or 'no user'} at {place}): "
            f"{why}. Start it, or correct {variable}; `yeoul migrate` makes roles that are missing."
        ) from None
    with connection:
        if (version := connection.info.server_version // 10_000) < OLDEST:
            raise Unavailable(f"The database of {variable} is PostgreSQL {version}; Yeoul needs {OLDEST} or newer.")
        yield connection


def revisions(connection: Sync) -> dict[str, str]:
    """The revisions a database is at, the core's and its products'; empty when Yeoul has not been there."""
    try:
        return migrate.revisions(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        raise Unavailable(
            f"{connection.info.user} may not look at the schema yeoul: {first_line(error)}. Run `yeoul migrate`."
        ) from None


def lacking(found: Mapping[str, str]) -> str | None:
    """What is wrong with a database at these revisions: `is at revision 0001 and must be at 0002`; None if nothing is.

    Raises ``SchemaTooNew`` when it is newer than what is installed.
    """
    if not found:
        return "is empty"
    words = [
        f"is at revision {found.get(history.name, '(none)')}"
        f"{'' if history.name == 'core' else f' of {history.name}'} and must be at {history.head}"
        for history in migrate.behind(found, METADATA)
    ]
    return ", ".join(words) or None


def somebody_works(urls: DatabaseUrls, kind: str) -> bool:
    """Whether a worker is alive that runs jobs of this kind."""
    with connect(urls.service, "YEOUL_SERVICE_DATABASE_URL") as connection:
        found = connection.execute(
            "SELECT EXISTS (SELECT FROM yeoul.workers WHERE expires_at > now() AND %s = ANY (kinds))", [kind]
        ).fetchone()
    return found is not None and bool(found[0])


def run_by_nobody(connection: Sync) -> list[str]:
    """The kinds whose jobs no living worker takes, though one might."""
    rows = connection.execute("SELECT unnest(kinds) FROM yeoul.workers WHERE expires_at > now()").fetchall()
    taken = {kind for (kind,) in rows}
    return sorted(kind.name for kind in all_kinds() if not kind.everywhere and kind.name not in taken)


@contextmanager
def doing(what: str, *, rare: bool) -> Iterator[None]:
    """Shows a step while it lasts, in a terminal. One that is ``rare`` leaves a line behind, there and elsewhere."""
    out = console()
    if out.is_terminal:
        with out.status(Text(f"{what} …", style="dim")):
            yield
        if rare:
            say(f"{what}: done", "dim")
    else:
        if rare:
            say(f"{what} …")
        yield
