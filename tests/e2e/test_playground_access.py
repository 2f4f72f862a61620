"""The playground, whoever one is and whatever one has in hand: keyboards, phones, screen readers, Korean."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import IN_BROWSER, NewContext, Server, Watch, post, sign_up
from tests.e2e.playground import SLOW, choose, column, ended, execute, over, prompt, run
from tests.e2e.test_access import FINITE_ARE_OVER, PHONE, SMALL, findings

pytestmark = IN_BROWSER


async def test_everything_can_be_done_from_the_keyboard(page: Page) -> None:
    await page.goto("/jobs")
    await expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    await page.keyboard.press("g")
    await page.keyboard.press("p")
    await expect(prompt(page)).to_be_focused()
    await page.locator("h1").focus()
    await choose(page, "fake/slow")
    await page.locator("h1").focus()
    await page.keyboard.press("m")
    await expect(page.get_by_role("dialog", name="Models")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.locator("h1").focus()
    await page.keyboard.press("e")
    await expect(prompt(page)).to_be_focused()
    await page.keyboard.type("400 words, 25 ms x r h")  # letters are letters here
    await page.keyboard.press("Control+Enter")
    await expect(column(page, "fake/slow")).to_contain_text("word3 ")
    await expect(page.get_by_role("heading", name="Answers")).to_be_focused()
    await page.keyboard.press("x")
    await ended(page)
    await expect(column(page, "fake/slow").get_by_text("Stopped")).to_be_visible()
    await page.keyboard.press("n")
    await expect(prompt(page)).to_be_focused()
    await expect(prompt(page)).to_have_value("")
    await page.locator("h1").focus()
    await page.keyboard.press("h")
    await expect(page.get_by_role("searchbox", name="Search earlier prompts")).to_be_focused()
    await page.locator("h1").focus()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Go to Playground")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Stop all answers")


async def test_single_keys_can_be_switched_off(page: Page) -> None:
    await page.goto("/settings")
    await page.get_by_label("Shortcuts of a single key").or_(page.locator('[data-f="single-keys"]')).uncheck()
    await page.goto("/playground")
    await choose(page, "fake/echo")
    await page.locator("h1").focus()
    await page.keyboard.press("m")
    await page.keyboard.press("e")
    await expect(page.get_by_role("dialog", name="Models")).to_be_hidden()
    await expect(page.locator("h1")).to_be_focused()


async def test_on_a_phone_columns_are_swiped(server: Server, new_context: NewContext) -> None:
    context = await new_context(server.url, **PHONE)
    await sign_up(context, server)
    page = await context.new_page()
    await page.goto("/playground")
    await run(page, SLOW, "fake/slow", "fake/echo")
    await ended(page)
    first, second = column(page, "fake/echo"), column(page, "fake/slow")
    box = await first.bounding_box()
    assert box is not None
    assert 300 < box["width"] < 390
    await expect(second).not_to_be_in_viewport(ratio=0.5)
    await first.scroll_into_view_if_needed()
    await page.locator('[data-part="columns"]').evaluate(
        "columns => columns.scrollBy({left: 300, behavior: 'instant'})"
    )
    await expect(second).to_be_in_viewport()
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def test_it_speaks_korean(server: Server, new_context: NewContext, watch: Watch) -> None:
    watch.allowed.append("status of 404")  # it is not shared
    context = await new_context(server.url, locale="ko-KR")
    await sign_up(context, server)
    page = await context.new_page()
    await page.goto("/")
    await page.get_by_role("link", name="플레이그라운드").click()
    await page.get_by_role("button", name="모델", exact=True).click()
    for model in ("fake/blocked", "fake/error-401"):
        await page.locator(f'input[value="{model}"]').check()
    await page.get_by_role("button", name="완료").click()
    await page.get_by_role("textbox", name="프롬프트", exact=True).fill("안녕")
    await page.get_by_role("button", name="검사", exact=True).click()
    for n in (1, 2):
        await page.get_by_role("button", name="검사 추가").click()
        await page.get_by_label(f"{n}번 검사의 텍스트").fill("안녕")
    await expect(page.get_by_text("호출 3회 · 무료")).to_be_visible()
    await page.get_by_role("button", name="실행", exact=True).click()
    await ended(page)
    await expect(page.get_by_text("일부 실패")).to_be_visible()
    marks = column(page, "fake/echo").locator('[data-f="checks"]').get_by_role("listitem")
    await expect(marks).to_have_text(["✓통과: 포함: 안녕", "✓통과: 포함: 안녕 (2)"])
    await expect(column(page, "fake/blocked")).to_contain_text("이유: 안전하지 않다고 판단됨, 괴롭힘.")
    await expect(column(page, "fake/error-401")).to_contain_text("제공사가 키를 거부했어요")
    await page.get_by_role("button", name="공유").click()
    await expect(page.get_by_role("dialog", name="공유")).to_be_visible()


@pytest.mark.parametrize("shape", [{}, PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing_serious(
    server: Server, new_context: NewContext, watch: Watch, shape: dict[str, Any]
) -> None:
    watch.allowed.append("status of 404")
    context = await new_context(server.url, reduced_motion="reduce", **shape)
    await sign_up(context, server)
    checks = [{"type": "contains", "value": "a {{x}}"}, {"type": "max_length", "characters": 3}]
    given = {"models": ["fake/echo", "fake/blocked"], "cases": [{"x": "1"}, {"x": "2"}], "checks": checks}
    started = await execute(context, server, user_prompt="# a {{x}}\n\n`b`", iterations=2, **given)
    again = await execute(context, server, user_prompt="other", version_of=started["prompt_id"])
    for one in (started, again):
        await over(context, one)
    shared = await (await post(context, server, f"/api/prompts/{started['prompt_id']}/share")).json()
    page = await context.new_page()
    found: dict[str, list[str]] = {}
    ids = (started["execution_id"], again["execution_id"])
    for path in (
        "/playground",
        f"/playground/{ids[0]}",
        f"/playground/{ids[0]}/beside/{ids[1]}",
        f"/shared/{shared['id']}",
    ):
        await page.goto(path)
        await expect(page.locator('[aria-busy="true"]')).to_have_count(0)
        await page.evaluate(FINITE_ARE_OVER)
        found[path] = await findings(page)
        found[f"{path} small"] = await page.evaluate(SMALL)
        width = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, f"{path} is wider than the screen by {width}"
    await page.goto(f"/playground/{ids[0]}")
    await expect(prompt(page)).to_be_enabled()
    for panel in ("Cases", "Parameters", "Checks", "Response form", "Images", "Limits"):
        await page.locator(f"button:has-text('{panel}')[data-panel]").click()
    found["panels"] = await findings(page)
    for name in ("Models", "Code", "Share", "Versions"):
        await page.get_by_role("button", name=name, exact=True).click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.locator("[aria-busy=true]")).to_have_count(0)
        await page.evaluate(FINITE_ARE_OVER)
        found[name] = await findings(page)
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
    assert {where: what for where, what in found.items() if what} == {}
