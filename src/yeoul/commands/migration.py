"""``yeoul migrate``: brings the schema to this version's, and on a PostgreSQL of somebody's own makes the roles."""

from sqlalchemy.engine import make_url

from yeoul.commands import database
from yeoul.commands.session import quiet
from yeoul.commands.terminal import fail, say
from yeoul.core.base.errors import Unavailable
from yeoul.core.db import migrate as schema
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings


def migrate(settings: Settings) -> None:
    """Migrates, and prints the revision before and after."""
    quiet(settings)
    if settings.embedded:
        with database.started(settings.data_dir) as urls:
            database.ensure_database(urls)
            _say(database.upgrade(urls))
        return
    urls = database.addresses(settings)
    if urls.admin is None:
        raise Unavailable(
            "Migrating takes an administrator of the database: set YEOUL_ADMIN_DATABASE_URL for this command, to the "
            "same database as YEOUL_DATABASE_URL, as a login that may create roles and schemas."
        )
    target, ours = make_url(urls.admin).database, make_url(urls.app).database
    if target != ours or make_url(urls.service).database != ours:
        raise Unavailable(
            f"The addresses name different databases: YEOUL_ADMIN_DATABASE_URL {target}, YEOUL_DATABASE_URL {ours}, "
            f"YEOUL_SERVICE_DATABASE_URL {make_url(urls.service).database}. They must name one."
        )
    database.ensure_database(urls)
    _say(database.upgrade(urls))
    _try_logins(urls)


def check(settings: Settings) -> None:
    """Ends with exit code 1 when the database lacks a migration, of the core or of a product; changes nothing."""
    quiet(settings)
    if settings.embedded:
        if not database.made(settings.data_dir):
            fail(f"There is no database in {settings.data_dir} yet: the first start makes it.")
        with database.started(settings.data_dir) as urls:
            trouble = _lacking(database.admin_of(urls), "the embedded database")
    else:
        trouble = _lacking(database.addresses(settings).service, "YEOUL_SERVICE_DATABASE_URL")
    if trouble is not None:
        fail(f"The database {trouble}: run `yeoul migrate`.")
    say(f"The database is at revision {schema.head()}, as it must be.")


def _lacking(url: str, variable: str) -> str | None:
    with database.connect(url, variable) as connection:
        return database.lacking(database.revisions(connection))


def _say(moves: list[str]) -> None:
    if moves:
        say(f"Migrated {', '.join(moves)}.")
    else:
        say(f"The database is at revision {schema.head()} already: nothing to do.")


def _try_logins(urls: DatabaseUrls) -> None:
    for (variable, role), url in zip(database.LOGINS.items(), (urls.app, urls.service), strict=True):
        try:
            with database.connect(url, variable):
                pass
        except Unavailable as error:
            raise Unavailable(
                f"The database is migrated, but {role} cannot sign in. {error.detail} A role that was there before "
                f"keeps its password: correct {variable}, or give it the address's: ALTER ROLE {role} PASSWORD '…'."
            ) from None
    say(f"{schema.APP} and {schema.SERVICE} can sign in.")
