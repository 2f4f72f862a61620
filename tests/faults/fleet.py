"""A whole installation that can be broken anywhere: APIs, workers, database, broker, model, each put back in place."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.brokers import Broker, RabbitServer, RedisServer
from tests.core.runtime.helpers import until
from tests.faults.system import Process, System
from tests.ports import free_port

MODEL_SERVER = Path(__file__).with_name("model_server.py")
POOL_SIZE = 4
CONCURRENCY = 6


@dataclass
class ModelServer:
    """The model's process, on one port through all its lives."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def said(self) -> Path:
        """What it has printed, a line of JSON for every request that came, was answered, or was given up."""
        return self.folder / "model.log"

    def start(self) -> None:
        with self.said.open("ab") as out:
            command = [sys.executable, "-S", str(MODEL_SERVER), str(self.port)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out)
        while True:
            assert self.lives, "the model server does not start"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None


@dataclass
class Slot:
    """A place in the fleet that one process fills after another."""

    name: str
    command: tuple[str, ...]
    host: str
    settings: dict[str, str]
    process: Process | None = None
    busy: bool = False
    """Somebody is about to end its process, or to start the next."""

    @property
    def lives(self) -> bool:
        return self.process is not None and self.process.lives


class Fleet:
    """Two APIs, workers on what they take for machines of their own, PostgreSQL, a broker and a model."""

    def __init__(self, system: System, *, doorbell: str, workers: int, lease: float) -> None:
        self.system = system
        self.counts: Counter[str] = Counter()
        """Kills and other faults, by what they were."""
        self.doorbell = doorbell
        self.broker: Broker | None = _broker(doorbell, system.data_dir)
        self.model = ModelServer(system.data_dir)
        settings = {
            "YEOUL_LEASE_SECONDS": str(lease),
            "YEOUL_WORKER_CONCURRENCY": str(CONCURRENCY),
            "YEOUL_DATABASE_POOL_SIZE": str(POOL_SIZE),
            "YEOUL_ACCESS_TOKEN_SECONDS": "86400",
            "YEOUL_REGISTRATIONS_PER_ADDRESS": "10000",
            "YEOUL_COMPATIBLE_BASE_URL": f"http://127.0.0.1:{self.model.port}/v1",
            "YEOUL_COMPATIBLE_MODELS": "m",
            "YEOUL_DEFAULT_MODEL": "compatible/m",
            "YEOUL_DOORBELL": self.broker.url if self.broker else "postgres",
        }
        apart = os.geteuid() == 0
        self.apis = [Slot(f"api{number}", ("api", "--port", str(free_port())), "", settings) for number in range(2)]
        self.workers = [
            Slot(
                f"worker{number}",
                # The last one is a pool apart; the first two share a machine, so that one may bury the other.
                ("worker", "--kinds", "faults.text,faults.steps,llm.complete")
                if number == workers - 1
                else ("worker",),
                f"machine{number}" if apart and number > 1 else "",
                settings,
            )
            for number in range(workers)
        ]
        self._coming_back: set[asyncio.Task[None]] = set()
        self._down: set[str] = set()

    @property
    def slots(self) -> list[Slot]:
        return [*self.apis, *self.workers]

    @property
    def addresses(self) -> list[str]:
        """Of both APIs, whether they live or not."""
        return [f"http://127.0.0.1:{slot.command[-1]}" for slot in self.apis]

    async def start(self) -> None:
        """Starts everything at once; returns when all are ready."""
        if self.broker is not None:
            await asyncio.to_thread(self.broker.start)
        await asyncio.to_thread(self.model.start)
        for slot in self.slots:
            self.fill(slot)
        for slot in self.slots:
            assert slot.process is not None
            await asyncio.to_thread(slot.process.wait_ready)

    def fill(self, slot: Slot) -> None:
        """Starts the next process of a slot."""
        slot.process = self.system.start(*slot.command, host=slot.host, **slot.settings)

    def fill_later(self, slot: Slot, seconds: float) -> None:
        """The same, after a while: nobody is there at once."""

        async def later() -> None:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.fill, slot)
            slot.busy = False

        self._task(later())

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        self._coming_back.add(asyncio.create_task(work))

    def look(self) -> None:
        """Raises what went wrong while something was put back in its place."""
        for task in [task for task in self._coming_back if task.done()]:
            self._coming_back.remove(task)
            task.result()
        assert not self.died_by_themselves(), "\n".join(self.died_by_themselves())

    async def whole(self) -> None:
        """Waits until everything is back in its place and ready. What has died by itself is said so."""
        async with asyncio.timeout(120):
            while self._coming_back:
                await asyncio.wait(self._coming_back)
                self.look()
            for slot in self.slots:
                assert slot.process is not None
                await asyncio.to_thread(slot.process.wait_ready)
            await until(lambda: self.system.postgres is not None, seconds=60)

    def died_by_themselves(self) -> list[str]:
        """Processes that nobody has ended."""
        return [
            f"{slot.name} ended by itself:\n" + "".join(slot.process.log[-30:])
            for slot in self.slots
            if slot.process is not None and not slot.lives and not slot.busy
        ]

    # What can be done to it. Each returns whether there was anybody to do it to.

    def kill(
        self, slot: Slot, rng: random.Random, number: signal.Signals = signal.SIGKILL, *, for_good: bool = False
    ) -> bool:
        """Ends a process of ours; the next takes its place after a while, unless it is ``for_good``."""
        if slot.busy or not slot.lives:
            return False
        slot.busy = True
        assert slot.process is not None
        process = slot.process
        process.send(number)
        pause = rng.choice((0.0, 0.2, 1.0, 2.5))
        self._count(number, slot.command[0])
        if number == signal.SIGKILL:
            if not for_good:
                self.fill_later(slot, pause)
            return True

        async def leave() -> None:
            status = await asyncio.to_thread(process.process.wait, 30)
            begun = process.said("ready:")  # before that it ends as any program does
            assert status == 0 or (status == -number and not begun), f"{status}:\n" + "".join(process.log[-40:])
            self.fill_later(slot, pause)

        self._task(leave())
        return True

    async def pause(self, slot: Slot, seconds: float) -> bool:
        """Stops a worker for longer than its lease; then it goes on as if nothing had happened."""
        if slot.busy or not slot.lives:
            return False
        slot.busy = True
        assert slot.process is not None
        slot.process.send(signal.SIGSTOP)
        self.counts["SIGSTOP worker past its lease"] += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            slot.process.send(signal.SIGCONT)
            slot.busy = False
        return True

    def kill_postgres(self, number: signal.Signals = signal.SIGKILL) -> bool:
        """Whoever uses it starts it again. SIGINT is how it is told to stop: SIGTERM has it wait for its clients."""
        pid = self.system.postgres
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        self._count(number, "PostgreSQL")
        return True

    async def kill_backend(self, rng: random.Random) -> bool:
        """A server process of one connection: PostgreSQL then ends them all and recovers."""
        rows = await self.ask(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'yeoul%%' AND backend_type = 'client backend'"
        )
        if not rows:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(rows)[0], signal.SIGKILL)
            self.counts["kill -9 PostgreSQL backend"] += 1
            return True
        return False

    async def drop_connections(self, share: float) -> bool:
        """Some of them, or all."""
        rows = await self.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'yeoul%%' AND random() <= %s",
            share,
        )
        self.counts["connection dropped"] += len(rows or [])
        return bool(rows)

    def kill_broker(self, rng: random.Random, number: signal.Signals = signal.SIGKILL) -> bool:
        broker = self.broker
        if broker is None or "broker" in self._down:
            return False
        self._down.add("broker")
        self._count(number, "broker")

        async def back() -> None:
            await asyncio.to_thread(broker.kill, number)
            await asyncio.sleep(rng.choice((0.1, 1.0, 3.0)))
            await asyncio.to_thread(broker.start)
            self._down.remove("broker")

        self._task(back())
        return True

    def kill_model(self, rng: random.Random, number: signal.Signals = signal.SIGKILL) -> bool:
        if "model" in self._down:
            return False
        self._down.add("model")
        self.model.end(number)
        self._count(number, "model server")

        async def back() -> None:
            await asyncio.sleep(rng.choice((0.0, 0.5, 1.5)))
            await asyncio.to_thread(self.model.start)
            self._down.remove("model")

        self._task(back())
        return True

    def _count(self, number: signal.Signals, whom: str) -> None:
        self.counts[f"{'kill -9' if number == signal.SIGKILL else number.name} {whom}"] += 1

    @property
    def kills(self) -> int:
        """kill -9 of whatever process."""
        return sum(count for what, count in self.counts.items() if what.startswith("kill -9"))

    # Asking the database

    async def ask(self, statement: str, *arguments: object) -> list[tuple[Any, ...]] | None:
        """Rows, or null when the database is not there."""
        try:
            return await asyncio.to_thread(self.system.query, statement, *arguments)
        except psycopg.OperationalError:
            return None

    async def worker_of(self, job_id: str) -> Slot | None:
        """The slot whose process runs a job."""
        rows = await self.ask("SELECT w.pid FROM workers w JOIN jobs j ON j.worker_id = w.id WHERE j.id = %s", job_id)
        return next((slot for slot in self.workers if rows and slot.process and slot.process.pid == rows[0][0]), None)


def _broker(doorbell: str, folder: Path) -> Broker | None:
    if doorbell == "postgres":
        return None
    return RedisServer(folder / "redis") if doorbell == "redis" else RabbitServer(folder / "rabbit")


@contextlib.contextmanager
def closing(fleet: Fleet) -> Iterator[Fleet]:
    """Ends what is no process of the system's."""
    try:
        yield fleet
    finally:
        fleet.model.end()
        if fleet.broker is not None:
            fleet.broker.stop()
