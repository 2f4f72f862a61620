"""``yeoul users``: what an operator does to accounts, also when nobody can sign in any more."""

from typing import Annotated, Literal

import typer

from yeoul.commands.terminal import AsJson, in_words, load

app = typer.Typer(no_args_is_help=True, help="List accounts, change roles and passwords, lock people out.")

Email = Annotated[str, typer.Argument(metavar="EMAIL")]
FromStdin = Annotated[bool, typer.Option("--stdin", help="Read the password from standard input, one line.")]


@app.command("list")
def list_users(*, as_json: AsJson = False) -> None:
    """Everybody, the oldest account first."""
    with in_words():
        from yeoul.commands import users_at_work as work

        work.listing(load(), as_json=as_json)


@app.command()
def add(
    email: Email,
    *,
    admin: Annotated[bool, typer.Option("--admin", help="As an administrator.")] = False,
    from_stdin: FromStdin = False,
) -> None:
    """Make an account, even where registration is closed."""
    with in_words():
        from yeoul.commands import users_at_work as work

        work.add(load(), email, work.ask_password(email, from_stdin=from_stdin), "admin" if admin else "user")


@app.command("set-role")
def set_role(email: Email, role: Annotated[Literal["user", "admin"], typer.Argument(metavar="user|admin")]) -> None:
    """Make somebody an administrator, or an ordinary user again."""
    with in_words():
        from yeoul.commands import users_at_work as work

        work.set_role(load(), email, role)


@app.command("set-weight")
def set_weight(
    email: Email,
    weight: Annotated[float, typer.Argument(metavar="WEIGHT", min=0.01, max=100, help="1 is everybody's.")],
) -> None:
    """Give somebody's waiting jobs a larger or smaller share of the workers: 2 is twice as many as others get."""
    with in_words():
        from yeoul.commands import users_at_work as work

        work.set_weight(load(), email, weight)


@app.command()
def disable(email: Email) -> None:
    """Lock an account and end its sessions."""
    with in_words():
        from yeoul.commands import users_at_work as work

        work.set_disabled(load(), email, disabled=True)


@app.command()
def enable(email: Email) -> None:
    """Open a locked account again."""
    with in_words():
        from yeoul.commands import users_at_work as work

        work.set_disabled(load(), email, disabled=False)


@app.command("set-password")
def set_password(email: Email, *, from_stdin: FromStdin = False) -> None:
    """Replace a password, end the sessions opened with the old one, and lift the limit on failed sign-ins."""
    with in_words():
        from yeoul.commands import users_at_work as work

        work.set_password(load(), email, work.ask_password(email, from_stdin=from_stdin))
