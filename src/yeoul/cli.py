"""The ``yeoul`` command."""

from collections.abc import Coroutine
from typing import Annotated, Any

import typer
import uvloop
from pydantic import ValidationError
from rich.console import Console

from yeoul import __version__
from yeoul.core.base.errors import YeoulError
from yeoul.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The backend of an AI product.")
say = Console(stderr=True, highlight=False, soft_wrap=True)

Host = Annotated[str | None, typer.Option(help="Address to listen on.  [YEOUL_HOST]")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.  [YEOUL_PORT]")]
Concurrency = Annotated[int | None, typer.Option(min=1, max=1000, help="Jobs run at a time.  [YEOUL_WORKER_CONCURRENCY]")]


def load(**given: Any) -> Settings:  # noqa: ANN401  (settings by name, of any type)
    """The settings, with what the command line says on top; ends the command when one is not acceptable."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            name = "YEOUL_" + "_".join(map(str, item["loc"])).upper().removeprefix("YEOUL_")
            say.print(f"[red]{name}[/]: {item['msg']}")
        raise typer.Exit(2) from None


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a command's coroutine; an error of ours is said in its words, without a traceback."""
    try:
        uvloop.run(main)
    except YeoulError as error:
        say.print(f"[red]{error.title}.[/] {error.detail}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.callback(invoke_without_command=True)
def version(*, show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Durable AI jobs with live streams, in one service."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def serve(host: Host = None, port: Port = None, concurrency: Concurrency = None) -> None:
    """Everything in one process: database, API, worker, console."""
    from yeoul.commands.serve import serve_all  # noqa: PLC0415  (a quick command does not pay for the server's imports)

    run(serve_all(load(host=host, port=port, worker_concurrency=concurrency), worker=True))


@app.command()
def api(host: Host = None, port: Port = None) -> None:
    """The API and the console alone; run `yeoul worker` beside it."""
    from yeoul.commands.serve import serve_all  # noqa: PLC0415

    run(serve_all(load(host=host, port=port), worker=False))


@app.command()
def worker(concurrency: Concurrency = None) -> None:
    """A worker alone: as many as wanted, on as many machines."""
    from yeoul.commands.serve import work_alone  # noqa: PLC0415

    run(work_alone(load(worker_concurrency=concurrency)))


def main() -> None:
    """Entry of the ``yeoul`` script."""
    app()
