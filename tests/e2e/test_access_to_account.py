"""Who may get into an account: sign-in at a provider, sessions, ways to sign in, API keys."""

import json
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.core.auth.issuer import AUDIENCE, SECRET, FakeIssuer, fake_issuer
from tests.e2e.conftest import IN_BROWSER, PASSWORD, NewContext, Server, Watch, new_server, post, sign_up
from tests.e2e.test_access import PHONE, findings

pytestmark = [*IN_BROWSER, pytest.mark.xdist_group("e2e access to account")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def issuer() -> AsyncGenerator[FakeIssuer]:
    async with fake_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def offering(browser_path: str, issuer: FakeIssuer) -> Generator[Server]:
    """A server whose sign-in page offers a provider."""
    provider = {"name": "river", "label": "River ID", "issuer": issuer.url, "client_id": AUDIENCE}
    yield from new_server(YEOUL_OIDC_PROVIDERS=json.dumps([provider | {"client_secret": SECRET}]))


def is_now(issuer: FakeIssuer, name: str, **claims: object) -> None:
    """Who is signed in at the provider."""
    issuer.denies = False
    issuer.user_info = {"sub": f"subject-{name}"}
    issuer.id_claims = {"sub": f"subject-{name}", "email": f"{name}@example.com", "email_verified": True, **claims}


def panel(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


async def settled(page: Page) -> None:
    await expect(page.locator('[aria-busy="true"]')).to_have_count(0)


async def test_a_provider_signs_one_in_and_on(offering: Server, issuer: FakeIssuer, new_context: NewContext) -> None:
    is_now(issuer, "mina")
    page = await (await new_context(offering.url)).new_page()
    await page.goto("/jobs?status=failed")
    await page.get_by_role("link", name="Continue with River ID").click()
    await expect(page).to_have_url(f"{offering.url}/jobs?status=failed")
    await page.goto("/settings")
    await expect(panel(page, "Account").get_by_text("mina@example.com")).to_be_visible()
    row = panel(page, "Ways to sign in").get_by_role("listitem")
    await expect(row).to_contain_text("mina@example.com")
    await expect(row).to_contain_text("River ID")


@pytest.mark.parametrize(
    ("locale", "what", "words", "advice"),
    [
        ("en-US", "denied", "The sign-in was ended", "sign in another way"),
        ("ko-KR", "denied", "로그인이 중단됐어요", "다른 방법으로 로그인하세요"),
        ("en-US", "no email", "The provider tells no email address", "Let it share one"),
        ("en-US", "taken", "An account here has this email already", "under Settings"),
    ],
)
async def test_what_kept_one_out_is_said_in_words(
    offering: Server, issuer: FakeIssuer, new_context: NewContext, locale: str, what: str, words: str, advice: str
) -> None:
    is_now(issuer, "nobody")
    if what == "no email":
        is_now(issuer, "nameless", email=...)
    if what == "taken":
        email = await sign_up(await new_context(offering.url), offering)
        is_now(issuer, email.partition("@")[0])
    issuer.denies = what == "denied"
    page = await (await new_context(offering.url, locale=locale)).new_page()
    await page.goto("/signin?next=/jobs")
    await page.get_by_role("link", name="River ID").click()
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text(words)
    await expect(alert).to_contain_text(advice)
    is_now(issuer, f"second-{what.replace(' ', '-')}-{locale}")
    await page.get_by_role("link", name="River ID").click()
    await expect(page).to_have_url(f"{offering.url}/jobs")


@pytest.mark.parametrize("code", ["sign_in_not_started", "nobody_knows_this", "<script>alert(1)</script>"])
async def test_a_code_in_the_address_is_only_looked_up(offering: Server, new_context: NewContext, code: str) -> None:
    page = await (await new_context(offering.url)).new_page()
    await page.goto(f"/signin?error={code}")
    await expect(page.get_by_role("alert")).to_contain_text("Start again")
    assert "<script>alert" not in await page.content()


async def test_a_way_is_added_and_removed(
    offering: Server, issuer: FakeIssuer, new_context: NewContext, watch: Watch
) -> None:
    context = await new_context(offering.url)
    email = await sign_up(context, offering)
    is_now(issuer, "hers", email="hers@example.com")
    page = await context.new_page()
    await page.goto("/settings")
    ways = panel(page, "Ways to sign in")
    await expect(ways.get_by_text("None yet.")).to_be_visible()
    await ways.get_by_role("link", name="Add River ID").click()
    await expect(ways.get_by_role("listitem")).to_contain_text("hers@example.com")

    # It leads into this account, which has another email.
    other = await (await new_context(offering.url)).new_page()
    await other.goto("/signin")
    await other.get_by_role("link", name="River ID").click()
    await other.goto("/settings")
    await expect(panel(other, "Account").get_by_text(email)).to_be_visible()

    # Another account cannot have it too.
    third = await new_context(offering.url)
    await sign_up(third, offering)
    page_of_third = await third.new_page()
    await page_of_third.goto("/settings")
    await page_of_third.get_by_role("link", name="Add River ID").click()
    await expect(page_of_third.get_by_role("alert").first).to_contain_text("Another account signs in this way")

    await ways.get_by_role("button", name="Remove").click()
    await page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    await expect(ways.get_by_role("listitem")).to_have_count(1)
    await ways.get_by_role("button", name="Remove").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(ways.get_by_text("None yet.")).to_be_visible()
    await expect(ways.get_by_role("heading")).to_be_focused()


async def test_the_last_way_in_stays(
    offering: Server, issuer: FakeIssuer, new_context: NewContext, watch: Watch
) -> None:
    watch.allowed.append("status of 409")
    is_now(issuer, "only")
    page = await (await new_context(offering.url)).new_page()
    await page.goto("/signin")
    await page.get_by_role("link", name="River ID").click()
    await page.goto("/settings")
    ways = panel(page, "Ways to sign in")
    await ways.get_by_role("button", name="Remove").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(ways.get_by_role("alert")).to_contain_text("This is the only way to sign in")
    await expect(ways.get_by_role("listitem")).to_have_count(1)


async def test_a_server_without_providers(page: Page, new_context: NewContext, server: Server) -> None:
    await page.goto("/settings")
    await expect(panel(page, "Ways to sign in").get_by_text("This server offers no provider.")).to_be_visible()
    visitor = await (await new_context(server.url)).new_page()
    await visitor.goto("/signin")
    await expect(visitor.get_by_role("link", name="Continue with")).to_have_count(0)


async def test_sessions_are_ended_one_by_one_and_everywhere(
    server: Server, new_context: NewContext, context: BrowserContext, page: Page, watch: Watch
) -> None:
    watch.allowed.append("status of 401")
    me = await (await context.request.get("/api/me")).json()
    firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0"
    others = [await new_context(server.url, user_agent=agent) for agent in (firefox, "curl/8.5")]
    for other in others:
        signed_in = await post(other, server, "/api/auth/login", {"email": me["email"], "password": PASSWORD})
        assert signed_in.ok
    await page.goto("/settings")
    sessions = panel(page, "Where you are signed in")
    await expect(sessions.get_by_role("listitem")).to_have_count(3)
    await expect(sessions.get_by_role("listitem").filter(has_text="This browser")).to_contain_text("Chrome on Linux")
    await sessions.get_by_role("button", name="Sign out: Firefox on Windows").click()
    await expect(sessions.get_by_role("listitem")).to_have_count(2)
    assert (await post(others[0], server, "/api/auth/refresh")).status == 401
    assert (await post(others[1], server, "/api/auth/refresh")).ok

    await sessions.get_by_role("button", name="Sign out everywhere").click()
    await page.get_by_role("dialog").get_by_role("button", name="Stay signed in").click()
    await expect(page).to_have_url(f"{server.url}/settings")
    await sessions.get_by_role("button", name="Sign out everywhere").click()
    await page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
    await expect(page).to_have_url(f"{server.url}/signin")
    assert (await post(others[1], server, "/api/auth/refresh")).status == 401


async def test_this_session_is_ended_from_the_list(server: Server, page: Page) -> None:
    await page.goto("/settings")
    await panel(page, "Where you are signed in").get_by_role("button", name="Sign out: Chrome").click()
    await expect(page).to_have_url(f"{server.url}/signin")


async def test_a_key_is_shown_once_works_and_is_revoked(
    server: Server, context: BrowserContext, page: Page, watch: Watch
) -> None:
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto("/settings")
    keys = panel(page, "API keys")
    await expect(keys.get_by_text("No keys yet.")).to_be_visible()
    await keys.get_by_role("button", name="Make a key").click()
    await expect(keys.get_by_text("Say what it is for.")).to_be_visible()
    await expect(keys.get_by_label("What it is for")).to_be_focused()
    await page.keyboard.type("nightly <import>")
    await keys.get_by_role("checkbox", name="read").uncheck()
    await keys.get_by_role("checkbox", name="change and ask").uncheck()
    await page.keyboard.press("Tab")
    await keys.get_by_role("button", name="Make a key").click()
    await expect(keys.get_by_text("Allow at least one.")).to_be_visible()
    await keys.get_by_role("checkbox", name="read").check()
    await keys.get_by_label("It ends").select_option("in 30 days")
    await keys.get_by_role("button", name="Make a key").click()

    shown = keys.get_by_label("The key", exact=True)
    await expect(shown).to_be_visible()
    key = await shown.input_value()
    assert key.startswith("yk_")
    await keys.get_by_role("button", name="Copy").click()
    await expect(page.get_by_text("Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == key
    row = keys.get_by_role("listitem").filter(has_text="nightly <import>")
    await expect(row).to_contain_text("may read")
    await expect(row).to_contain_text("never used")
    await expect(row).to_contain_text("ends")
    await keys.get_by_role("button", name="Done").click()
    await expect(shown).to_be_hidden()
    assert key not in await page.content()
    assert await shown.input_value() == ""

    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as program:
        assert (await program.get("/api/jobs")).status_code == 200
        assert (await program.post("/api/jobs", json={"kind": "llm.complete", "input": {}})).status_code == 403
        await page.reload()
        await expect(row).to_contain_text("used just now")
        await row.get_by_role("button", name="Revoke").click()
        await page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
        assert (await program.get("/api/jobs")).status_code == 200
        await row.get_by_role("button", name="Revoke").click()
        await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(keys.get_by_text("No keys yet.")).to_be_visible()
        assert (await program.get("/api/jobs")).status_code == 401


async def test_all_by_keyboard_and_in_korean(server: Server, new_context: NewContext) -> None:
    context = await new_context(server.url, locale="ko-KR")
    await sign_up(context, server)
    page = await context.new_page()
    await page.goto("/settings")
    await settled(page)
    await page.get_by_label("용도").focus()
    await page.keyboard.type("야간")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("키", exact=True)).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("키", exact=True)).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")  # 완료
    await expect(page.get_by_label("용도")).to_be_focused()
    await page.get_by_role("button", name="야간 폐기").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_contain_text("야간 키를 폐기할까요?")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="야간 폐기")).to_be_focused()


@pytest.mark.parametrize("shape", [{}, PHONE], ids=["desk", "phone"])
async def test_axe_and_the_width_of_a_phone(
    offering: Server, issuer: FakeIssuer, new_context: NewContext, shape: dict[str, Any]
) -> None:
    context = await new_context(offering.url, **shape)
    page = await context.new_page()
    found = {}
    await page.goto("/signin?error=not_linked")
    found["signin"] = await findings(page)
    await sign_up(context, offering)
    is_now(issuer, f"axe-{len(shape)}")
    await page.goto("/settings")
    await page.get_by_role("link", name="Add River ID").click()
    await page.get_by_label("What it is for").fill("a program with quite a long name, as people give them to programs")
    await page.get_by_role("button", name="Make a key").click()
    await expect(page.get_by_label("The key", exact=True)).to_be_visible()
    await settled(page)
    found["settings"] = await findings(page)
    assert found == {"signin": [], "settings": []}
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
