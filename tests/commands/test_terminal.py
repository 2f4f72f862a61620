"""Words for people."""

import signal
from datetime import UTC, datetime

import psycopg
import pytest
import sqlalchemy.exc
import typer

from yeoul.commands import terminal
from yeoul.core.base.errors import InvalidInput, Unavailable


def test_what_could_steer_a_terminal_is_left_out() -> None:
    assert terminal.plain("red \x1b[31m, bell \x07, c1 \x9b, lines\nand\ttabs, 한글") == (
        "red [31m, bell , c1 , lines\nand\ttabs, 한글"
    )


def test_times_are_local() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert terminal.local_time(moment) == moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert terminal.local_time(None) == ""


def test_brackets_in_words_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say("pip install 'yeoul[local]'", "red")
    with pytest.raises(typer.Exit) as ended:
        terminal.fail("see [bold]this[/]")
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "pip install 'yeoul[local]'\nerror: see [bold]this[/]\n"


def test_errors_of_ours_are_said_with_their_fields(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"loc": ["body", "input", "parameters", "seed"], "message": "too small", "type": "x"}
    with pytest.raises(typer.Exit) as ended, terminal.in_words():
        raise InvalidInput("It does not fit.", errors=[wrong])
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "error: It does not fit.\n  parameters.seed: too small\n"


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("server closed the connection\nmore"),
        sqlalchemy.exc.OperationalError("SELECT", {}, psycopg.OperationalError("server closed the connection\nmore")),
    ],
)
def test_a_database_that_went_away_is_said_in_a_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), terminal.in_words():
        raise error
    assert capsys.readouterr().err == "error: The database stopped answering: server closed the connection.\n"


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), terminal.in_words():
        raise ZeroDivisionError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_quietly(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended, terminal.in_words():
        signal.raise_signal(number)
    assert ended.value.exit_code == terminal.CANCELED
    assert capsys.readouterr().err == ""
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_start_that_is_told_to_stop_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.in_words(), terminal.told_to_stop():
        signal.raise_signal(signal.SIGTERM)
    assert "goes on from there" in capsys.readouterr().err


def test_other_errors_pass_a_start() -> None:
    with pytest.raises(Unavailable), terminal.told_to_stop():
        raise Unavailable("no")


def test_tables_are_not_cut_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_table(("name", "what"), [("a", "x" * 300), ("b", "two\nlines")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["name", "what"], ["a", "x" * 300], ["b", "two", "lines"]]


def test_json_is_readable_korean(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json({"river": "여울", "at": datetime(2026, 3, 1, tzinfo=UTC)})
    assert capsys.readouterr().out == '{\n  "river": "여울",\n  "at": "2026-03-01 00:00:00+00:00"\n}\n'
