"""The logins: what they are not, and what they cannot do to the schema, whatever a table's policies say."""

import psycopg
import pytest

from yeoul.core.runtime.services import DatabaseUrls


@pytest.fixture(params=["app", "service"])
def login(request: pytest.FixtureRequest, urls: DatabaseUrls) -> str:
    return str(getattr(urls, request.param))


def test_neither_superuser_nor_owner(urls: DatabaseUrls) -> None:
    with psycopg.connect(urls.admin or "") as connection:
        assert connection.execute(
            "SELECT rolname, rolcanlogin, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication"
            " FROM pg_roles WHERE rolname LIKE 'yeoul%' ORDER BY rolname"
        ).fetchall() == [("yeoul_app", True, False), ("yeoul_owner", False, False), ("yeoul_service", True, False)]
        assert (
            connection.execute(  # no login may become another role
                "SELECT m.rolname FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member"
                " WHERE m.rolname IN ('yeoul_app', 'yeoul_service')"
            ).fetchall()
            == []
        )
        owners = connection.execute(
            "SELECT relowner::regrole::text FROM pg_class WHERE relnamespace = 'yeoul'::regnamespace"
            " UNION SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'yeoul'::regnamespace"
            " UNION SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'yeoul'"
        ).fetchall()
        assert owners == [("yeoul_owner",)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE yeoul.mine (id integer)",
        "CREATE TABLE public.mine (id integer)",
        "CREATE FUNCTION yeoul.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE yeoul.jobs NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE yeoul.jobs DISABLE TRIGGER jobs_terminal",
        "DROP POLICY jobs_own ON yeoul.jobs",
        "TRUNCATE yeoul.jobs CASCADE",
        "UPDATE yeoul.alembic_version SET version_num = '0'",
        "SET ROLE yeoul_owner",
        "SET session_replication_role = replica",
        "COPY yeoul.jobs TO PROGRAM 'true'",
    ],
)
def test_no_login_changes_the_schema(login: str, statement: str) -> None:
    with psycopg.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_row_security_cannot_be_turned_off(urls: DatabaseUrls) -> None:
    """The setting makes a filtered query fail; it never lets one pass."""
    with psycopg.connect(urls.app) as connection:
        connection.execute("SET row_security = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute("SELECT FROM yeoul.jobs")
