"""``yeoul schedules``: jobs that are submitted again and again."""

from typing import Annotated, Literal

import typer

from yeoul.commands.terminal import AsJson, in_words, load

app = typer.Typer(no_args_is_help=True, help="List schedules, add, pause, resume, delete and run them.")

As = Annotated[
    str | None,
    typer.Option("--as", metavar="EMAIL", help="Whose. Default: the first administrator's; `system`: maintenance."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name, or its id.")]


@app.command("list")
def list_schedules(
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    email: As = None,
    as_json: AsJson = False,
) -> None:
    """A user's schedules, the newest first."""
    with in_words():
        from yeoul.commands import schedules_at_work as work

        work.listing(load(), limit, cursor, email, as_json=as_json)


@app.command()
def add(  # noqa: PLR0913  (one for each option)
    name: Annotated[str, typer.Argument(help="What tells it from others.")],
    *,
    kind: Annotated[str, typer.Option(help="The kind of job, such as llm.complete.")] = "llm.complete",
    given: Annotated[str, typer.Option("--input", help="The job's input as JSON; - reads it from standard input.")],
    cron: Annotated[
        str | None, typer.Option(help='When: five fields ("0 9 * * MON-FRI"), or @hourly, @daily …')
    ] = None,
    every: Annotated[int | None, typer.Option(help="Every so many seconds instead.")] = None,
    time_zone: Annotated[str, typer.Option("--zone", help="IANA time zone of --cron, such as Asia/Seoul.")] = "UTC",
    priority: Annotated[int, typer.Option(min=0, max=9, help="Of its jobs.")] = 5,
    missed: Annotated[Literal["skip", "once"], typer.Option(help="Ticks nobody was there for.")] = "once",
    overlap: Annotated[Literal["allow", "skip"], typer.Option(help="While its last run has not ended.")] = "skip",
    email: As = None,
    as_json: AsJson = False,
) -> None:
    """Add a schedule. It runs at its next tick, not at once."""
    with in_words():
        from yeoul.commands import schedules_at_work as work

        when = {"cron": cron, "every_seconds": every, "time_zone": time_zone}
        rest = {"kind": kind, "priority": priority, "missed": missed, "overlap": overlap}
        work.add(load(), {"name": name, **when, **rest}, given, email, as_json=as_json)


@app.command()
def pause(name: Name, *, email: As = None, as_json: AsJson = False) -> None:
    """Have it stand still until it is resumed."""
    with in_words():
        from yeoul.commands import schedules_at_work as work

        work.enable(load(), name, email, enabled=False, as_json=as_json)


@app.command()
def resume(name: Name, *, email: As = None, as_json: AsJson = False) -> None:
    """Have it go on, from its next tick."""
    with in_words():
        from yeoul.commands import schedules_at_work as work

        work.enable(load(), name, email, enabled=True, as_json=as_json)


@app.command()
def delete(name: Name, *, email: As = None) -> None:
    """Delete it. The jobs it has made stay."""
    with in_words():
        from yeoul.commands import schedules_at_work as work

        work.delete(load(), name, email)


@app.command("run")
def run_now(name: Name, *, email: As = None, as_json: AsJson = False) -> None:
    """Submit its job now, paused or not; print the job's id."""
    with in_words():
        from yeoul.commands import schedules_at_work as work

        work.run_now(load(), name, email, as_json=as_json)
