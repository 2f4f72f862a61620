"""The one file of a backup: a zip of members, with a manifest that says what they are. Written and read as streams.

::

    database/<table>.copy    the table's rows, COPY's text
    data/secret.key          what else the data folder keeps
    data/files/…
    manifest.json            the last: format, versions, revisions, time, and each member's size and sha256

A file without a readable manifest is no backup: it was cut off, or is something else.
"""

import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import BaseModel, Field, ValidationError

from yeoul.core.base.errors import Conflict, Unavailable
from yeoul.core.db.moving import sync

FORMAT = 1
BLOCK_BYTES = 1 << 18
_MANIFEST = "manifest.json"
_MANIFEST_BYTES = 64 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError)

Moved = Callable[[int], None]
"""Told of so many more bytes."""


class BackupExists(Conflict):
    """There is a file already where the backup should go."""

    code = "backup_exists"


class BackupUnusable(Unavailable):
    """The file is no backup, or not whole, or of a newer version than this one."""

    code, retryable = "backup_unusable", False


class Member(BaseModel):
    """What a member of the file must be."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Rows(BaseModel):
    """A table of the backup."""

    name: str
    columns: tuple[str, ...]
    rows: int = Field(ge=0)

    @property
    def member(self) -> str:
        """The name of its member."""
        return f"database/{self.name}.copy"


class Manifest(BaseModel):
    """What a backup is."""

    format: int
    yeoul: str
    postgresql: int
    revisions: dict[str, str]
    """Of the schema: the core's, and those of products that have tables, by name."""
    created_at: datetime
    key_mark: str | None = None
    """Tells whether two signing keys are the same one, and nothing else about them."""
    tables: list[Rows]
    partitions: list[str]
    members: dict[str, Member]

    @property
    def size(self) -> int:
        """Bytes of all members, unpacked."""
        return sum(member.size for member in self.members.values())


class Writer:
    """A backup being written. ``add`` members, then ``end`` it with the manifest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self.members: dict[str, Member] = {}

    def add(self, name: str, blocks: Iterable[bytes], moved: Moved) -> None:
        """Adds a member."""
        digest, size = hashlib.sha256(), 0
        with self._zip.open(name, "w", force_zip64=True) as member:
            for block in blocks:
                member.write(block)
                digest.update(block)
                size += len(block)
                moved(len(block))
        self.members[name] = Member(size=size, sha256=digest.hexdigest())

    def abandon(self) -> None:
        """Has nothing more written, not even by the garbage collector."""
        self._zip.fp = None

    def end(self, manifest: Manifest) -> None:
        """Adds the manifest, which makes the file a backup."""
        self._zip.writestr(_MANIFEST, manifest.model_dump_json(indent=2))
        self._zip.close()


class Reader:
    """A backup that is open for reading, its manifest known."""

    def __init__(self, file: zipfile.ZipFile, manifest: Manifest) -> None:
        self._zip = file
        self.manifest = manifest

    def blocks(self, name: str, moved: Moved) -> Iterator[bytes]:
        """A member's bytes; raises ``BackupUnusable``, at the end at the latest, when the manifest says otherwise."""
        expected = self.manifest.members.get(name)
        digest, size = hashlib.sha256(), 0
        try:
            if expected is None:
                raise KeyError(name)
            with self._zip.open(name) as member:
                while block := member.read(BLOCK_BYTES):
                    digest.update(block)
                    size += len(block)
                    moved(len(block))
                    yield block
        except _DAMAGE as error:
            raise _damaged(self._zip.filename, f"{name} cannot be read") from error
        if (size, digest.hexdigest()) != (expected.size, expected.sha256):
            raise _damaged(self._zip.filename, f"{name} is not what the manifest says")

    def verify(self, moved: Moved) -> None:
        """Reads everything once; raises ``BackupUnusable`` when anything is missing, damaged or too much."""
        names = self._zip.namelist()
        needed = {rows.member for rows in self.manifest.tables}
        if sorted(names) != sorted([*self.manifest.members, _MANIFEST]) or not needed <= set(names):
            raise _damaged(self._zip.filename, "its members are not those of its manifest")
        for name in self.manifest.members:
            if name not in needed and not _is_kept(name):
                raise _damaged(self._zip.filename, f"{name} does not belong into a backup")
            for _ in self.blocks(name, moved):
                pass


@contextmanager
def writing(target: Path) -> Iterator[Writer]:
    """A backup file: beside its place while it is written, readable by its owner alone, and there when it is whole.

    Raises ``BackupExists``; an error of the disk leaves nothing behind.
    """
    if target.exists():
        raise BackupExists(f"{target} exists, and a backup never replaces a file. Choose another name, or remove it.")
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            writer = Writer(file)
            try:
                yield writer
            except BaseException:
                writer.abandon()
                raise
            os.fsync(file.fileno())
        _appear(draft, target)
        sync(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def _appear(draft: Path, target: Path) -> None:
    """Gives the file its name; a link, since that never replaces what somebody else has put there meanwhile."""
    try:
        target.hardlink_to(draft)
    except FileExistsError:
        raise BackupExists(f"{target} has appeared meanwhile. Choose another name.") from None
    except OSError:  # a file system without links
        draft.rename(target)


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """A backup file, its manifest read and found to be of a format we know; raises ``BackupUnusable``."""
    try:
        opened = zipfile.ZipFile(path)
    except OSError as error:
        raise BackupUnusable(f"Cannot read {path}: {error.strerror or error}.") from None
    except _DAMAGE:
        raise _damaged(str(path), "it is cut off, or was never a backup") from None
    with opened:
        try:
            if opened.getinfo(_MANIFEST).file_size > _MANIFEST_BYTES:
                raise ValueError(_MANIFEST)
            told = json.loads(opened.read(_MANIFEST))
            made = told["format"]
        except (*_DAMAGE, TypeError):
            raise _damaged(str(path), "it has no manifest that can be read") from None
        if not isinstance(made, int) or made > FORMAT:
            raise BackupUnusable(
                f"{path} is of format {made}, made by Yeoul {told.get('yeoul', '?')}; this version reads format "
                f"{FORMAT} and older. Install that version or a newer one."
            )
        try:
            manifest = Manifest.model_validate(told)
        except ValidationError:
            raise _damaged(str(path), "its manifest is not one of ours") from None
        yield Reader(opened, manifest)


def file_blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes; none when it has been deleted meanwhile."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _is_kept(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return name == "data/secret.key" or (parts[:2] == ("data", "files") and ".." not in parts and "\\" not in name)


def _damaged(path: object, why: str) -> BackupUnusable:
    return BackupUnusable(f"{path} is no whole backup: {why}. Nothing was changed. Take another backup file.")
