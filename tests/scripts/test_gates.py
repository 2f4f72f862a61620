"""The gates find what they are there to find."""

import subprocess
from pathlib import Path

import pytest

import check_sizes
import check_text

ROOT = Path(__file__).resolve().parents[2]


def test_a_long_file_is_named_with_its_remedy() -> None:
    (problem,) = check_sizes.problems({Path("tests/test_all.py"): 601})
    assert "tests/test_all.py: 601 lines" in problem
    assert "module of its own" in problem


def test_600_lines_are_fine() -> None:
    assert not check_sizes.problems({Path("tests/test_all.py"): 600})


def test_the_median_counts_the_source_alone() -> None:
    room = Path("src/yeoul/core/jobs")
    (problem,) = check_sizes.problems({room / "a.py": 121, room / "b.py": 130, Path("tests/test_a.py"): 1})
    assert "median" in problem
    assert "b.py (130)" in problem


@pytest.mark.parametrize(
    ("path", "too_deep"),
    [
        ("src/yeoul/core/db/migrations/versions/0001.py", False),
        ("src/yeoul/core/db/migrations/versions/old/0001.py", True),
        ("src/yeoul/chat/agents/tools/map.py", False),
        ("src/yeoul/chat/agents/tools/maps/naver.py", True),
    ],
)
def test_rooms_are_shallow(path: str, too_deep: bool) -> None:
    assert bool(check_sizes.problems({Path(path): 10})) == too_deep


# Written in halves: this file is checked too.
@pytest.mark.parametrize(
    "text",
    [
        "https:/" + "/packages.example/simple/",
        "https:/" + "/packages.example/ab/cd/thing-1.0-py3-none-any" + ".whl",
        "/" + "home/joe/yeoul",
        "/" + "Users/joe",
        "<" * 7 + " ours",
    ],
)
def test_what_belongs_to_one_machine_is_found(text: str) -> None:
    assert any(pattern.search(f"see {text}\n{text}") for pattern, _ in check_text.RULES)


@pytest.mark.parametrize(
    "text", ["https://example.com/simple-things", "tests/home/x", "~/work/x", "GET /work", "a <<<< b"]
)
def test_ordinary_text_passes(text: str) -> None:
    assert not any(pattern.search(text) for pattern, _ in check_text.RULES)


def test_a_configured_index_is_known_by_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://user:word@packages.acme.example/x https://other.acme.example/")
    hosts = check_text.index_hosts()
    assert {"packages.acme.example", "other.acme.example"} <= hosts


def test_setup_names_the_remedy_when_no_python_is_good_enough(tmp_path: Path) -> None:
    """A copy of the checkout on a machine whose only Python is too old."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for tool in ("sh", "cat", "cksum", "dirname", "printf", "pwd"):
        found = next(p for p in (Path("/usr/bin") / tool, Path("/bin") / tool) if p.exists())
        (bin_ / tool).symlink_to(found)
    old = bin_ / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    for name in ("scripts/setup.sh", "pyproject.toml", "constraints.txt"):
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [bin_ / "sh", checkout / "scripts/setup.sh", "run"],
        env={"PATH": str(bin_)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Yeoul needs Python 3.11" in done.stderr
    assert "PYTHON=/path/to/python3" in done.stderr
