import re

from playwright.async_api import expect

from tests.core.runtime.helpers import until
from tests.e2e.conftest import IN_BROWSER, NewContext, Server, sign_up
from tests.e2e.words import ask, choose

pytestmark = IN_BROWSER


async def test_a_provider_that_is_down_is_shown_where_one_asks(own_server: Server, new_context: NewContext) -> None:
    context = await new_context(own_server.url)
    await sign_up(context, own_server)
    page = await context.new_page()
    await page.goto("/")
    await ask(page, "Well?", "fake/error-500")
    await expect(page.get_by_text("The provider is not answering. Trying again in")).to_be_visible(timeout=30_000)

    async def is_known() -> bool:
        models = (await (await context.request.get(f"{own_server.url}/api/models")).json())["models"]
        return any(model["id"] == "fake/error-500" and model["trouble"] for model in models)

    await until(is_known, seconds=60)  # its breaker opens with the next failures, not with the first
    asking = await context.new_page()
    await asking.goto("/")
    note = asking.locator("#model-note")
    await choose(asking, "fake/error-500")
    says = re.compile(r"(is not answering, tried again in \d+|was not answering and is being tried again)")
    await expect(note).to_have_text(says)
    await choose(asking, "fake/echo")
    await expect(note).not_to_have_text(says)
