"""Which process a worker is: after kill -9 its successor on the same machine need not wait for the lease."""

import os
import platform
from pathlib import Path

import psutil

_STATE, _START_TICKS = 0, 19
"""Fields of ``/proc/<pid>/stat``, counted after the process's name."""


def this_host() -> str:
    """Where a pid of ours means something: this machine, this boot, this pid namespace (a container has its own)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (what it points to is no path)
    except OSError:  # not Linux
        return f"{platform.node()}/{int(psutil.boot_time())}"
    return f"{platform.node()}/{boot}/{space}"


def born(pid: int) -> str | None:
    """When a process began, in words that only this host compares; null when there is none, or it has ended.

    By the clock of the boot where there is one: the wall clock's answer moves when the clock is set.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _born_elsewhere(pid)
    except OSError:  # it ended while we read
        return None
    return None if fields[_STATE] in "ZX" else fields[_START_TICKS]


def _born_elsewhere(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(int(process.create_time()))
    except psutil.NoSuchProcess:
        return None


def lives(pid: int, since: str) -> bool:
    """Whether the process that had this pid then still runs; a younger one merely has its number."""
    return born(pid) == since
