"""``yeoul serve``, ``yeoul api`` and ``yeoul worker``: the long-running commands."""

from rich.console import Console

from yeoul.app import create_app, listen, serve
from yeoul.core.http.logs import configure
from yeoul.settings import Settings
from yeoul.worker import work

say = Console(stderr=True, highlight=False, soft_wrap=True)


async def serve_all(settings: Settings, *, worker: bool) -> None:
    """Serves the API, and runs jobs too where asked."""
    configure(settings)
    with listen(settings.host, settings.port) as listening:
        port = listening.getsockname()[1]
        settings = settings.model_copy(update={"port": port})
        app = create_app(settings, worker=worker)
        where = settings.data_dir if settings.embedded else "the database of YEOUL_DATABASE_URL"
        say.print(f"[dim]Starting; everything is kept in {where}[/]")
        await serve(app, listening, lambda: _ready(settings))


def _ready(settings: Settings) -> None:
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104  (shown, not bound)
    address = settings.public_url or f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    say.print(f"\n  [bold green]Yeoul is ready:[/] [bold]{address}[/]")
    say.print("  Open it in a browser and register; the first account is the administrator. Ctrl-C stops.\n")


async def work_alone(settings: Settings) -> None:
    """Runs jobs, without an API."""
    configure(settings)
    await work(settings)
