"""Which process is which, as long as it lives and not a moment longer."""

import os
import signal
import subprocess
import sys

import pytest

from yeoul.core.jobs.hosts import born, lives, this_host


def test_a_process_is_itself_until_it_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        since = born(process.pid)
        assert since is not None
        assert lives(process.pid, since)
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and its parent has not looked yet
        assert not lives(process.pid, since)
        process.wait()
        assert not lives(process.pid, since)


def test_a_number_used_again_is_somebody_else() -> None:
    since = born(os.getpid())
    assert since is not None
    assert lives(os.getpid(), since)
    assert not lives(os.getpid(), str(int(since) - 1))


def test_a_process_tells_the_same_of_itself_and_of_others() -> None:
    code = "import os; from yeoul.core.jobs.hosts import *; print(os.getpid(), born(os.getpid()), this_host())"
    with subprocess.Popen(
        [sys.executable, "-c", code + "; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid, since, host = process.stdout.readline().split()
        assert born(int(pid)) == since
        assert host == this_host()
        process.communicate("\n")


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="makes a pid namespace")
def test_a_container_is_another_host() -> None:
    """Its pids are its own, although the machine, its boot and even its name may be the same."""
    code = "from yeoul.core.jobs.hosts import this_host; print(this_host())"
    inside = subprocess.run(
        ["unshare", "--pid", "--fork", sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    if inside.returncode:
        pytest.skip(f"no namespaces here: {inside.stderr}")
    assert inside.stdout.strip() != this_host()
