"""Scripts under Node.js, with packages from npm that are kept between runs."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

INSTALL_SECONDS = 100
RUN_SECONDS = 60


def installed(folder: Path) -> Path:
    """The packages of a folder's ``package.json``, kept between runs; without Node.js or npm's registry, a skip."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    package = (folder / "package.json").read_bytes()
    cached = Path(tempfile.gettempdir()) / f"yeoul-js-{os.getuid()}-{hashlib.sha256(package).hexdigest()[:16]}"
    if not cached.exists():
        with tempfile.TemporaryDirectory(prefix="yeoul-js-", ignore_cleanup_errors=True) as scratch:
            (Path(scratch) / "package.json").write_bytes(package)
            command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
            try:
                done = subprocess.run(
                    command, cwd=scratch, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                pytest.skip(f"npm did not install the clients within {INSTALL_SECONDS} seconds")
            if done.returncode:
                pytest.skip(f"npm could not install the clients: {done.stderr.strip()[-300:]}")
            shutil.copytree(scratch, cached.with_suffix(f".{os.getpid()}"), symlinks=True)
        try:
            cached.with_suffix(f".{os.getpid()}").rename(cached)
        except OSError:  # another test process was quicker
            shutil.rmtree(cached.with_suffix(f".{os.getpid()}"))
    return cached


async def run(folder: Path, script: str, packages: Path, scratch: Path, **env: str) -> str:
    """Runs a script of the folder, which must end well; what it printed."""
    _lay_out(folder, packages, scratch)
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        cwd=scratch,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return said.decode()


def _lay_out(folder: Path, packages: Path, scratch: Path) -> None:
    (scratch / "node_modules").symlink_to(packages / "node_modules")
    for source in (*folder.glob("*.mjs"), folder / "package.json"):
        shutil.copy(source, scratch)
