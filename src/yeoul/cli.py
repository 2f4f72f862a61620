"""The ``yeoul`` command. What a command needs is imported when it runs, so that `yeoul --help` is there at once."""

from pathlib import Path
from typing import Annotated

import typer

from yeoul import __version__
from yeoul.commands import jobs, models, schedules, users
from yeoul.commands.terminal import AsJson, importing, in_words, load, starting, told_to_stop

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The backend of an AI product."
)
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(schedules.app, name="schedules")
app.add_typer(users.app, name="users")

Host = Annotated[str | None, typer.Option(help="Address to listen on.  [YEOUL_HOST]")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.  [YEOUL_PORT]")
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Jobs run at a time.  [YEOUL_WORKER_CONCURRENCY]")
]


@app.callback(invoke_without_command=True)
def version(*, show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Durable AI jobs with live streams, in one service."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def serve(host: Host = None, port: Port = None, concurrency: Concurrency = None) -> None:
    """Everything in one process: database, API, worker, console."""
    settings = load(host=host, port=port, worker_concurrency=concurrency)
    with in_words(), told_to_stop():
        starting(settings)
        with importing():
            from yeoul.commands.serve import serve_all
        serve_all(settings, worker=True)


@app.command()
def api(host: Host = None, port: Port = None) -> None:
    """The API and the console alone; run `yeoul worker` beside it."""
    settings = load(host=host, port=port)
    with in_words(), told_to_stop():
        starting(settings)
        with importing():
            from yeoul.commands.serve import serve_all
        serve_all(settings, worker=False)


@app.command()
def worker(
    concurrency: Concurrency = None,
    kinds: Annotated[
        str | None, typer.Option(help="Run jobs of these kinds alone, comma-separated.  [YEOUL_WORKER_KINDS]")
    ] = None,
) -> None:
    """A worker alone: as many as wanted, on as many machines."""
    settings = load(worker_concurrency=concurrency, worker_kinds=kinds)
    with in_words(), told_to_stop():
        starting(settings)
        with importing():
            from yeoul.commands.serve import work_alone
        work_alone(settings)


@app.command()
def llm(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8010,
    model: Annotated[
        str | None, typer.Option(help="A name of `yeoul models list`, or a .gguf file.  [YEOUL_LOCAL_MODEL]")
    ] = None,
) -> None:
    """The local model alone, for processes and machines that name it in YEOUL_LOCAL_URL. OpenAI-compatible."""
    settings = load(local_model=model)
    with in_words(), told_to_stop():
        with importing():
            from yeoul.commands.llm import serve_model
        serve_model(settings, host, port)


@app.command()
def migrate(
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when a migration is missing.")] = False,
) -> None:
    """Bring the database to this version's schema; on a PostgreSQL of yours, make its roles too."""
    with in_words():
        from yeoul.commands import migration

        settings = load()
        migration.check(settings) if check else migration.migrate(settings)


@app.command()
def backup(
    file: Annotated[
        Path | None, typer.Argument(help="Where to, or a folder. Default: a name with the time, here.")
    ] = None,
) -> None:
    """Everything that cannot be made again, in one file, while everything runs."""
    with in_words():
        from yeoul.commands.backup import backup

        backup(load(), file)


@app.command()
def restore(
    file: Annotated[Path | None, typer.Argument(help="A file that `yeoul backup` made.")] = None,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Put aside what is there; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    delete_old: Annotated[
        bool, typer.Option("--delete-old", help="Delete what earlier restores put aside; restores nothing.")
    ] = False,
) -> None:
    """Make the installation what it was at a backup. Into an empty data folder or database, unless told otherwise."""
    if (file is None) != delete_old:
        raise typer.BadParameter("name the file of a backup, or --delete-old, and not both")
    with in_words():
        from yeoul.commands import restore

        if file is None:
            restore.delete_old(load())
        else:
            restore.restore(load(), file, replace=replace, yes=yes)


@app.command("upgrade-database")
def upgrade_database(
    *,
    from_bin: Annotated[
        Path | None, typer.Option(help="Folder of the old PostgreSQL's binaries, where they are not found.")
    ] = None,
    delete_old: Annotated[
        bool, typer.Option("--delete-old", help="Delete the old databases that were kept; upgrades nothing.")
    ] = False,
) -> None:
    """Bring the embedded database of an older PostgreSQL to this version's; the old one is kept beside."""
    with in_words():
        from yeoul.commands import upgrade_database

        if delete_old:
            upgrade_database.delete_old(load())
        else:
            upgrade_database.upgrade(load(), from_bin)


@app.command("rotate-vault")
def rotate_vault() -> None:
    """Encrypt the provider keys that users stored with the present key, after it was changed; while everything runs."""
    with in_words():
        from yeoul.commands import vault

        vault.rotate(load())


@app.command()
def run(  # noqa: PLR0913  (one for each option)
    question: Annotated[str, typer.Argument(help="What to ask; - reads it from standard input.")],
    *,
    model: Annotated[str, typer.Option("--model", "-m", help="provider/model, or default.")] = "default",
    system: Annotated[str | None, typer.Option("--system", "-s", help="How the model shall behave.")] = None,
    temperature: Annotated[float | None, typer.Option(help="How varied the answer is: 0 is the least.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample only from the likeliest share of tokens.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer, mostly.")] = None,
    email: Annotated[
        str | None, typer.Option("--as", metavar="EMAIL", help="Whose job it is. Default: the first administrator's.")
    ] = None,
    stream: Annotated[bool, typer.Option(help="Print pieces as they come, or the answer when it is whole.")] = True,
    as_json: AsJson = False,
) -> None:
    """Ask a model, and watch the answer come. Works with or without a running server; Ctrl-C cancels."""
    with in_words():
        with importing():
            from yeoul.commands.ask import ask, question_of

        parameters = {"temperature": temperature, "max_tokens": max_tokens, "top_p": top_p, "seed": seed}
        given = question_of(question, model=model, system=system, parameters=parameters)
        raise typer.Exit(ask(load(), given, email=email, stream=stream, as_json=as_json))


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Look at the whole installation, and say what is wrong and how to mend it."""
    with in_words():
        from yeoul.commands import doctor

        raise typer.Exit(doctor.look(as_json=as_json))


@app.command()
def settings(*, as_json: AsJson = False) -> None:
    """What is set, and where. Secrets are not shown."""
    with in_words():
        from yeoul.commands.settings import show

        show(load(), as_json=as_json)


def main() -> None:
    """Entry of the ``yeoul`` script."""
    app()
