"""What tests of several pages do with a page."""

import json
import re

from playwright.async_api import Locator, Page, expect

SLOW = "120 words, 25 ms"
"""About three seconds of ``fake/slow``."""


def script(text: str, pause_ms: int = 5) -> str:
    """A prompt that has ``fake/script`` say exactly this, word by word."""
    return json.dumps({"steps": [{"text": word, "after_ms": pause_ms} for word in re.findall(r"\S+\s*", text)]})


def question(page: Page) -> Locator:
    """Where one writes the question."""
    return page.get_by_role("textbox", name="Question")


async def ask(page: Page, prompt: str, model: str) -> None:
    """Asks on the page that is open."""
    await choose(page, model)
    await question(page).fill(prompt)
    await page.get_by_role("button", name="Ask", exact=True).click()


async def choose(page: Page, model: str) -> None:
    await expect(page.locator("#model")).to_be_enabled()
    await page.locator("#model").select_option(model)


async def finished(page: Page) -> None:
    """Waits until the answer is complete."""
    await expect(page.locator('[data-part="answer"]')).to_have_attribute("data-state", "done", timeout=20_000)


async def shown(page: Page) -> str:
    """The answer's text on the page."""
    return (await page.locator(".prose").inner_text()).strip()


async def until_it_says(page: Page, text: str) -> None:
    """Waits until the answer holds a text."""
    await expect(page.locator(".prose")).to_contain_text(text)


def job_id_of(page: Page) -> str:
    """The job in the page's address."""
    return page.url.rsplit("/", 1)[1]
