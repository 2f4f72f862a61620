"""What tests of the playground do with its page."""

from typing import Any

from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.e2e.conftest import Server, post

SLOW = "120 words, 25 ms"
"""About three seconds of ``fake/slow``."""
WORDS = " ".join(f"word{n}" for n in range(1, 121))


def prompt(page: Page) -> Locator:
    """Where one writes the prompt."""
    return page.get_by_role("textbox", name="Prompt", exact=True)


async def choose(page: Page, *models: str) -> None:
    """Chooses exactly these models."""
    await page.get_by_role("button", name="Models", exact=True).click()
    dialog = page.get_by_role("dialog", name="Models")
    chosen = await dialog.locator("input:checked").evaluate_all("boxes => boxes.map(box => box.value)")
    for model in set(chosen).difference(models):
        # By its name: what is looked for as checked is gone once it is not.
        await dialog.locator(f'input[value="{model}"]').uncheck()
    for model in models:
        await dialog.locator(f'input[value="{model}"]').check()
    await dialog.get_by_role("button", name="Done").click()


async def run(page: Page, text: str, *models: str, times: int = 1) -> None:
    """Runs a prompt on the page that is open."""
    await choose(page, *models)
    await prompt(page).fill(text)
    await page.get_by_label("Times each").fill(str(times))
    await page.get_by_role("button", name="Run", exact=True).click()
    await page.wait_for_url(lambda url: url.rsplit("/", 1)[1] != "playground")


def column(page: Page, model: str) -> Locator:
    """A model's answers."""
    return page.get_by_role("region", name=model, exact=True)


async def ended(page: Page, seconds: float = 20) -> None:
    """Waits until all answers have ended."""
    await expect(page.locator('[data-part="run"]')).to_have_attribute("aria-busy", "false", timeout=seconds * 1000)


async def text_of(page: Page, model: str) -> str:
    """A model's first answer."""
    return (await column(page, model).locator(".pg-text").first.inner_text()).strip()


async def execute(context: BrowserContext, server: Server, **given: Any) -> dict[str, str]:
    """Executes a prompt behind the page's back; gives its ids."""
    answer = await post(context, server, "/api/prompts/execute", {"models": ["fake/echo"], **given})
    assert answer.status == 202, await answer.text()
    started: dict[str, str] = await answer.json()
    return started


async def over(context: BrowserContext, started: dict[str, str]) -> dict[str, Any]:
    """Its status once all has ended."""
    events = await context.request.get(f"/api/prompts/{started['execution_id']}/events", timeout=30_000)
    assert events.ok
    status: dict[str, Any] = await (await context.request.get(f"/api/prompts/{started['execution_id']}/status")).json()
    return status
