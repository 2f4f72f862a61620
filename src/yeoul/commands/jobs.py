"""``yeoul jobs``: look at jobs, follow, cancel and retry them."""

from typing import Annotated, Literal
from uuid import UUID

import typer

from yeoul.commands.terminal import AsJson, in_words, load

app = typer.Typer(no_args_is_help=True, help="List jobs, follow, cancel and retry them.")

As = Annotated[str | None, typer.Option("--as", metavar="EMAIL", help="Whose. Default: the first administrator's.")]
Job = Annotated[UUID, typer.Argument(metavar="ID", help="The job's id.")]
Status = Literal["queued", "running", "succeeded", "failed", "canceled"]


@app.command("list")
def list_jobs(
    *,
    status: Annotated[Status | None, typer.Option(help="Only jobs of this status.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind, such as llm.complete.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    email: As = None,
    as_json: AsJson = False,
) -> None:
    """A user's jobs, the newest first."""
    with in_words():
        from yeoul.commands import jobs_at_work as work

        work.listing(load(), work.Wanted(status, kind, limit, cursor, email), as_json=as_json)


@app.command()
def show(job: Job, *, as_json: AsJson = False) -> None:
    """One job: its state, what it was asked, what came of it."""
    with in_words():
        from yeoul.commands import jobs_at_work as work

        work.show(load(), job, as_json=as_json)


@app.command()
def events(
    job: Job,
    *,
    after: Annotated[int, typer.Option(min=0, help="The number of the last event you have seen.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """What a job has said: its event log."""
    with in_words():
        from yeoul.commands import jobs_at_work as work

        work.events(load(), job, after, follow=follow, as_json=as_json)


@app.command()
def cancel(
    job: Job,
    *,
    wait: Annotated[float, typer.Option(min=0, help="How long to wait for its worker to stop, in seconds.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Cancel a job that waits or runs. One that has ended stays as it ended."""
    with in_words():
        from yeoul.commands import jobs_at_work as work

        work.cancel(load(), job, wait, as_json=as_json)


@app.command()
def retry(
    job: Job,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show its answer, as `yeoul run` does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job that has ended again, as a new job. Steps that finished are not run again."""
    with in_words():
        from yeoul.commands import jobs_at_work as work

        raise typer.Exit(work.retry(load(), job, follow=follow, as_json=as_json))
