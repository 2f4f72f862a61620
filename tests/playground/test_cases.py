import pytest

from yeoul.playground import cases
from yeoul.playground.errors import BadCases, BadTable


def test_variables_are_found_once_each_in_order() -> None:
    assert cases.variables("{{name}} likes {{ thing }}", None, "{{\tthing}} {{_x1}}") == ["name", "thing", "_x1"]
    assert cases.variables("{name} {{}} {{1a}} {{a b}} {{ a\n}} {{a-b}} {{{{", f"{{{{{'a' * 65}}}}}") == []


def test_values_are_filled_in_once_and_stay_as_they_are() -> None:
    assert cases.fill("{{a}} and {{ b }}, {{a}} {{ not one! }}", {"a": "{{b}}", "b": r"\1"}) == (
        r"{{b}} and \1, {{b}} {{ not one! }}"
    )
    with pytest.raises(KeyError, match="b"):
        cases.fill("{{b}}", {"a": ""})


def test_every_case_must_have_every_variable_and_may_have_more() -> None:
    cases.fit(["a"], [{"a": "", "note": "kept"}])
    cases.fit([], None)
    with pytest.raises(BadCases) as refused:
        cases.fit(["a", "b"], [{"a": "", "b": ""}, {"a": "", "c": ""}, {}])
    assert refused.value.detail.startswith("Case 2 has no value for `b`; it has: `a`, `c`.")
    assert [error["loc"] for error in refused.value.errors] == [
        ["body", "cases", 1, "b"],
        ["body", "cases", 2, "a"],
        ["body", "cases", 2, "b"],
    ]


def test_variables_without_cases_and_cases_without_variables_are_refused() -> None:
    nothing: list[list[dict[str, str]] | None] = [None, []]
    for none in nothing:
        with pytest.raises(BadCases, match="`a`, `b`"):
            cases.fit(["a", "b"], none)
    with pytest.raises(BadCases, match="leave `cases` out"):
        cases.fit([], [{"a": ""}])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("\ufeffa;b\r\n1,5;2,5\r\n", [{"a": "1,5", "b": "2,5"}]),
        ("a\tb\n1, 2; 3\t4\n", [{"a": "1, 2; 3", "b": "4"}]),
        ('a,b\n"x, ""y""\nz",\n', [{"a": 'x, "y"\nz', "b": ""}]),
        (" a \n여울\n\n,\n"[:-2] + "둘\n", [{"a": "여울"}, {"a": "둘"}]),
        ("a,b\n1,2\n,\n\n3,4\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        ("a\r1\r", [{"a": "1"}]),
        ("a;b\n1;2,3\n4;5,6\n", [{"a": "1", "b": "2,3"}, {"a": "4", "b": "5,6"}]),
    ],
)
def test_tables_are_read_as_spreadsheets_write_them(text: str, expected: list[dict[str, str]]) -> None:
    table = cases.parse(text.encode())
    assert table.cases == expected
    assert table.columns == list(expected[0])


def test_a_table_may_have_200_rows_and_50_columns() -> None:
    names = [f"v{number}" for number in range(50)]
    table = cases.parse((",".join(names) + "\n" + ("x," * 49 + "x\n") * 200).encode())
    assert (len(table.cases), table.columns) == (200, names)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "The file is empty."),
        (b"a,b\n", "no row below row 1"),
        (b"a,b\n1,2\n3\n", "Row 3 has 1 cells, and row 1 names 2 columns."),
        (b"a,b\n\n1,2,3\n", "Row 3 has 3 cells"),
        (b"a,b,a\n1,2,3\n", "Row 1, column 3: there is a column `a` before it already."),
        (b"first name\n1\n", "Row 1, column 1: `first name` is no name of a variable."),
        ("a\n1\n여울\n".encode("cp949"), "Row 3 is not UTF-8."),
        (b'a,b\n1,2\n1,"x"y\n', "Row 3 cannot be read: ',' expected after '\"'."),
        (b'a,b\n1,"x\n', "Row 2 cannot be read: unexpected end of data."),
        (b"a,b\n1,x\0\n", "Row 2 has a NUL character"),
        (b"a\n" + b"1\n" * 201, "Row 202 is one too many: 200 rows"),
        (b"a\n" + b"x" * 140_000, "Row 2 has a cell of more than 131,072 characters."),
        (b"a\n" + b"x" * 1_000_000, "1,000,002 bytes; 1,000,000 is the most."),
        (",".join(f"a{number}" for number in range(51)).encode(), "Row 1 has 51 columns; 50 are the most."),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_row(data: bytes, words: str) -> None:
    with pytest.raises(BadTable) as refused:
        cases.parse(data)
    assert words in refused.value.detail
