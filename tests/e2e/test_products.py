"""A product of another package, in a browser."""

from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.console.ponds import offered
from tests.e2e.conftest import IN_BROWSER, NewContext, Server, new_server, sign_up

pytestmark = IN_BROWSER


@pytest.fixture
def ponds(browser_path: str, tmp_path: Path) -> Generator[Server]:
    """A server on whose path that package is."""
    yield from new_server(PYTHONPATH=str(offered(tmp_path)))


async def test_another_packages_page_is_one_of_the_console(ponds: Server, new_context: NewContext) -> None:
    context = await new_context(ponds.url)
    await sign_up(context, ponds)
    page = await context.new_page()
    await page.goto("/jobs")
    await page.evaluate("window.stays = true")
    await page.get_by_role("link", name="Still waters").click()
    await expect(page.get_by_text("Deep")).to_have_css("color", "rgb(1, 2, 3)")  # its script, and its stylesheet
    await page.keyboard.press("g")
    await page.keyboard.press("j")
    await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    await page.keyboard.press("g")
    await page.keyboard.press("w")
    await expect(page.get_by_text("Deep")).to_be_visible()
    await expect(page.get_by_role("link", name="Still waters")).to_have_attribute("aria-current", "page")
    assert await page.evaluate("window.stays")
    await page.get_by_role("link", name="Settings").click()
    async with page.expect_navigation():
        await page.get_by_text("한국어").click()
    await page.get_by_role("link", name="잔잔한 물").click()
    await expect(page.get_by_text("깊어요")).to_be_visible()
