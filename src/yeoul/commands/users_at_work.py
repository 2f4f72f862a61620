"""What ``yeoul users`` does."""

import sys
from collections.abc import Awaitable, Callable

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.commands import database
from yeoul.commands.session import opened, quiet
from yeoul.commands.terminal import local_time, print_json, print_table, run, say
from yeoul.core.auth import administration
from yeoul.core.auth.principal import Role
from yeoul.core.auth.tables import User
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings


def listing(settings: Settings, *, as_json: bool) -> None:
    """Prints everybody."""
    quiet(settings)
    with database.ready(settings) as urls:
        everybody = run(_everybody(urls))
    if as_json:
        print_json([_facts(user) for user in everybody])
    elif everybody:
        rows = [
            (user.email, user.name or "", user.role, administration.state(user), local_time(user.created_at))
            for user in everybody
        ]
        print_table(("email", "name", "role", "state", "since"), rows)
    else:
        say("Nobody has registered yet. `yeoul users add EMAIL --admin` makes an account.")


def ask_password(email: str, *, from_stdin: bool) -> str:
    """A new password, typed twice and not shown, or a line of standard input."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    asked: str = typer.prompt(f"New password of {email}", hide_input=True, confirmation_prompt=True, err=True)
    return asked


def add(settings: Settings, email: str, password: str, role: Role) -> None:
    """Makes an account."""

    async def work(session: AsyncSession) -> User:
        return await administration.add(session, email, hashed, role)

    hashed = run(administration.hash_for(email, password))
    made = _change(settings, work)
    say(f"Made {made.email}, {'an administrator' if role == 'admin' else 'an ordinary user'}.")


def set_role(settings: Settings, email: str, role: Role) -> None:
    """Gives somebody a role."""
    changed = _change(settings, lambda session: administration.set_role(session, email, role))
    now = "an administrator" if role == "admin" else "an ordinary user"
    say(f"{changed.email} is {now} now; {_soon(settings)}")


def set_weight(settings: Settings, email: str, weight: float) -> None:
    """Gives somebody's jobs a weight in fair share."""
    changed = _change(settings, lambda session: administration.set_weight(session, email, weight))
    say(f"Jobs {changed.email} submits from now on have weight {weight:g} in fair share.")


def set_disabled(settings: Settings, email: str, *, disabled: bool) -> None:
    """Locks or opens an account."""
    changed = _change(settings, lambda session: administration.set_disabled(session, email, disabled=disabled))
    if disabled:
        say(f"{changed.email} is locked and signed out everywhere; {_soon(settings)}")
    else:
        say(f"{changed.email} may sign in again.")


def set_password(settings: Settings, email: str, password: str) -> None:
    """Replaces a password."""

    async def work(session: AsyncSession) -> User:
        return await administration.set_password(session, email, hashed)

    hashed = run(administration.hash_for(email, password))
    changed = _change(settings, work)
    say(f"{changed.email} has a new password and is signed out everywhere; {_soon(settings)}")


def _soon(settings: Settings) -> str:
    return f"access tokens given out before are good for another {settings.access_token_seconds / 60:.0f} min at most."


def _change(settings: Settings, work: Callable[[AsyncSession], Awaitable[User]]) -> User:
    quiet(settings)
    with database.ready(settings) as urls:
        return run(_in_one_transaction(urls, work))


async def _in_one_transaction(urls: DatabaseUrls, work: Callable[[AsyncSession], Awaitable[User]]) -> User:
    async with opened(urls) as db, db.as_service("command line: change an account") as session:
        return await work(session)


async def _everybody(urls: DatabaseUrls) -> list[User]:
    async with opened(urls) as db, db.as_service("command line: list accounts") as session:
        return list(await administration.users(session))


def _facts(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "state": administration.state(user),
        "created_at": user.created_at.isoformat(),
    }
