"""Whoever one is, and whatever one has in hand: screen readers, keyboards, phones."""

import json
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import IN_BROWSER, NewContext, Server, Watch, ended, sign_up, submit
from tests.e2e.words import SLOW, ask, finished, job_id_of, question, script, until_it_says

pytestmark = IN_BROWSER


AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
Scheme = Literal["light", "dark"]
ANSWER = (
    "# Title\n\nText with `code`, a [link](https://example.com).\n\n```python\nx = 1\n```\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] done\n"
)

STILL = """() => new Promise(still => {
  const moves = () => document.getAnimations().some(a => a.playState !== 'finished');
  const look = () => moves() ? requestAnimationFrame(look) : still();
  look();
})"""
FINITE_ARE_OVER = """() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))
  .then(() => Promise.allSettled(document.getAnimations()
  .filter(a => a.effect.getTiming().iterations !== Infinity).map(a => a.finished)))"""
SMALL = """() => [...document.querySelectorAll('button, select, .nav a, summary')]
  .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 24).map(e => e.outerHTML.slice(0, 80))"""


async def findings(page: Page) -> list[str]:
    """What axe calls serious or critical here: all its rules, then those of colours in the other scheme."""
    await page.evaluate(AXE)
    found = await _violations(page)
    present: Scheme = "dark" if await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
    other: Scheme = "light" if present == "dark" else "dark"
    await page.emulate_media(color_scheme=other)
    await page.evaluate(FINITE_ARE_OVER)
    found += [f"{other}: {what}" for what in await _violations(page, "color-contrast", "link-in-text-block")]
    await page.emulate_media(color_scheme=present)
    return found


async def _violations(page: Page, *rules: str) -> list[str]:
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{violation['id']}: {json.dumps([node['html'][:160] for node in violation['nodes'][:3]])}"
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
    ]


async def _settled(page: Page) -> None:
    """Waits until nothing is being loaded and nothing moves, so that colours are what they will be."""
    await expect(page.locator('[aria-busy="true"]')).to_have_count(0)
    await page.evaluate(FINITE_ARE_OVER)


