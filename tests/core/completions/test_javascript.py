"""The JavaScript clients people really use: ``openai``, ``ai`` with its provider, and AG-UI's ``HttpAgent``."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

JS = Path(__file__).parent / "js"
INSTALL_SECONDS = 100


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The packages of ``package.json``, in a folder kept between runs; without Node.js or npm's registry, a skip."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    package = (JS / "package.json").read_bytes()
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


@pytest.mark.parametrize("script", ["openai", "ai", "ag_ui"])
async def test_script(script: str, node_modules: Path, address: str, token: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules / "node_modules")
    for source in JS.glob("*.mjs"):
        shutil.copy(source, tmp_path)
    shutil.copy(JS / "package.json", tmp_path)
    process = await asyncio.create_subprocess_exec(
        "node",
        f"{script}.mjs",
        cwd=tmp_path,
        env={**os.environ, "ADDRESS": address, "TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    assert said.decode().splitlines()[-1] == "ok"
