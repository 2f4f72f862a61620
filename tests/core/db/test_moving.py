"""Folders change places all or none, wherever the process is killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from yeoul.core.db import moving

MOVES = [("a", "aside/a"), ("b", "aside/b"), ("new/a", "a"), ("new/b", "b")]

KILLED = """
import os, signal, sys
from pathlib import Path
from yeoul.core.db import moving
left = int(sys.argv[2])
def hook(event, _):
    global left
    if event == "os.rename":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
moving.move(Path(sys.argv[1]), [("a", "aside/a"), ("b", "aside/b"), ("new/a", "a"), ("new/b", "b")])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("a", "old"), ("b", "old"), ("new/a", "new"), ("new/b", "new")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "content").write_text(content)
    return tmp_path


def contents(folder: Path) -> list[str]:
    return [(folder / name / "content").read_text() for name in ("a", "b")]


def test_all_are_moved(folder: Path) -> None:
    moving.move(folder, MOVES)
    assert contents(folder) == ["new", "new"]
    assert contents(folder / "aside") == ["old", "old"]
    assert not (folder / moving.JOURNAL).exists()
    moving.finish(folder)
    assert contents(folder) == ["new", "new"]


@pytest.mark.parametrize("renames", range(6))
def test_killed_after_so_many_renames(folder: Path, renames: int) -> None:
    """The first one is the journal's: before it nothing has happened, after it whoever comes next finishes."""
    done = subprocess.run([sys.executable, "-c", KILLED, folder, str(renames)], check=False)
    assert done.returncode == (0 if renames == 5 else -signal.SIGKILL)
    moving.finish(folder)
    assert contents(folder) == (["old", "old"] if renames == 0 else ["new", "new"])
    if renames:
        assert contents(folder / "aside") == ["old", "old"]


def test_what_cannot_be_renamed_is_said_beforehand(folder: Path) -> None:
    (folder / "linked").symlink_to(folder / "a")
    with pytest.raises(moving.CannotMove, match="is a mount or a link"):
        moving.check(folder, ["b", "linked"])
    moving.check(folder, ["a", "b", "not there"])
