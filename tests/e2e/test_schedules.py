"""The Schedules page: made, run, paused and deleted, in the reader's own time."""

import re
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.conftest import IN_BROWSER, NewContext, Server, ended, post, sign_up
from tests.e2e.test_access import PHONE, SMALL, findings

pytestmark = IN_BROWSER

GIVEN: dict[str, Any] = {
    "name": "morning",
    "kind": "llm.complete",
    "input": {"model": "fake/echo", "prompt": "good morning"},
    "cron": "0 9 * * *",
    "time_zone": "UTC",
}


async def add(context: BrowserContext, server: Server, **more: Any) -> str:
    """Adds a schedule behind the page's back; gives its id."""
    body = {name: value for name, value in (GIVEN | more).items() if value is not None}
    answer = await post(context, server, "/api/schedules", body)
    assert answer.status == 201, await answer.text()
    return str((await answer.json())["id"])


async def test_from_nothing_to_a_schedule_that_has_run(server: Server, new_context: NewContext) -> None:
    context = await new_context(server.url, timezone_id="Asia/Seoul")
    await sign_up(context, server)
    page = await context.new_page()
    await page.goto("/schedules")
    await expect(page.get_by_text("No schedules yet.")).to_be_visible()
    await page.get_by_role("button", name="New schedule").click()
    await expect(page.get_by_label("Name")).to_be_focused()
    await expect(page.get_by_label("Time zone")).to_have_value("Asia/Seoul")
    await page.get_by_label("Name").fill("briefing")
    await page.get_by_label("Question").fill("what is new?")
    await page.get_by_label("Days").select_option("Monday to Friday")
    await page.get_by_label("Time", exact=True).fill("07:30")
    await page.get_by_role("button", name="Add schedule").click()
    row = page.locator(".job", has_text="briefing")
    await expect(row).to_contain_text("Monday to Friday, 07:30 · Asia/Seoul")
    await expect(row).to_contain_text("Active")
    await expect(row.locator("time")).to_contain_text("7:30:00 AM")  # in the reader's zone
    await expect(page.get_by_role("button", name="New schedule")).to_be_focused()

    await row.get_by_role("button", name="Run now").click()
    await expect(page.get_by_text("A new job has been started.")).to_be_visible()
    await row.get_by_role("link", name=re.compile("Last run")).click()
    await expect(page.locator("h1 + .badge")).to_have_text("Succeeded")


async def test_the_next_run_is_told_in_the_readers_zone(server: Server, new_context: NewContext) -> None:
    context = await new_context(server.url, timezone_id="America/New_York")
    await sign_up(context, server)
    await add(context, server, cron="30 15 * * *", time_zone="Asia/Kolkata")  # 10:00 UTC, whatever the season
    page = await context.new_page()
    await page.goto("/schedules")
    await expect(page.locator(".job time")).to_contain_text(re.compile(r"[56]:00:00 AM"))
    await expect(page.locator(".job")).to_contain_text("Every day, 15:30 · Asia/Kolkata")


async def test_it_is_paused_resumed_and_deleted_after_a_question(server: Server, page: Page) -> None:
    await add(page.context, server)
    await page.goto("/schedules")
    row = page.locator(".job", has_text="morning")
    await row.get_by_role("button", name="Pause").click()
    await expect(row.locator(".badge")).to_have_text("Paused")
    await expect(row.locator("time")).to_have_text("")
    await expect(row.get_by_role("button", name="Resume")).to_be_focused()
    await row.get_by_role("button", name="Resume").click()
    await expect(row.locator(".badge")).to_have_text("Active")
    await row.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this schedule?")
    await dialog.get_by_role("button", name="Keep it").click()
    await expect(row).to_be_visible()
    await row.get_by_role("button", name="Delete").click()
    await dialog.get_by_role("button", name="Delete the schedule").click()
    await expect(page.get_by_text("No schedules yet.")).to_be_visible()
    left = await (await page.context.request.get("/api/schedules")).json()
    assert left["items"] == []


async def test_a_form_that_does_not_fit_says_where(server: Server, page: Page, watch: Any) -> None:
    watch.allowed.append("status of 4(09|22)")
    await add(page.context, server)
    await page.goto("/schedules")
    await page.get_by_role("button", name="New schedule").click()
    await page.get_by_role("button", name="Add schedule").click()
    await expect(page.get_by_text("Give it a name.")).to_be_visible()
    await expect(page.get_by_text("Write a question first.")).to_be_visible()
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.get_by_label("Name").fill("morning")
    await page.get_by_label("Question").fill("hello")
    await page.get_by_role("radio", name="Cron expression").check()
    await page.get_by_role("textbox", name="Cron expression").fill("0 25 * * *")
    await page.get_by_role("button", name="Add schedule").click()
    await expect(page.locator("#cron-error")).to_contain_text("bad hour")
    await expect(page.get_by_role("textbox", name="Cron expression")).to_be_focused()
    await page.get_by_role("textbox", name="Cron expression").fill("@daily")
    await page.get_by_role("button", name="Add schedule").click()
    await expect(page.locator("#name-error")).to_contain_text("already")
    await page.get_by_label("Name").fill("nightly")
    await page.get_by_role("radio", name="At intervals").check()
    await expect(page.get_by_label("Time zone")).to_be_hidden()
    await page.get_by_label("Every", exact=True).fill("2")
    await page.get_by_role("button", name="Add schedule").click()
    await expect(page.locator(".job", has_text="nightly")).to_contain_text("every 2 hours")


async def test_a_due_schedule_shows_its_run_by_itself(own_server: Server, new_context: NewContext) -> None:
    context = await new_context(own_server.url)
    await sign_up(context, own_server)  # the first is the administrator, who may ask for seconds
    schedule_id = await add(context, own_server, cron=None, every_seconds=3)
    page = await context.new_page()
    await page.goto("/schedules")
    row = page.locator(".job", has_text="morning")
    await expect(row.get_by_role("link", name=re.compile("Last run"))).to_be_visible()
    seen = await (await context.request.get(f"/api/schedules/{schedule_id}")).json()
    assert (await ended(context, own_server, seen["last_job_id"]))["status"] == "succeeded"


@pytest.mark.parametrize("language", ["en-US", "ko-KR"])
async def test_a_phone_and_a_keyboard_and_axe(server: Server, new_context: NewContext, language: str) -> None:
    context = await new_context(server.url, locale=language, reduced_motion="reduce", **PHONE)
    await sign_up(context, server)
    await add(context, server, name="a name that is rather long, longer than a phone is wide, and then some more of it")
    page = await context.new_page()
    await page.goto("/schedules")
    await expect(page.locator(".job .badge")).to_be_visible()
    opener = page.get_by_role("button", name="New schedule" if language == "en-US" else "새 예약")
    await opener.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#name")).to_be_focused()
    await expect(page.locator("#model")).to_be_enabled()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert await page.evaluate(SMALL) == []
    assert await findings(page) == []
    await page.keyboard.press("Escape")
    await expect(page.locator("#name")).to_be_hidden()
    await expect(opener).to_be_focused()
    if language == "ko-KR":
        await expect(page.locator(".job")).to_contain_text("매일, 09:00 · UTC")
        await expect(page.locator(".job")).to_contain_text("다음 실행:")


async def test_the_keys_lead_there(page: Page) -> None:
    await page.goto("/")
    await page.locator("h1").first.focus()
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("g")
    await page.keyboard.press("c")
    await expect(page).to_have_url(re.compile("/schedules$"))
    await expect(page.get_by_role("link", name="Schedules")).to_have_attribute("aria-current", "page")