@pytest.mark.parametrize("shape", [{}, PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing_serious(
    server: Server, new_context: NewContext, watch: Watch, shape: dict[str, Any]
) -> None:
    watch.allowed.append("status of 404")
    context = await new_context(server.url, reduced_motion="reduce", **shape)
    page = await context.new_page()
    found: dict[str, list[str]] = {}
    for path in ("/signin", "/register", "/signin?ended=true", "/docs/errors"):
        await page.goto(path)
        found[path] = await findings(page)
    await sign_up(context, server)
    answered = await submit(context, server, script(ANSWER), "fake/script", system="Be brief.")
    failed = await submit(context, server, "no", "fake/error-401")
    canceled = await submit(context, server, "x" * 3000)
    for job_id in (answered, failed, canceled):
        await ended(context, server, job_id)
    running = await submit(context, server, "2000 words, 25 ms", "fake/slow")
    paths = ["/", "/jobs", "/jobs?status=canceled", "/schedules", "/settings", "/ask/not-an-id"]
    paths += [f"/{room}/{job_id}" for room in ("ask", "jobs") for job_id in (answered, failed, canceled)]
    for path in paths:
        await page.goto(path)
        await _settled(page)
        found[path] = await findings(page)
    await page.goto("/")
    await page.get_by_text("System prompt and parameters").click()
    await page.get_by_role("button", name="Ask", exact=True).click()
    found["a form with errors"] = await findings(page)
    for path in (f"/ask/{running}", f"/jobs/{running}"):
        await page.goto(path)
        await expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
        found[f"running {path}"] = await findings(page)
    await page.get_by_role("button", name="Cancel", exact=True).click()
    found["a question"] = await findings(page)
    await page.get_by_role("button", name="Cancel the job").click()
    await page.goto("/settings")
    await page.get_by_role("button", name="Show all shortcuts").click()
    found["shortcuts"] = await findings(page)
    assert {path: what for path, what in found.items() if what} == {}


async def test_everything_is_done_by_keyboard(server: Server, new_context: NewContext) -> None:
    page = await (await new_context(server.url)).new_page()
    keys = page.keyboard
    await page.goto("/register")
    await expect(page.get_by_label("Email")).to_be_focused()
    await keys.type(f"keys-{server.port}@example.com")
    await keys.press("Tab")
    await keys.type("a long passphrase")
    await keys.press("Enter")
    await expect(question(page)).to_be_focused()
    await expect(page.locator("#model")).to_be_enabled()
    await keys.type(SLOW)
    await keys.press("Tab")  # the folded part
    await keys.press("Enter")
    await expect(page.get_by_label("System prompt", exact=True)).to_be_visible()
    await keys.press("Enter")
    await keys.press("Tab")
    await expect(page.locator("#model")).to_be_focused()
    await keys.type("slow")
    assert await page.locator("#model").input_value() == "fake/slow"
    await keys.press("Tab")
    await keys.press("Enter")
    await until_it_says(page, "word5 ")
    await keys.press("Tab")
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    ring = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid"
    await keys.press("Enter")
    await expect(page.locator('[data-part="answer"]')).to_have_attribute("data-state", "stopped")
    await keys.press("g")
    await keys.press("j")
    await expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
    await keys.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(dialog).to_be_visible()
    await keys.press("Escape")
    await expect(dialog).to_be_hidden()
    await keys.press("n")
    await expect(question(page)).to_be_focused()
    await keys.type("n?gj")  # letters are letters where one writes
    await expect(question(page)).to_have_value("n?gj")


async def test_the_first_tab_stop_skips_to_the_content(page: Page) -> None:
    await page.goto("/jobs")
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()


async def test_single_keys_can_be_switched_off(page: Page) -> None:
    await page.goto("/settings")
    await page.get_by_label("Shortcuts of a single key").uncheck()
    await page.reload()
    await expect(page.get_by_label("Shortcuts of a single key")).not_to_be_checked()
    await page.keyboard.press("?")
    await page.keyboard.press("n")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()


async def test_a_screen_reader_hears_the_start_and_the_end_only(page: Page) -> None:
    await page.goto("/")
    await page.evaluate("""() => {
      window.said = [];
      for (const live of document.querySelectorAll('[aria-live="polite"], [role="status"]'))
        new MutationObserver(() => live.textContent.trim() && window.said.push(live.textContent.trim()))
          .observe(live, {childList: true, subtree: true, characterData: true});
    }""")
    await ask(page, SLOW, "fake/slow")
    await finished(page)
    assert await page.evaluate("window.said") == ["The answer is being written.", "The answer is complete."]
    assert (
        await page.evaluate("document.querySelector('.prose').closest('[aria-live], [role=status], [role=log]')")
        is None
    )


@pytest.mark.parametrize("width", [390, 320])
async def test_a_phone_has_everything_in_reach(server: Server, new_context: NewContext, width: int) -> None:
    context = await new_context(server.url, **{**PHONE, "viewport": {"width": width, "height": 700}}, locale="ko-KR")
    await sign_up(context, server)
    page = await context.new_page()
    answered = await submit(context, server, script(ANSWER + "x" * 400), "fake/script")
    failed = await submit(context, server, "실패하는 질문 " * 30, "fake/error-401")
    for job_id in (answered, failed):
        await ended(context, server, job_id)
    for path in (
        "/",
        "/jobs",
        "/settings",
        f"/ask/{answered}",
        f"/ask/{failed}",
        f"/jobs/{answered}",
        f"/jobs/{failed}",
    ):
        await page.goto(path)
        await _settled(page)
        assert await page.evaluate("document.documentElement.scrollWidth") == width, path
        nav = await page.get_by_role("navigation").bounding_box()
        assert nav is not None
        assert round(nav["y"] + nav["height"]) == 700
        small = await page.evaluate(SMALL)
        assert small == [], path
    await page.goto("/")
    await page.locator("#model").select_option("fake/slow")
    await page.locator("#prompt").fill("30 words, 10 ms")
    await page.get_by_role("button", name="질문하기").tap()
    await finished(page)
    last = page.get_by_role("link", name="자세히")
    await last.scroll_into_view_if_needed()
    await expect(last).to_be_in_viewport()
    assert job_id_of(page)


async def test_those_who_want_no_motion_get_none(server: Server, new_context: NewContext) -> None:
    context = await new_context(server.url, reduced_motion="reduce")
    await sign_up(context, server)
    page = await context.new_page()
    await page.goto("/")
    await ask(page, SLOW, "fake/slow")
    await until_it_says(page, "word5 ")
    await page.evaluate(STILL)
    await finished(page)
