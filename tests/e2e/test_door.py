from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.conftest import IN_BROWSER, PASSWORD, NewContext, Server, Watch, sign_up
from tests.e2e.words import ask, finished, question

pytestmark = IN_BROWSER


REFUSED = r"the server responded with a status of 401"


async def test_the_first_visitor_registers_as_administrator_and_asks(
    own_server: Server, new_context: NewContext
) -> None:
    page = await (await new_context(own_server.url)).new_page()
    await page.goto("/")
    await expect(page).to_have_url(f"{own_server.url}/signin")
    await expect(page.get_by_text("the first account becomes the administrator")).to_be_visible()
    await page.get_by_role("link", name="Register").click()
    await expect(page.get_by_text("Welcome. The first account becomes the administrator.")).to_be_visible()
    await page.get_by_label("Email").fill("mina@example.com")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Register").click()
    await ask(page, "hello river", "fake/echo")
    await finished(page)
    await page.get_by_role("link", name="Settings").click()
    await expect(page.get_by_text("Administrator")).to_be_visible()
    await expect(page.get_by_text("mina@example.com")).to_be_visible()


async def test_forms_say_what_is_missing_before_they_are_sent(server: Server, new_context: NewContext) -> None:
    page = await (await new_context(server.url)).new_page()
    await page.goto("/register")
    email, password = page.get_by_label("Email"), page.get_by_label("Password")
    submit = page.get_by_role("button", name="Register")
    await submit.click()
    await expect(page.get_by_text("Enter your email.")).to_be_visible()
    await expect(page.get_by_text("Enter your password.")).to_be_visible()
    await expect(email).to_be_focused()
    await email.fill("not an email")
    await password.fill("short")
    await submit.click()
    await expect(page.get_by_text("This is no email address")).to_be_visible()
    await expect(page.get_by_text("Use at least 8 characters.")).to_be_visible()
    await expect(email).to_have_attribute("aria-invalid", "true")


async def test_a_wrong_password_is_told_and_the_right_one_leads_where_one_wanted(
    server: Server, new_context: NewContext, watch: Watch
) -> None:
    watch.allowed.append(REFUSED)
    email = await sign_up(await new_context(server.url), server)
    page = await (await new_context(server.url)).new_page()
    await page.goto("/jobs?status=failed")
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill("not this one")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("Wrong email or password")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{server.url}/jobs?status=failed")
    await expect(page.get_by_role("radio", name="Failed")).to_be_checked()


async def test_next_never_leads_to_another_site(server: Server, context: BrowserContext) -> None:
    page = await context.new_page()
    for foreign in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        await page.goto(f"/signin?next={foreign}")
        await expect(page).to_have_url(f"{server.url}/")


async def test_a_taken_email_is_told(server: Server, new_context: NewContext, watch: Watch) -> None:
    watch.allowed.append("status of 409")
    email = await sign_up(await new_context(server.url), server)
    page = await (await new_context(server.url)).new_page()
    await page.goto("/register")
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Register").click()
    await expect(page.get_by_role("alert")).to_contain_text("This email has an account already")


async def test_signing_out_ends_every_tab(server: Server, page: Page) -> None:
    other = await page.context.new_page()
    async with other.expect_response("**/api/jobs?limit=20"):  # its script listens by then
        await other.goto("/jobs")
    await page.goto("/settings")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    for tab in (page, other):
        await expect(tab).to_have_url(f"{server.url}/signin")
    await page.goto("/jobs")
    await expect(page).to_have_url(f"{server.url}/signin?next=/jobs")


async def _expire(context: BrowserContext, *names: str) -> None:
    """Spoils cookies the way time does: they are still sent, and no longer good."""
    for cookie in await context.cookies():
        if cookie["name"] in names:
            await context.add_cookies(
                [
                    {
                        "name": cookie["name"],
                        "value": "expired",
                        "domain": cookie["domain"],
                        "path": cookie["path"],
                        "expires": cookie["expires"],
                        "httpOnly": True,
                    }
                ]
            )


async def test_an_expired_access_token_is_renewed_before_a_page_shows(server: Server, page: Page) -> None:
    await _expire(page.context, "yeoul_access")
    await page.goto("/settings")
    await expect(page.locator('[data-f="email"]')).to_contain_text("@example.com")
    await expect(page).to_have_url(f"{server.url}/settings")


async def test_an_expired_access_token_is_renewed_on_the_way_to_another_page(server: Server, page: Page) -> None:
    await page.goto("/")
    await expect(page.locator("#model")).to_be_enabled()
    await _expire(page.context, "yeoul_access")
    await page.get_by_role("link", name="Settings").click()
    await expect(page.locator('[data-f="email"]')).to_contain_text("@example.com")
    await expect(page).to_have_url(f"{server.url}/settings")


async def test_an_access_token_that_expires_while_one_writes_loses_nothing(page: Page, watch: Watch) -> None:
    watch.allowed.append(REFUSED)
    await page.goto("/")
    await expect(page.locator("#model")).to_be_enabled()
    await _expire(page.context, "yeoul_access")
    await ask(page, "still here", "fake/echo")
    await finished(page)


async def test_two_tabs_renew_one_session_without_ending_it(page: Page, watch: Watch) -> None:
    watch.allowed.append(REFUSED)
    tabs = [page, await page.context.new_page(), await page.context.new_page()]
    for tab in tabs:
        await tab.goto("/jobs")
        await expect(tab.get_by_text("No jobs yet.")).to_be_visible()
    renewals: list[str] = []
    page.context.on("request", lambda request: renewals.append(request.url) if "/auth/refresh" in request.url else None)
    await _expire(page.context, "yeoul_access")
    for tab in tabs:
        await tab.evaluate("document.querySelector('input[value=failed]').click()")
    for tab in tabs:
        await expect(tab.get_by_text("No job fits this filter.")).to_be_visible()
    assert len(renewals) == 1


async def test_an_ended_session_leads_to_sign_in_and_back(server: Server, page: Page, watch: Watch) -> None:
    watch.allowed.append(REFUSED)
    email = (await (await page.context.request.get("/api/me")).json())["email"]
    await page.goto("/")
    await expect(page.locator("#model")).to_be_enabled()
    await question(page).fill("a question I took long to write")
    await _expire(page.context, "yeoul_access", "yeoul_refresh")
    await page.get_by_role("button", name="Ask", exact=True).click()
    await expect(page.get_by_text("Your session has ended.")).to_be_visible()
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(question(page)).to_have_value("a question I took long to write")
