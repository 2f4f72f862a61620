"""What the benchmarks share: a database and brokers of their own, processes ended by their own pids, and tables."""

import asyncio
import contextlib
import multiprocessing
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.brokers import RabbitServer, RedisServer, running
from yeoul.core.base.ids import new_id
from yeoul.core.db.database import Database
from yeoul.core.runtime.services import DatabaseUrls, open_database
from yeoul.schema import METADATA
from yeoul.settings import Settings

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))

ADDRESS = r"ready:.*(http://\S+)"
"""Where a server answers, in what it says."""

_STAMP = struct.Struct("!id")


@contextmanager
def folder() -> Generator[Path]:
    """A short temporary folder."""
    path = Path(tempfile.mkdtemp(prefix="yb-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def settings(path: Path, **more: Any) -> Settings:  # noqa: ANN401  (settings of any type)
    """Settings with the local model off."""
    return Settings(_env_file=None, data_dir=path, local_enabled=False, fake_models=True, log_level="error", **more)


@asynccontextmanager
async def postgres(path: Path) -> AsyncGenerator[DatabaseUrls]:
    """The embedded PostgreSQL as installations run it (fsync on), migrated."""
    async with open_database(settings(path), METADATA, migrations=True) as urls:
        yield urls


async def add_user(database: Database) -> UUID:
    """An owner for jobs."""
    made = new_id()
    async with database.service_connection() as connection:
        await connection.execute("INSERT INTO users (id, email) VALUES (%s, %s)", [made, f"{made}@example.com"])
    return made


@contextmanager
def broker(server: type[RedisServer | RabbitServer], path: Path) -> Generator[str | None]:
    """The address of a broker of our own, or null where Debian's package is not installed."""
    if (missing := server.missing()) is not None:
        print(f"{missing}: its rows are left out")
        yield None
        return
    with running(server(path / server.__name__)) as started:
        yield started.url


@contextmanager
def process(target: Callable[..., None], *arguments: object) -> Generator[multiprocessing.process.BaseProcess]:
    """A process of its own for one side of a measurement."""
    child = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    child.start()
    try:
        yield child
    finally:
        child.terminate()
        child.join(20)
        if child.is_alive():
            child.kill()
            child.join()


@contextmanager
def yeoul(path: Path, *words: str) -> Generator["subprocess.Popen[str]"]:
    """A command of ours as a process of its own, on a data folder, with the scripted models alone."""
    env = {
        "PATH": str(Path(sys.executable).parent),
        "YEOUL_DATA_DIR": str(path),
        "YEOUL_FAKE_MODELS": "true",
        "YEOUL_LOCAL_ENABLED": "false",
        "YEOUL_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-m", "yeoul", *words]
    child = subprocess.Popen(command, cwd=path, env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.terminate()
        child.communicate(timeout=60)


def heard(child: "subprocess.Popen[str]", pattern: str) -> str:
    """What the group of a pattern stands for in the first line it says that fits."""
    assert child.stderr is not None
    for line in child.stderr:
        if found := re.search(pattern, line):
            return found[1]
    raise RuntimeError(f"it has ended, and never said {pattern!r}")


class Stamps:
    """Collects (number, time) from handlers in other processes, by datagram: the same cost for every system."""

    def __init__(self, path: Path) -> None:
        self.address = str(path / f"stamps-{new_id().hex[-6:]}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind(self.address)
        self._socket.settimeout(0)

    async def collect(self, count: int, seconds: float = 120) -> dict[int, float]:
        """The first stamp of each number, once ``count`` are there."""
        got: dict[int, float] = {}
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            while len(got) < count:
                number, at = _STAMP.unpack(await loop.sock_recv(self._socket, _STAMP.size))
                got.setdefault(number, at)
        return got


_senders: dict[str, socket.socket] = {}


def stamp(address: str, number: int) -> None:
    """Says that a handler has begun, now."""
    now = time.time()
    with contextlib.suppress(OSError):  # a job of a former measurement, run again: nobody counts it any more
        if address not in _senders:
            _senders[address] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            _senders[address].connect(address)
        _senders[address].send(_STAMP.pack(number, now))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of them lie."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a Markdown table, so that it can be kept."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def verdict(what: str, value: float, limit: float, *, at_most: bool = True) -> bool:
    """Prints whether a target is met."""
    met = value <= limit if at_most else value >= limit
    print(f"{'met   ' if met else 'MISSED'}  {what}: {value:.2f} (target {'≤' if at_most else '≥'} {limit:g})")
    return met
