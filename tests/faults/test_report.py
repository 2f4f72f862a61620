"""What the long run writes down."""

from pathlib import Path

from tests.faults.long import BEGIN, END, _write, _wrong


def test_what_is_wrong_is_told_in_a_cell() -> None:
    assert _wrong([]) == "0"
    assert _wrong(["one", "a | b\nc"]) == "2: one; a / b c"
    assert _wrong(list("abcde")) == "5: a; b; c; and 2 more"


def test_the_figures_take_the_place_of_those_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\n\n| old |\n\n{END}\nafter\n")
    _write(page, "| new |")
    assert page.read_text() == f"before\n\n{BEGIN}\n\n| new |\n\n{END}\nafter\n"


def test_the_page_has_the_marks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    assert 0 < page.index(BEGIN) < page.index(END)
