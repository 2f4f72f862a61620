import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import IN_BROWSER, NewContext, Server, sign_up

pytestmark = IN_BROWSER

LIGHT, DARK = "rgb(247, 249, 250)", "rgb(16, 23, 27)"


async def test_the_language_changes_everywhere_and_stays(server: Server, page: Page) -> None:
    await page.goto("/settings")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.get_by_text("한국어").click()
    await expect(page.get_by_role("heading", name="설정", exact=True)).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "ko")
    await expect(page.get_by_text("관리자").or_(page.get_by_text("사용자"))).to_be_visible()  # said by a script
    await page.get_by_role("link", name="작업").click()
    await expect(page.get_by_text("아직 작업이 없어요.")).to_be_visible()
    await page.get_by_role("link", name="질문하기").click()
    await page.get_by_role("button", name="질문하기").click()
    await expect(page.get_by_text("먼저 질문을 적어 주세요.")).to_be_visible()
    await page.goto("/settings")
    await page.get_by_text("English").click()
    await expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()


@pytest.mark.parametrize(("locale", "words"), [("ko-KR", "로그인"), ("en-GB", "Sign in"), ("fr-FR", "Sign in")])
async def test_a_visitor_reads_the_browsers_language(
    server: Server, new_context: NewContext, locale: str, words: str
) -> None:
    page = await (await new_context(server.url, locale=locale)).new_page()
    await page.goto("/signin")
    await expect(page.get_by_role("heading", name=words)).to_be_visible()
    await page.get_by_role("button", name="한국어").click()
    await expect(page.get_by_role("heading", name="로그인")).to_be_visible()


async def test_the_theme_is_chosen_at_once_and_stays(page: Page) -> None:
    await page.goto("/settings")
    await expect(page.locator("body")).to_have_css("background-color", LIGHT)
    async with page.expect_response("**/settings"):
        await page.get_by_text("Dark", exact=True).click()
        await expect(page.locator("body")).to_have_css("background-color", DARK)
    await page.goto("/jobs")
    await expect(page.locator("body")).to_have_css("background-color", DARK)
    await page.goto("/settings")
    await expect(page.get_by_role("radio", name="Dark")).to_be_checked()
    await page.get_by_text("Light", exact=True).click()
    await page.emulate_media(color_scheme="dark")
    await expect(page.locator("body")).to_have_css("background-color", LIGHT)
    await page.get_by_text("Like the system").click()
    await expect(page.locator("body")).to_have_css("background-color", DARK)


async def test_settings_work_without_scripts(server: Server, new_context: NewContext) -> None:
    context = await new_context(server.url, java_script_enabled=False)
    await sign_up(context, server)
    page = await context.new_page()
    await page.goto("/settings")
    await page.get_by_role("radio", name="Dark").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_pages_follow_each_other_without_a_full_load(page: Page) -> None:
    await page.goto("/")
    await page.evaluate("window.stays = true")
    for name, heading in (("Jobs", "Jobs"), ("Settings", "Settings"), ("Ask", "What would you like to ask?")):
        await page.get_by_role("link", name=name, exact=True).click()
        await expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        await expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "page")
    assert await page.evaluate("window.stays")
    await expect(page).to_have_title("Ask · Yeoul")
