"""Keys of model providers on the settings page: stored, refused in words, removed; Korean, phone, keyboard."""

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.core.llm.vendors import OpenAI
from tests.e2e.conftest import IN_BROWSER, NewContext, Server, Watch, ended, new_server, sign_up, submit
from tests.e2e.test_access import PHONE, findings

pytestmark = [*IN_BROWSER, pytest.mark.xdist_group("e2e provider keys")]

GOOD, BAD, DOWN = "sk-a-good-key-1234", "sk-a-bad-key-5678", "sk-hangs-up-9999"


class StandIn(BaseHTTPRequestHandler):
    """OpenAI, as far as keys go."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Authorization"].removeprefix("Bearer ")
        if key == DOWN:
            return
        good = key == GOOD
        body = (
            "".join(OpenAI().events([f"answered to {key[-4:]}"])) if good else '{"error": {"message": "No such key."}}'
        )
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "text/event-stream" if good else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        pass


@pytest.fixture(scope="module")
def keyed(browser_path: str) -> Generator[Server]:
    """A server whose OpenAI is here, and which has no key of its own for it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as openai:
        threading.Thread(target=openai.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{openai.server_address[1]}"
        yield from new_server(YEOUL_OPENAI_BASE_URL=address, OPENAI_BASE_URL=address)
        openai.shutdown()


def panel(page: Page) -> Locator:
    return page.get_by_role("region", name="Keys of model providers")


async def opened(context: BrowserContext, server: Server) -> Page:
    await sign_up(context, server)
    page = await context.new_page()
    await page.goto("/settings")
    await expect(page.locator('[aria-busy="true"]')).to_have_count(0)
    return page


async def test_stored_used_and_removed_by_keyboard(keyed: Server, new_context: NewContext) -> None:
    context = await new_context(keyed.url)
    page = await opened(context, keyed)
    keys = page.keyboard
    await expect(panel(page).get_by_text("No keys yet.")).to_be_visible()
    await panel(page).get_by_label("Provider", exact=True).focus()
    await keys.type("OpenAI")
    await keys.press("Tab")
    await expect(page.get_by_label("The provider's key")).to_be_focused()
    assert await page.get_by_label("The provider's key").get_attribute("type") == "password"
    await keys.insert_text(f"  {GOOD} ")
    await keys.press("Enter")
    row = panel(page).get_by_role("listitem")
    await expect(row).to_contain_text("OpenAI")
    await expect(row).to_contain_text("…1234")
    await expect(row).to_contain_text("never used")
    await expect(page.get_by_label("The provider's key")).to_have_value("")
    assert GOOD not in await page.content()
    job = await ended(context, keyed, await submit(context, keyed, "Hello", "openai/gpt-4.1-mini"))
    assert job["output"]["text"] == "answered to 1234"
    await page.reload()
    await expect(row).to_contain_text("used")
    await row.get_by_role("button", name="Remove OpenAI").focus()
    await keys.press("Enter")
    dialog = page.get_by_role("dialog", name="Remove your key of OpenAI?")
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("button", name="Keep it").press("Enter")
    await expect(row).to_contain_text("OpenAI")
    await row.get_by_role("button", name="Remove OpenAI").press("Enter")
    await dialog.get_by_role("button", name="Remove").press("Enter")
    await expect(panel(page).get_by_text("No keys yet.")).to_be_visible()
    await expect(page.get_by_role("heading", name="Keys of model providers")).to_be_focused()


async def test_what_is_wrong_is_said_in_words(keyed: Server, new_context: NewContext, watch: Watch) -> None:
    watch.allowed += ["status of 422", "status of 503"]
    page = await opened(await new_context(keyed.url), keyed)
    field, store = page.get_by_label("The provider's key"), page.get_by_role("button", name="Store the key")
    await store.click()
    await expect(field).to_be_focused()
    await expect(panel(page).get_by_text("Paste the whole key.")).to_be_visible()
    await field.fill("two words here")
    await store.click()
    await expect(panel(page).get_by_text("no blanks")).to_be_visible()
    await field.fill(BAD)
    await store.click()
    alert = panel(page).get_by_role("alert")
    await expect(alert).to_contain_text("The provider refused this key")
    await expect(alert).to_contain_text("It said: No such key.")
    assert await findings(page) == []
    await field.fill(DOWN)
    await store.click()
    await expect(alert).to_contain_text("The key could not be checked")
    await alert.get_by_role("button", name="Store it unchecked").click()
    await expect(panel(page).get_by_role("listitem")).to_contain_text("…9999")
    await expect(alert).to_have_count(0)
    assert await findings(page) == []


@pytest.mark.parametrize("width", [390, 320])
async def test_on_a_korean_phone(keyed: Server, new_context: NewContext, watch: Watch, width: int) -> None:
    watch.allowed.append("status of 422")
    context = await new_context(
        keyed.url, **{**PHONE, "viewport": {"width": width, "height": 700}}, locale="ko-KR", color_scheme="dark"
    )
    page = await opened(context, keyed)
    region = page.get_by_role("region", name="모델 제공사 키")
    await page.get_by_label("제공사의 키").fill(BAD)
    await page.get_by_role("button", name="키 저장").tap()
    await expect(region.get_by_role("alert")).to_contain_text("제공사가 이 키를 거부했어요")
    await page.get_by_label("제공사의 키").fill(GOOD)
    await page.get_by_role("button", name="키 저장").tap()
    await expect(region.get_by_role("listitem")).to_contain_text("…1234")
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    assert await findings(page) == []
