"""Processes of the ``yeoul`` command in a tenth of the time: what they import is imported once, each is a fork of that.

They are real processes, with their own pid, environment, files and end; only Python's start and the imports are saved.
``python -m tests.faults.nursery FD`` is the mother; ``Nursery`` is how tests ask her. Whatever happens to the tests,
her children die with her.
"""

import ctypes
import gc
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

MODULES = (
    "yeoul.cli", "yeoul.commands.serve", "yeoul.core.llm.call", "yeoul.core.llm.providers.fake",
    "yeoul.core.llm.providers.compatible", "yeoul.core.jobs.doorbells.redis", "yeoul.core.jobs.doorbells.rabbitmq",
    "uvloop", "uvicorn.protocols.http.httptools_impl", "uvicorn.loops.uvloop", "sqlalchemy.dialects.postgresql.psycopg",
    "tests.faults.kinds",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
MESSAGE_BYTES = 65_536
START_SECONDS = 150
"""For all those imports, on a machine that has other things to do."""
_PR_SET_PDEATHSIG = 1


class Child:
    """A process of the nursery, as its tests see it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = threading.Event()
        self._status = 0

    def ended(self, status: int) -> None:
        self._status = status
        self._ended.set()

    def poll(self) -> int | None:
        """Its exit status, as ``subprocess`` says it; null while it lives."""
        return self._status if self._ended.is_set() else None

    def wait(self, seconds: float) -> int:
        """Waits for its end; raises ``TimeoutError``."""
        if not self._ended.wait(seconds):
            raise TimeoutError(f"process {self.pid} does not end")
        return self._status

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, unless it has ended: the number may be another's by then."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Nursery:
    """Asks for processes, and hears of their ends. All of them have the given variables in their environment."""

    def __init__(self, **environment: str) -> None:
        ours, hers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._children: dict[int, Child] = {}
        self._born = threading.Condition()
        self._newborn: list[Child] = []
        self._asking = threading.Lock()
        kept = {k: v for k, v in os.environ.items() if not re.search(r"^YEOUL_|_API_KEY$|_BASE_URL$", k)}
        path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
        with hers:
            self._mother = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.nursery", str(hers.fileno())],
                pass_fds=[hers.fileno()],
                env={**kept, "PYTHONPATH": path, **environment},
                stdin=subprocess.DEVNULL,
            )
        threading.Thread(target=self._hear, daemon=True).start()

    def start(self, command: list[str], environment: Mapping[str, str], folder: Path, stderr: int, host: str) -> Child:
        """Starts ``yeoul command``; its errors go to the file descriptor. ``host``: a machine's name of its own."""
        asked = json.dumps({"command": command, "environment": environment, "folder": str(folder), "host": host})
        with self._asking, self._born:
            before = len(self._newborn)
            socket.send_fds(self._socket, [asked.encode()], [stderr])
            if not self._born.wait_for(lambda: len(self._newborn) > before, START_SECONDS):
                raise TimeoutError(f"the nursery does not answer (it ended with {self._mother.poll()})")
            return self._newborn[-1]

    def close(self) -> None:
        """Ends her, and so all of them."""
        self._mother.kill()
        self._mother.wait()
        self._socket.close()

    def _hear(self) -> None:
        while said := self._said():
            pid, status = json.loads(said)
            with self._born:
                if status is None:
                    self._children[pid] = Child(pid)
                    self._newborn.append(self._children[pid])
                    self._born.notify_all()
                else:
                    self._children.pop(pid).ended(status)
        for child in self._children.values():  # they died with her
            child.ended(-signal.SIGKILL)

    def _said(self) -> bytes:
        with suppress(OSError):
            return self._socket.recv(MESSAGE_BYTES)
        return b""


def _mother(line: socket.socket) -> None:
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that a child's collections do not copy what it shares with her
    heard, woken = socket.socketpair()
    for end in (heard, woken):
        end.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        _bury(line)
        ready = _ready(line, heard)
        if heard in ready:
            heard.recv(4096)
        if line in ready:
            message, fds, _, _ = socket.recv_fds(line, MESSAGE_BYTES, 1)
            if not message:
                return
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for end in (line, heard, woken):
                    end.close()
                _child(json.loads(message), fds[0])
            os.close(fds[0])
            line.send(json.dumps([pid, None]).encode())


def _ready(*sockets: socket.socket) -> list[socket.socket]:
    import select

    return select.select(sockets, [], [])[0]


def _bury(line: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        line.send(json.dumps([pid, os.waitstatus_to_exitcode(status)]).encode())


def _child(asked: dict[str, object], stderr: int) -> None:
    """Becomes ``yeoul``. Never returns."""
    libc: Callable[..., int] = ctypes.CDLL(None).prctl
    libc(_PR_SET_PDEATHSIG, signal.SIGKILL)
    status = 1
    try:
        os.setpgid(0, 0)
        os.dup2(stderr, 2)
        os.close(stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        environment = asked["environment"]
        assert isinstance(environment, dict)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("YEOUL_")}
        os.environ.clear()
        os.environ.update({**kept, **environment})
        os.chdir(str(asked["folder"]))
        if host := str(asked["host"]):
            _be_another_machine(host)
        command = asked["command"]
        assert isinstance(command, list)
        sys.argv = ["yeoul", *command]
        from yeoul.cli import main

        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  (it has to end here, whatever happened)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _be_another_machine(name: str) -> None:
    """A host name of its own, so that nobody takes its pid for one of this machine's. Takes root."""
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newuts = 0x04000000
    if libc.unshare(clone_newuts) or libc.sethostname(name.encode(), len(name)):
        raise OSError(ctypes.get_errno(), "no host name of its own")


if __name__ == "__main__":
    _mother(socket.socket(fileno=int(sys.argv[1])))
