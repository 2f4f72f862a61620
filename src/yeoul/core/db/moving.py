"""Puts prepared folders into their place, all of them or none, however the process ends.

What is to be moved is written down first, in one file that appears whole: that is the moment of no return. Whoever
opens the data folder next finishes what is written there. Before it nothing was touched; after it nothing is lost.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from yeoul.core.base.errors import Unavailable

JOURNAL = "moving.json"

Move = tuple[str, str]
"""From and to, relative to the data folder; of what is there already at ``to``, nothing is moved again."""


class CannotMove(Unavailable):
    """Something in the data folder cannot be renamed."""

    code = "cannot_move"


def check(data_dir: Path, names: Sequence[str]) -> None:
    """Raises ``CannotMove`` when one of these lies on another disk than the data folder: it could not be renamed."""
    for name in names:
        path = data_dir / name
        if path.is_symlink() or (path.exists() and path.stat().st_dev != data_dir.stat().st_dev) or path.is_mount():
            raise CannotMove(
                f"{path} is a mount or a link, so it cannot be swapped in one step. Mount the whole data folder."
            )


def move(data_dir: Path, moves: Sequence[Move]) -> None:
    """Moves, in order. Killed at any time, it has moved nothing, or ``finish`` moves the rest."""
    draft = data_dir / f"{JOURNAL}.new"
    with draft.open("w") as file:
        json.dump([list(entry) for entry in moves], file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(data_dir / JOURNAL)
    sync(data_dir)
    finish(data_dir)


def finish(data_dir: Path) -> None:
    """Finishes what ``move`` began; does nothing when there is nothing to finish."""
    journal = data_dir / JOURNAL
    if not journal.exists():
        return
    for before, after in json.loads(journal.read_text()):
        source, target = data_dir / before, data_dir / after
        if source.exists() and not target.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            source.rename(target)
            sync(target.parent)
    sync(data_dir)
    journal.unlink()
    sync(data_dir)


def sync(folder: Path) -> None:
    """Has the disk know what a folder holds."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
