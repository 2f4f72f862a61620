"""Pages of products."""

import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from tests.console.ponds import offered
from yeoul.console.i18n import po_file, read_catalogue
from yeoul.console.router import install
from yeoul.product import Menu, Page, Product, installed

SCRIPT = Path(__file__).parents[2] / "scripts" / "messages.py"
ID = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Offers the ponds before the application is made, which asks for this first; the kinds are as ever."""
    monkeypatch.syspath_prepend(offered(tmp_path))
    installed.cache_clear()
    yield
    installed.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "ponds"]:
        del sys.modules[name]


async def _register(client: httpx.AsyncClient) -> None:
    body = {"email": "a@example.com", "password": "a long passphrase"}
    answer = await client.post("/api/auth/register", json=body, headers={"Origin": "http://127.0.0.1:8000"})
    client.cookies.set("yeoul_access", answer.cookies["yeoul_access"])


async def test_another_packages_pages_are_in_the_console(client: httpx.AsyncClient) -> None:
    assert (await client.get("/ponds")).headers["location"] == "/signin?next=/ponds"
    await _register(client)
    page = (await client.get("/ponds")).text
    assert re.search(r'<a href="/ponds" data-key="w" aria-current="page"><svg.*d="M3 10h14".*>Still waters<', page)
    assert "Go to Still waters" in page
    assert 'data-pond=""' in page
    assert f'data-pond="{ID}"' in (await client.get(f"/ponds/{ID}")).text
    assert 'aria-current="page"' in (await client.get(f"/ponds/{ID}")).text
    assert (await client.get("/ponds/elsewhere")).status_code == 404
    assert "Still waters" in (await client.get("/jobs")).text  # in its menu


async def test_their_files_are_served_beside_the_consoles(client: httpx.AsyncClient) -> None:
    await _register(client)
    page = (await client.get("/ponds")).text
    script = re.search(r'data-script="(/static/[0-9a-f]{12}/products/ponds/js/ponds\.js)"', page)
    style = re.search(r'href="(/static/[0-9a-f]{12}/products/ponds/css/ponds\.css)"', (await client.get("/jobs")).text)
    assert script is not None
    assert style is not None
    for address, media_type in ((script[1], "text/javascript"), (style[1], "text/css")):
        file = await client.get(address)
        assert file.headers["content-type"].startswith(media_type)
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    for nowhere in ("products/ponds/../product.py", "products/ponds/%2e%2e/product.py", "products/none/js/ponds.js"):
        assert (await client.get(f"/static/0/{nowhere}")).status_code == 404


async def test_their_texts_are_translated_and_the_consoles_stay(client: httpx.AsyncClient) -> None:
    await _register(client)
    page = (await client.get("/ponds", headers={"Accept-Language": "ko"})).text
    assert "<title>잔잔한 물" in page
    assert '"Deep": "' in page  # among the scripts' strings
    assert "또 다른 말" not in page


async def test_a_public_page_is_shown_to_everybody(client: httpx.AsyncClient) -> None:
    page = await client.get(f"/shore/{ID}")
    assert (page.status_code, ID in page.text) == (200, True)
    assert 'class="nav"' not in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    missing = await client.get("/shore/x")
    assert (missing.status_code, 'class="nav"' in missing.text) == (404, False)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (Page("/jobs", "ponds.html"), "a page at /jobs already"),
        (Page("/ponds", "none.html"), "no none.html"),
        (Page("ponds", "ponds.html"), "must begin with /"),
        (Page("/ponds/{id}", "ponds.html", menu=Menu("Pond")), "no single page"),
    ],
)
def test_a_page_that_cannot_be_is_refused_in_words(tmp_path: Path, page: Page, said: str) -> None:
    product = Product("ponds", pages=(page,), console=offered(tmp_path) / "ponds/console")
    with pytest.raises(ValueError, match=said):
        install(FastAPI(), [product])


def test_pages_need_a_folder() -> None:
    with pytest.raises(ValueError, match="need the folder `console`"):
        Product("ponds", pages=(Page("/ponds", "ponds.html"),))


def test_the_script_for_catalogues_writes_theirs(tmp_path: Path) -> None:
    folder = offered(tmp_path) / "ponds/console"
    subprocess.run([sys.executable, SCRIPT, folder], check=True, capture_output=True)
    texts = {message.id: message.string for message in read_catalogue("ko", folder / "locale") if message.id}
    assert texts == {"Still waters": "잔잔한 물", "Deep": "깊어요", "Settings": "설정", "The shore": ""}
    assert po_file("en", folder / "locale").exists()
    checked = subprocess.run([sys.executable, SCRIPT, "--check", folder], check=False, capture_output=True)
    assert checked.returncode == 0
