"""What every command shares: settings, words on standard error, exit codes. Answers go to standard output, alone.

Quick commands stay quick because nothing heavy is imported here before it is used.
"""

import gc
import json
import re
import signal
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from yeoul.core.base.errors import YeoulError
    from yeoul.settings import Settings

Result = TypeVar("Result")

FAILED = 1
WRONG_USE = 2
CANCELED = 130
"""What a shell gives a command that Ctrl-C ended."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def console(*, stderr: bool = True) -> "Console":
    """Where words for a person go; ``stderr=False`` for tables, which are answers."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def say(text: str, style: str | None = None) -> None:
    """A line for the person, as it is: no brackets in it mean a style."""
    console().print(text, style=style, markup=False)


def fail(text: str, code: int = FAILED) -> NoReturn:
    """Says what is wrong and ends the command."""
    out = console()
    out.print("error:", style="red", end=" ")
    out.print(text, markup=False)
    raise typer.Exit(code)


def plain(text: str) -> str:
    """A text without what could steer a terminal: models and strangers have written it."""
    return _CONTROL.sub("", text)


def print_json(value: object) -> None:
    """JSON for programs, on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, fold: str | None = None) -> None:
    """A table for people on standard output; ``fold`` names the column that may take several lines."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold dim")
    for name in columns:
        table.add_column(name, no_wrap=name != fold, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell).replace("\n", " ")) for cell in row))
    out = console(stderr=False)
    if not out.is_terminal:  # a file has no width to fit into
        out.width = 10_000
    out.print(table, soft_wrap=False)


def local_time(moment: datetime | None) -> str:
    """A time in the zone of whoever looks."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def load(**given: Any) -> "Settings":  # noqa: ANN401  (settings by name, of any type)
    """The settings, with what the command line says on top; ends the command when one is not acceptable."""
    from pydantic import ValidationError

    from yeoul.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for line in setting_errors(error):
            say(line, "red")
        raise typer.Exit(WRONG_USE) from None


def setting_errors(error: Any) -> list[str]:  # noqa: ANN401  (pydantic's ValidationError, whose import is not free)
    """One line for each setting that is not acceptable."""
    found = error.errors(include_url=False, include_input=False)
    return [f"YEOUL_{'_'.join(map(str, e['loc'])).upper().removeprefix('YEOUL_')}: {e['msg']}" for e in found]


@contextmanager
def in_words() -> Iterator[None]:
    """An error that is no fault of ours ends the command with its words, without a traceback.

    Ctrl-C ends it quietly, and SIGTERM as Ctrl-C does: what was opened is closed.
    """
    from yeoul.core.base.errors import YeoulError

    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except YeoulError as error:
        fail(words_of(error))
    except KeyboardInterrupt:
        raise typer.Exit(CANCELED) from None
    except Exception as error:
        if is_lost_database(error):
            fail(f"The database stopped answering: {first_line(error)}.")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  (a signal handler's)
    raise KeyboardInterrupt


def words_of(error: "YeoulError") -> str:
    """What an error says, and which fields it is about."""
    told = [item for item in error.errors if item["message"] != error.detail]
    fields = [f"  {'.'.join(map(str, item['loc'][2:]))}: {item['message']}" for item in told]
    return "\n".join([error.detail, *fields])


def is_lost_database(error: Exception) -> bool:
    """Whether an exception says that there is no connection to the database (any more)."""
    import psycopg
    import sqlalchemy.exc

    lost = psycopg.OperationalError | psycopg.InterfaceError
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return isinstance(cause, lost)


def first_line(error: BaseException) -> str:
    """What an exception says, in its first line, without full stop."""
    text = str(getattr(error, "orig", None) or error).strip()
    return (text.splitlines() or [type(error).__name__])[0].removeprefix("connection failed: ").rstrip(".")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs a command's coroutine to its end. Signals are as before afterwards: closing takes Ctrl-C too."""
    import uvloop

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return uvloop.run(main)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def starting(settings: "Settings") -> None:
    """Says so at once: the imports alone take a second or two."""
    where = settings.data_dir if settings.embedded else "the database of YEOUL_DATABASE_URL"
    say(f"Starting; everything is kept in {where}", "dim")


@contextmanager
def told_to_stop() -> Iterator[None]:
    """Ctrl-C and SIGTERM end a start as they end the running server: well, with exit code 0."""
    try:
        yield
    except KeyboardInterrupt:
        say("Stopped while starting; the next start goes on from there.", "dim")


@contextmanager
def importing() -> Iterator[None]:
    """For the import of a thousand modules: collecting garbage meanwhile takes a fifth of the time and finds none."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
