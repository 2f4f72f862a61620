"""What the documentation promises about the repository is so."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from yeoul.worker import all_kinds

ROOT = Path(__file__).resolve().parents[1]
SPEC = (ROOT / "docs/spec.md").read_text(encoding="utf-8")
SHOWN = {".py", ".html", ".js", ".toml"}
ROWS = re.findall(r"^\| ([A-E]\d+) \| .+? \| (.+?) \| (.*?) ?\|$", SPEC, re.MULTILINE)


def test_every_row_of_the_specification_is_there_once() -> None:
    expected = [
        f"{area}{n}" for area, count in zip("ABCDE", (8, 14, 13, 16, 8), strict=True) for n in range(1, count + 1)
    ]
    assert [row for row, _, _ in ROWS] == expected


@pytest.mark.parametrize(("row", "state", "shown_by"), ROWS)
def test_a_row_that_works_names_the_test_that_shows_it(row: str, state: str, shown_by: str) -> None:
    assert re.match(r"(works|partly|planned)\b", state), f"{row}: {state!r} is no state"
    named = re.findall(r"`([^`]+)`", shown_by)
    assert named or state == "planned", f"{row} {state}, but no test shows it"
    for name in named:
        assert (ROOT / name).exists(), f"{row}: {name} does not exist"


def test_the_examples_stand_on_their_pages() -> None:
    """Every file of them, by a mark that is whole: ruff formats ```` ```python ```` blocks, and a mark is no Python."""
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")]
    shown = {path for page in pages for path in re.findall(r'^--8<-- "(examples/.+)"$', page, re.MULTILINE)}
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "examples").rglob("*") if path.suffix in SHOWN}
    assert shown == files


def test_the_lines_of_the_playground_are_as_many_as_its_page_says() -> None:
    """Within a tenth; empty ones not counted."""
    page = (ROOT / "docs/reference/playground.md").read_text(encoding="utf-8")
    said = re.search(r"about ([\d,]+) lines of Python, ([\d,]+) of SQL and ([\d,]+) of its page", page)
    assert said is not None
    parts = ({".py"}, {".sql"}, {".js", ".css", ".html"})
    files = [path for path in (ROOT / "src/yeoul/playground").rglob("*.*") if path.is_file()]
    for number, suffixes in zip(said.groups(), parts, strict=True):
        texts = [path.read_text(encoding="utf-8") for path in files if path.suffix in suffixes]
        count = sum(bool(line.strip()) for text in texts for line in text.splitlines())
        assert abs(int(number.replace(",", "")) - count) <= count / 10, f"{count:,} lines of {suffixes}, not {number}"


def test_examples_of_pools_name_kinds_that_there_are() -> None:
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")]
    named = [name for page in pages for kinds in re.findall(r"--kinds ([\w.,]+)", page) for name in kinds.split(",")]
    assert named
    assert set(named) <= set(all_kinds().names())


def dependencies() -> set[str]:
    """The packages pyproject.toml names, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    return {re.split(r"[^\w-]", requirement)[0] for requirement in wanted} - {"yeoul"}


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs/decisions/0011-dependencies.md").read_text(encoding="utf-8")
    assert dependencies() <= set(re.findall(r"[\w-]+", page))


def test_every_dependency_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert dependencies() <= set(re.findall(r"^([\w-]+)==", pins, re.MULTILINE))
