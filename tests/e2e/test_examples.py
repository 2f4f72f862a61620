"""The examples of the documentation, installed and used as their readers would."""

import asyncio
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Generator
from functools import partial
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from tests.e2e.conftest import IN_BROWSER, NewContext, Server, new_server, sign_up

pytestmark = IN_BROWSER

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCE = {".py", ".html", ".js"}


def installed(example: str, folder: Path) -> str:
    """A Python path on which an example is, as its own ``pyproject.toml`` says."""
    project = tomllib.loads((EXAMPLES / example / "pyproject.toml").read_text())["project"]
    made = folder / f"{project['name']}-{project['version']}.dist-info"
    made.mkdir()
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
        for group, names in project["entry-points"].items()
    )
    (made / "entry_points.txt").write_text("\n".join(points))
    return f"{folder}:{EXAMPLES / example}"


async def test_the_product_has_40_lines() -> None:
    files = [path for path in (EXAMPLES / "haiku/haiku").rglob("*") if path.suffix in SOURCE]
    assert sum(bool(line.strip()) for path in files for line in path.read_text().splitlines()) <= 40


@pytest.fixture
def haiku(browser_path: str, tmp_path: Path) -> Generator[Server]:
    """A server beside which the product is installed."""
    yield from new_server(PYTHONPATH=installed("haiku", tmp_path), YEOUL_DEFAULT_MODEL="fake/echo")


async def test_a_product_in_40_lines(haiku: Server, new_context: NewContext) -> None:
    context = await new_context(haiku.url)
    await sign_up(context, haiku)
    page = await context.new_page()
    await page.goto("/jobs")
    await page.get_by_role("link", name="Haiku").click()
    await page.get_by_placeholder("About what?").fill("a stretch of fast water")
    await page.get_by_placeholder("About what?").press("Enter")
    await expect(page.locator("pre")).to_contain_text("Write a haiku about a stretch of fast water.")
    await page.get_by_role("link", name="Jobs").click()
    await expect(page.get_by_role("link", name="haiku.write")).to_be_visible()


async def test_a_provider_in_one_file(own_server: Server, tmp_path: Path) -> None:
    """One server asks another, with a key of that one."""
    async with httpx.AsyncClient(base_url=own_server.url) as client:
        body = {"email": "mina@example.com", "password": "a long passphrase"}
        token = (await client.post("/api/auth/register", json=body)).json()["access_token"]
        made = await client.post("/api/keys", json={"name": "neighbour"}, headers={"Authorization": f"Bearer {token}"})
        key = made.json()["key"]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": installed("neighbour", tmp_path),
        "NEIGHBOUR_URL": f"{own_server.url}/v1",
        "YEOUL_PROVIDER_KEYS": json.dumps({"neighbour": key}),
        "YEOUL_LOCAL_ENABLED": "false",
        "YEOUL_DATA_DIR": str(tmp_path / "data"),
    }
    yeoul = Path(sys.executable).with_name("yeoul")
    command: list[str | Path] = [yeoul, "run", "Three words please.", "--model", "neighbour/fake/echo"]
    run = partial(subprocess.run, command, env=environment, capture_output=True, text=True, check=False)
    done: subprocess.CompletedProcess[str] = await asyncio.to_thread(run)
    assert (done.returncode, done.stdout.strip()) == (0, "Three words please."), done.stderr
