"""A whole installation as processes of its own: APIs, workers and an embedded database, behind a real nginx."""

import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
START_SECONDS = 150
"""Five at once on a machine that has other things to do."""
STOP_SECONDS = 30
_READY = re.compile(r"\bis ready:")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would set Yeoul up."""
    return {k: v for k, v in os.environ.items() if not re.search(r"^YEOUL_|_API_KEY$|_BASE_URL$", k)}


@dataclass
class Process:
    """One ``yeoul`` command that can be killed and started again."""

    words: list[str]
    environment: Mapping[str, str]
    folder: Path
    ready: re.Pattern[str] = _READY
    log: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "yeoul", *self.words],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process, self._ready), daemon=True)
        self._reader.start()
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        assert self._process is not None
        if not self._ready.wait(START_SECONDS) or self._process.poll() is not None:
            raise RuntimeError(f"yeoul {' '.join(self.words)} did not start:\n{''.join(self.log[-40:])}")

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self.log.append(line)
                if self.ready.search(line):
                    ready.set()
        process.wait()
        ready.set()  # it has ended: nobody need wait for more

    def wait(self) -> int:
        """Waits until it has ended by itself; its exit status."""
        process, self._process = self._process, None
        assert process is not None
        assert self._reader is not None
        self._reader.join(STOP_SECONDS)
        return process.wait(STOP_SECONDS)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        """Ends it; its exit status."""
        process, self._process = self._process, None
        if process is None or self._reader is None:
            return None
        process.send_signal(how)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            self._reader.join(STOP_SECONDS)


class Nginx:
    """A real nginx with the configuration of ``deploy/nginx``: only the lines it marks as yours are replaced."""

    def __init__(self, folder: Path, upstreams: list[int], *, timeout: str | None = None) -> None:
        self._command = [find("nginx"), "-e", "stderr", "-p", str(folder), "-c", "nginx.conf"]
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = folder
        self.port, self.plain_port = free_port(), free_port()
        (folder / "snippets").mkdir(parents=True)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        subprocess.run(
            [find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
             "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.tls = ssl.create_default_context(cafile=str(certificate))
        snippet = (DEPLOY / "nginx/snippets/yeoul.conf").read_text()
        if timeout is not None:
            snippet = replaced(snippet, r"proxy_read_timeout \w+;", f"proxy_read_timeout {timeout};")
        (folder / "snippets/yeoul.conf").write_text(snippet)
        (folder / "yeoul.conf").write_text(ours(upstreams, self.port, self.plain_port, certificate, key))
        (folder / "nginx.conf").write_text(_MAIN.format(user="user root;" if os.geteuid() == 0 else ""))

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def check(self) -> None:
        """nginx's own check of its configuration: no error, no warning."""
        checked = subprocess.run([*self._command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        assert "[warn]" not in checked.stderr, checked.stderr

    def start(self) -> None:
        """Starts it; returns once it listens."""
        self.check()
        # Without a daemon its sockets are bound before it forks its worker, which then says its first line.
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if b"start worker process " in line:
                break
        assert self._process.poll() is None, "nginx did not start"
        threading.Thread(target=self._process.stderr.read, daemon=True).start()

    def stop(self) -> None:
        """Ends it by its own process id."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            assert self._process.stderr is not None
            self._process.stderr.close()


_MAIN = """\
{user}
daemon off;
pid nginx.pid;
worker_processes 1;
error_log stderr notice;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    add_header X-Served-By $upstream_addr;  # so that a test can tell the APIs apart
    include yeoul.conf;
}}
"""


def ours(upstreams: list[int], port: int, plain_port: int, certificate: Path, key: Path) -> str:
    """``deploy/nginx/yeoul.conf`` with every line that is marked as yours filled in, and no other line touched."""
    text = (DEPLOY / "nginx/yeoul.conf").read_text()
    line = re.search(r"^    server 127\.0\.0\.1:8000 (.*)$", text, re.MULTILINE)
    assert line is not None
    servers = "\n".join(f"    server 127.0.0.1:{each} {line[1]}" for each in upstreams)
    text = replaced(text, r"^(    server 127\.0\.0\.1:\d+ .*\n)+", f"{servers}\n")
    text = replaced(text, r"listen 80;  # yours", f"listen 127.0.0.1:{plain_port};")
    text = replaced(text, r"listen 443 ssl http2;  # yours", f"listen 127.0.0.1:{port} ssl http2;")
    text = replaced(text, r"server_name .*;  # yours", "server_name localhost;", times=2)
    text = replaced(text, r"(ssl_certificate) .*;  # yours", rf"\1 {certificate};")
    text = replaced(text, r"(ssl_certificate_key) .*;  # yours", rf"\1 {key};")
    assert "# yours\n" not in text, "a line to fill in that the tests do not know"
    return text


def replaced(text: str, pattern: str, by: str, *, times: int = 1) -> str:
    made, count = re.subn(pattern, by, text, flags=re.MULTILINE)
    assert count == times, f"{pattern} is there {count} times"
    return made


def find(program: str) -> str:
    """Where a program of the system is; skips the test without it."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"no {program}: scripts/system_packages.sh installs it where it can")
    return path
