import re
from pathlib import Path

import httpx
import pytest

from yeoul.console.assets import STATIC

INLINE = re.compile(r"<script(?![^>]*(src=|application/json))|\sstyle=|<style|\son[a-z]+=|javascript:")


async def test_pages_hold_nothing_the_policy_forbids(client: httpx.AsyncClient) -> None:
    for path in ("/signin", "/register"):
        page = await client.get(path)
        assert page.status_code == 200
        assert not INLINE.search(page.text)
        assert "script-src 'self'" in page.headers["content-security-policy"]


def test_templates_hold_nothing_the_policy_forbids() -> None:
    found = [
        file for pattern in ("console", "*/console") for file in STATIC.parents[1].glob(f"{pattern}/templates/*.html")
    ]
    assert found
    for template in found:
        assert not INLINE.search(template.read_text()), template.name


async def test_files_are_kept_for_good_under_their_hash_and_only_there(client: httpx.AsyncClient) -> None:
    page = (await client.get("/signin")).text
    address = re.search(r'src="(/static/[0-9a-f]{12}/js/main\.js)"', page)
    assert address is not None
    file = await client.get(address[1])
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert file.headers["content-type"].startswith("text/javascript")
    stale = await client.get("/static/000000000000/js/main.js")
    assert stale.text == file.text
    assert stale.headers["cache-control"] == "no-cache"
    assert (await client.get("/static/000000000000/../router.py")).status_code == 404


@pytest.mark.parametrize("path", ["/", "/jobs", "/settings", "/jobs/01890000-0000-7000-8000-000000000000", "/ask/x"])
async def test_visitors_are_sent_to_sign_in_and_back(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"] == ("/signin" if path == "/" else f"/signin?next={path}")


async def test_who_has_an_expired_cookie_gets_a_page_that_renews_it(client: httpx.AsyncClient) -> None:
    client.cookies.set("yeoul_access", "expired")
    page = await client.get("/jobs?status=failed")
    assert page.status_code == 200
    assert 'data-page="resume"' in page.text
    assert 'data-next="/jobs?status=failed"' in page.text
    assert 'data-page="door"' in (await client.get("/signin?ended=true")).text


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil", "/\n/evil", "javascript:1", ""]
)
async def test_next_leads_nowhere_else(client: httpx.AsyncClient, target: str) -> None:
    page = await client.get("/signin", params={"next": target})
    assert 'data-next="/"' in page.text


async def test_choices_are_kept_in_cookies_and_come_from_our_own_pages(client: httpx.AsyncClient) -> None:
    form = {"theme": "dark", "language": "ko", "back": "/signin"}
    assert (await client.post("/settings", data=form, headers={"Origin": "https://evil.example"})).status_code == 403
    own = {"Origin": "http://127.0.0.1:8000"}
    answer = await client.post("/settings", data=form, headers=own)
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin")
    page = (await client.get("/signin")).text
    assert '<html lang="ko" data-theme="dark">' in page
    for given, anew in (({"theme": "light", "language": "ko"}, None), ({"language": "en"}, "true")):
        kept = await client.post("/settings", data=given, headers={**own, "HX-Request": "true"})
        assert (kept.status_code, kept.headers.get("hx-refresh")) == (204, anew)
    assert (await client.post("/settings", data={"theme": "pink"}, headers=own)).status_code == 422


async def test_the_first_account_is_announced_until_it_exists(client: httpx.AsyncClient) -> None:
    assert "becomes the administrator" in (await client.get("/register")).text
    await client.post("/api/auth/register", json={"email": "a@example.com", "password": "a long passphrase"})
    assert "becomes the administrator" not in (await client.get("/register")).text


async def test_the_type_of_a_problem_leads_to_what_its_code_means(client: httpx.AsyncClient) -> None:
    problem = (await client.get("/api/jobs")).json()
    page, _, anchor = problem["type"].partition("#")
    answer = await client.get(page)
    assert answer.status_code == 200
    said = answer.text.partition(f'<h2 id="{anchor}">')[2].partition("<h2")[0]
    assert "401 Sign in first. No principal, or a token that is not good." in said
    ids = re.findall(r'<h2 id="(\w+)">', answer.text)
    assert len(ids) == len(set(ids)) > 40
    assert not INLINE.search(answer.text)


async def test_pages_are_nobody_elses(client: httpx.AsyncClient) -> None:
    page = await client.get("/signin", headers={"Accept-Language": "ko"})
    assert page.headers["cache-control"] == "private, no-cache"
    assert page.headers["vary"] == "Accept-Language, Cookie"
    assert page.headers["content-language"] == "ko"


def test_vendored_files_have_their_licences() -> None:
    vendor = STATIC / "vendor"
    assert {path.stem for path in vendor.glob("*.js")} == {"htmx", "marked", "purify"}
    licences = {path.stem for path in Path(vendor / "LICENSES").iterdir()}
    assert licences == {"htmx", "marked", "dompurify"}
