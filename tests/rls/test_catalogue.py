"""What the catalogue says of tables and functions; a new one that is left open fails here, with what to do."""

from typing import Any

import psycopg
import pytest

from tests.rls.conftest import Seeded

Connection = psycopg.Connection[tuple[Any, ...]]

# Tables with an owner that the app's login has no business with at all.
SERVICE_ONLY = {"queue_flow", "model_waits"}
OWNER_COLUMNS = ("owner_id", "user_id")

APP_FUNCTIONS = {
    "current_user_id", "submit_job", "submit_jobs", "cancel_job", "queue_place", "playground_cancel",
    "playground_delete",
}  # fmt: skip


def problems(connection: Connection) -> list[str]:
    """What is wrong with the schema's row security, each with its remedy."""
    found = []
    tables = connection.execute(
        "SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relispartition,"
        "  ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) "
        "FROM pg_class c WHERE c.relnamespace = 'yeoul'::regnamespace AND c.relkind IN ('r', 'p')"
        "  AND c.relname NOT LIKE 'alembic_version%'"
    ).fetchall()
    for oid, name, enabled, forced, partition, columns in tables:
        if not (enabled and forced):
            found.append(f"{name}: ALTER TABLE … ENABLE and FORCE ROW LEVEL SECURITY, as policies.sql does for all")
        if partition:
            continue
        policies = connection.execute(
            "SELECT ARRAY(SELECT r::regrole::text FROM unnest(polroles) r), pg_get_expr(polqual, polrelid),"
            " pg_get_expr(polwithcheck, polrelid) FROM pg_policy WHERE polrelid = %s",
            [oid],
        ).fetchall()
        if not policies:
            found.append(f"{name}: CREATE POLICY {name}_service … TO yeoul_owner, yeoul_service, at least")
        if any("-" in roles for roles, _, _ in policies):
            found.append(f"{name}: a policy is for PUBLIC; name the role it is for with TO")
        owned = name == "users" or bool(set(OWNER_COLUMNS) & set(columns))
        app = [(qual, check) for roles, qual, check in policies if "yeoul_app" in roles]
        bound = all("current_user_id" in expression for both in app for expression in both if expression is not None)
        if owned and name not in SERVICE_ONLY and not app:
            found.append(f"{name}: it has an owner; add a policy for yeoul_app that compares current_user_id()")
        if owned and not bound:
            found.append(f"{name}: its policy for yeoul_app must compare the owner with current_user_id()")
    return found


def test_every_table_is_under_row_security(seeded: Seeded) -> None:
    with psycopg.connect(seeded.urls.admin or "") as connection:
        assert problems(connection) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE yeoul.stray (id integer)", "stray: ALTER TABLE"),
        ("CREATE TABLE yeoul.stray (id integer)", "stray: CREATE POLICY"),
        ("CREATE TABLE yeoul.stray (owner_id uuid)", "stray: it has an owner"),
        ("ALTER TABLE yeoul.jobs NO FORCE ROW LEVEL SECURITY", "jobs: ALTER TABLE"),
        ("ALTER TABLE yeoul.events_shared DISABLE ROW LEVEL SECURITY", "events_shared: ALTER TABLE"),
        ("DROP POLICY jobs_own ON yeoul.jobs", "jobs: it has an owner"),
        ("ALTER POLICY jobs_own ON yeoul.jobs USING (true)", "jobs: its policy for yeoul_app must compare"),
        ("ALTER POLICY jobs_own ON yeoul.jobs TO PUBLIC", "jobs: a policy is for PUBLIC"),
    ],
)
def test_a_hole_is_found(seeded: Seeded, statement: str, said: str) -> None:
    with psycopg.connect(seeded.urls.admin or "") as connection:
        connection.execute(statement.encode())
        assert any(problem.startswith(said) for problem in problems(connection))
        connection.rollback()


def test_who_may_call_which_function(seeded: Seeded) -> None:
    with psycopg.connect(seeded.urls.admin or "") as connection:
        functions = connection.execute(
            "SELECT proname, has_function_privilege('public', oid, 'EXECUTE'),"
            " has_function_privilege('yeoul_app', oid, 'EXECUTE'),"
            " has_function_privilege('yeoul_service', oid, 'EXECUTE')"
            " FROM pg_proc WHERE pronamespace = 'yeoul'::regnamespace"
        ).fetchall()
    assert [name for name, public, _, _ in functions if public] == [], "REVOKE EXECUTE … FROM PUBLIC"
    assert {name for name, _, app, _ in functions if app} == APP_FUNCTIONS, "GRANT it, and say why here"
    assert [name for name, _, _, service in functions if not service] == []


def test_definers_name_their_search_path(seeded: Seeded) -> None:
    """``pg_temp`` last: a schema that is not named comes first, and any login may make tables in it."""
    with psycopg.connect(seeded.urls.admin or "") as connection:
        functions = connection.execute(
            "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'yeoul'::regnamespace AND prosecdef"
        ).fetchall()
    assert {name for name, _ in functions} > {"submit_job", "cancel_job", "queue_place", "append_to_topics"}
    loose = [name for name, config in functions if "search_path=pg_catalog, yeoul, pg_temp" not in (config or [])]
    assert loose == [], "SET search_path = pg_catalog, yeoul, pg_temp"


def test_nothing_but_what_is_granted(seeded: Seeded) -> None:
    """No sequence, view or type of the schema is open to the app's login or to everybody."""
    with psycopg.connect(seeded.urls.admin or "") as connection:
        open_ones = connection.execute(
            "SELECT c.relname FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a"
            " WHERE c.relnamespace = 'yeoul'::regnamespace"
            " AND (a.grantee = 0 OR (a.grantee = 'yeoul_app'::regrole AND c.relkind NOT IN ('r', 'p')))"
        ).fetchall()
    assert open_ones == []
