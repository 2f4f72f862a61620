"""``yeoul doctor``: every check, one line each; what is wrong comes with how to mend it."""

from collections import Counter
from collections.abc import Iterator

from pydantic import ValidationError
from rich.text import Text

from yeoul.commands import checks, database_checks
from yeoul.commands.checks import Finding, State, ok, problem
from yeoul.commands.session import quiet
from yeoul.commands.terminal import FAILED, console, plain, print_json, setting_errors
from yeoul.core.base.errors import YeoulError
from yeoul.settings import Settings

_STYLE = {"ok": "green", "warning": "yellow", "problem": "bold red"}
_INDENT = 25


def look(*, as_json: bool) -> int:
    """Runs every check and prints what it finds; the exit code: 1 when there is a problem."""
    findings = []
    for finding in _findings():
        findings.append(finding)
        if not as_json:
            _print(finding)  # at once: some checks take a while
    count = Counter(finding.state for finding in findings)
    if as_json:
        print_json({"ok": not count["problem"], "checks": [vars(finding) for finding in findings]})
    else:
        _print_sum(count)
    return FAILED if count["problem"] else 0


def _findings() -> Iterator[Finding]:
    yield checks.python()
    try:
        settings = Settings()
    except ValidationError as error:
        for line in setting_errors(error):
            yield problem("settings", line, "Correct it in the environment or in .env; nothing else could be checked.")
        return
    quiet(settings)
    yield ok("settings", "all acceptable; `yeoul settings` shows them")
    yield from checks.unknown_variables()
    for check in (
        checks.data_folder,
        checks.free_space,
        database_checks.database,
        checks.port,
        checks.names,
        checks.models,
    ):
        name = check.__name__.replace("_", " ")
        try:
            yield from check(settings)
        except YeoulError as error:
            yield problem(name, error.detail)
        except Exception as error:  # noqa: BLE001  (a check that breaks must not hide what the others find)
            yield problem(name, f"the check broke: {type(error).__name__}: {error}")


def _print(finding: Finding) -> None:
    out = console(stderr=False)
    line = Text(f"{finding.state:<8} ", style=_STYLE[finding.state])
    line.append(f"{finding.name:<15} ", style="bold")
    line.append(plain(finding.found), style="default")
    out.print(line)
    if finding.mend is not None:
        out.print(Text(f"{'':<{_INDENT}}→ {plain(finding.mend)}", style="default"))


def _print_sum(count: Counter[State]) -> None:
    bad: tuple[State, ...] = ("problem", "warning")
    words = [f"{count[state]} {state}{'s' if count[state] > 1 else ''}" for state in bad if count[state]]
    console(stderr=False).print("\n" + (", ".join(words) + "." if words else "All is well."))
