"""``yeoul serve``, ``yeoul api`` and ``yeoul worker``: the commands that run until they are told to stop."""

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from yeoul.app import create_app, listen, serve
from yeoul.commands import database, weights
from yeoul.commands.terminal import console, run, say
from yeoul.core.auth import repository as accounts
from yeoul.core.base.errors import Unavailable
from yeoul.core.http.logs import configure
from yeoul.core.jobs.errors import UnknownKind
from yeoul.core.runtime.services import DatabaseUrls, Services
from yeoul.settings import Settings
from yeoul.worker import all_kinds, work

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (shown, not bound)


def serve_all(settings: Settings, *, worker: bool) -> None:
    """Serves the API, and runs jobs too where asked, until Ctrl-C or SIGTERM."""
    configure(settings)
    with listen(settings.host, settings.port) as listening:
        port = listening.getsockname()[1]
        settings = settings.model_copy(update={"port": port})
        with database.ready(settings):
            weights.get(settings)
            try:
                listening.listen()
            except OSError as error:  # another process was a moment quicker
                raise Unavailable(f"Cannot listen on {settings.host}:{port}: {error.strerror}.") from None
            app = create_app(settings, worker=worker)
            greetings: set[asyncio.Task[None]] = set()

            def ready() -> None:
                greetings.add(asyncio.get_running_loop().create_task(_greet(app.state.services, worker=worker)))

            run(serve(app, listening, ready))


def work_alone(settings: Settings) -> None:
    """Runs jobs, without an API, until Ctrl-C or SIGTERM."""
    configure(settings)
    known = all_kinds().names()
    if strange := [name for name in settings.worker_kinds if name not in known]:
        # Not as a client is told: a worker may be kept to kinds that our own code alone submits, too.
        raise UnknownKind(f"There is no kind {strange[0]!r} here. Known kinds: {', '.join(known)}.")
    with database.ready(settings) as urls:
        weights.get(settings)
        which = f"jobs of kind {', '.join(settings.worker_kinds)}" if settings.worker_kinds else "jobs"
        news = f"This worker is ready: {settings.worker_concurrency} {which} at a time. Ctrl-C stops."
        if settings.worker_kinds and (left := _left_out(settings, urls)):
            news += f" Nobody runs {', '.join(left)} yet."
        run(work(settings, lambda: say(news, "bold green")))


def _left_out(settings: Settings, urls: DatabaseUrls) -> list[str]:
    with database.connect(urls.service, "YEOUL_SERVICE_DATABASE_URL") as connection:
        return [name for name in database.run_by_nobody(connection) if name not in settings.worker_kinds]


async def _greet(services: Services, *, worker: bool) -> None:
    settings = services.settings
    host = EVERYWHERE.get(settings.host, settings.host)
    address = settings.public_url or f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    out = console()
    out.print("\n  [bold green]Yeoul is ready:[/]", end=" ")
    out.print(address, style="bold", markup=False)
    out.print(f"  {await _how_to_sign_in(services)} Ctrl-C stops.", markup=False)
    if not worker and (lacking := await services.readiness["worker"]()):
        out.print(f"  {lacking}", style="yellow", markup=False)
    out.print()


async def _how_to_sign_in(services: Services) -> str:
    settings = services.settings
    try:
        async with services.database.as_service("greeting: is anybody registered?") as session:
            somebody = await accounts.has_accounts(session)
    except (SQLAlchemyError, OSError):  # the log says more
        somebody = True
    if somebody:
        return "Open it in a browser and sign in."
    if settings.registration == "closed":
        return "Registration is closed; make the first account with `yeoul users add EMAIL --admin`."
    if settings.first_user_is_admin:
        return "Open it in a browser and register: the first account is the administrator's."
    return "Open it in a browser and register."
