"""Real Redis and RabbitMQ servers, for tests and benchmarks: on free ports, in a folder of their own, ended by pid."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from tests.ports import free_port

START_SECONDS = 60


class Broker(Protocol):
    """A server that can die and come back on the same port."""

    url: str

    def start(self) -> None:
        """Starts it, unless it runs; returns once it answers."""

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it, and waits for its end."""

    def freeze(self) -> None:
        """Has it keep its connections and answer nothing, until ``thaw``."""

    def thaw(self) -> None:
        """Has it go on."""

    def stop(self) -> None:
        """Ends it and all that belongs to it."""


Some = TypeVar("Some", bound=Broker)


@contextlib.contextmanager
def running(broker: Some) -> Generator[Some]:
    """Starts a broker, and stops it in the end."""
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


class _Server:
    port: int
    hello: ClassVar[bytes]
    _process: subprocess.Popen[bytes] | None = None

    def _run(self, path: Path, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        if self._process is not None:
            return
        with (path / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {(path / 'output.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Whether it says something to its protocol's first words: an open port is not yet a server."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(self.hello)
            return bool(connection.recv(1))
        return False

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # until its last thread stands still: it may answer before

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.kill()


class RedisServer(_Server):
    """Debian's redis-server, without files."""

    hello = b"PING\r\n"

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    @staticmethod
    def missing() -> str | None:
        """Why it cannot be started here."""
        if shutil.which("redis-server") is None:
            return "redis-server is not installed (scripts/system_packages.sh installs it)"
        return None

    def start(self) -> None:
        """Starts it, in some 50 ms."""
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._path)]
        self._run(self._path, ["redis-server", *where, "--save", "", "--appendonly", "no"])


class RabbitServer(_Server):
    """Debian's rabbitmq-server, with one scheduler and no plugins, and the port mapper (epmd) it cannot do without."""

    hello = b"AMQP\x00\x00\x09\x01"
    # The command on PATH changes to another user and the system's own data; this is what it runs.
    _command = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(exist_ok=True)
        self.port, self._mapper_port, distribution = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self._mapper: subprocess.Popen[bytes] | None = None
        (path / "plugins").write_text("[].")
        (path / "rabbit.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nvm_memory_high_watermark.absolute = 512MiB\nlog.file = false\n"
        )
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(path),  # where its cookie lies
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": f"yeoul{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(path / "rabbit"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(path / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(path / "mnesia"),
            "RABBITMQ_LOG_BASE": str(path),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server: its pid is the one to end
        }

    @staticmethod
    def missing() -> str | None:
        """Why it cannot be started here."""
        if not RabbitServer._command.exists() or shutil.which("epmd") is None:
            return "rabbitmq-server is not installed (scripts/system_packages.sh installs it)"
        return None

    def start(self) -> None:
        """Starts it, in some 4 seconds."""
        if self._mapper is None:
            self._mapper = subprocess.Popen(["epmd", "-address", "127.0.0.1", "-port", str(self._mapper_port)])
        self._run(self._path, [str(self._command)], self._environment)

    def stop(self) -> None:
        """Ends it and its port mapper."""
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None
