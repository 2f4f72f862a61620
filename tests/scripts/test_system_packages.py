"""What the test command installs on a machine that has nothing yet."""

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "system_packages.sh"


def _tool(path: Path, name: str, does: str = "") -> None:
    """A command that is there, and does little."""
    (path / name).write_text(f"#!/bin/sh\n{does}\n")
    (path / name).chmod(0o755)


def _run(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the script with the commands a bare machine has, and those in `path`."""
    for name in ("sh", "cat", "cut", "tr", "rm", "chmod"):
        found = shutil.which(name)
        assert found
        (path / name).symlink_to(found)
    return subprocess.run(
        [path / "sh", SCRIPT],
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_bare_machine_is_left_alone_when_told(tmp_path: Path) -> None:
    done = _run(tmp_path, YEOUL_SYSTEM_PACKAGES="no")
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[0] == "▸ Not installed, because YEOUL_SYSTEM_PACKAGES=no:"
    packages = [line.split(":")[0].strip() for line in said[1:]]
    assert packages == ["chromium", "redis-server", "rabbitmq-server", "nginx-light", "openssl", "faketime"]


def test_without_apt_the_tests_that_need_more_are_named(tmp_path: Path) -> None:
    done = _run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no Debian or Ubuntu" in done.stdout
    assert "chromium: without it, skipped: browser tests" in done.stdout


def test_without_root_the_command_to_type_is_named(tmp_path: Path) -> None:
    _tool(tmp_path, "apt-get", "exit 1")
    _tool(tmp_path, "id", "echo 1000")
    done = _run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sudo apt-get install chromium redis-server rabbitmq-server nginx-light openssl faketime" in done.stdout


def test_only_what_is_missing_is_installed_and_no_service_starts(tmp_path: Path) -> None:
    policy, seen = tmp_path / "policy", tmp_path / "seen"
    _tool(tmp_path, "apt-get", f'echo "$@" >>{seen}; cat {policy} >>{seen}')
    _tool(tmp_path, "id", "echo 0")
    for name in ("nginx", "openssl"):
        _tool(tmp_path, name)
    done = _run(tmp_path, YEOUL_POLICY=str(policy))
    assert (done.returncode, done.stderr) == (0, "")
    update, shebang, refusal, install, *_ = seen.read_text().splitlines()
    assert update.endswith(" update")
    assert (shebang, refusal) == ("#!/bin/sh", "exit 101")
    assert install.endswith("--no-install-recommends chromium redis-server rabbitmq-server faketime")
    assert not policy.exists()


def test_a_complete_machine_hears_nothing(tmp_path: Path) -> None:
    for name in ("chromium", "redis-server", "rabbitmq-server", "nginx", "openssl", "faketime"):
        _tool(tmp_path, name)
    done = _run(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
