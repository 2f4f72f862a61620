"""The administrator's view of the queue, and failed jobs retried in numbers."""

from typing import Any

from playwright.async_api import Page, expect

from tests.e2e.conftest import IN_BROWSER, PASSWORD, NewContext, Server, Watch, ended, post, sign_up, submit
from tests.e2e.test_access import PHONE, findings

pytestmark = IN_BROWSER


async def signed_in(new_context: NewContext, server: Server, email: str, **options: Any) -> Page:
    """A page of an account there is, or that is made now."""
    context = await new_context(server.url, **options)
    answer = await post(context, server, "/api/auth/login", {"email": email, "password": PASSWORD})
    if answer.status != 200:
        await sign_up(context, server, email)
    return await context.new_page()


async def test_operations_follow_the_queue(own_server: Server, new_context: NewContext) -> None:
    page = await signed_in(new_context, own_server, "admin@example.com")
    await page.goto("/")
    await page.get_by_role("link", name="Operations").click()
    await expect(page.get_by_role("heading", name="Operations", exact=True)).to_be_visible()
    await expect(page.get_by_text("Nothing waits, runs, or has ended in the last hour.")).to_be_visible()
    await expect(page.get_by_role("region", name="Workers").get_by_text("Alive")).to_be_visible()
    await page.evaluate("window.stays = true")
    done = await submit(page.context, own_server, "hello")
    broken = await submit(page.context, own_server, "please", "fake/error-401")
    for job_id in (done, broken):
        await ended(page.context, own_server, job_id)
    row = page.get_by_role("region", name="Queue by kind").get_by_role("row", name="llm.complete")
    await expect(row.get_by_role("cell").nth(4)).to_have_text("2")  # ended, by itself
    await expect(row.get_by_role("cell").nth(5)).to_have_text("1")  # failed
    chart = page.get_by_role("img", name="2 ended, 1 of them failed.")
    await expect(chart).to_be_visible()
    assert await chart.locator("rect.bad").count() == 1
    await expect(page.get_by_role("region", name="The last hour by five minutes").get_by_role("row")).not_to_have_count(
        1
    )
    assert await page.evaluate("window.stays")
    await page.get_by_role("link", name="Failed jobs of everybody").click()
    await expect(page.locator(".failed-row")).to_have_count(1)
    await expect(page.locator(".failed-row")).to_contain_text("admin@example.com")


async def test_operations_say_when_the_server_is_away(
    own_server: Server, new_context: NewContext, watch: Watch
) -> None:
    watch.allowed += ["ERR_CONNECTION_REFUSED", "Failed to fetch", "htmx", "status of 50"]
    page = await signed_in(new_context, own_server, "admin@example.com")
    async with page.expect_response("**/operations/figures"):  # the page's script has been fetched by then
        await page.goto("/operations")
    own_server.stop()
    await expect(page.get_by_text("Connection lost. Reconnecting.")).to_be_visible()
    await expect(page).to_have_url(f"{own_server.url}/operations")
    own_server.start()
    await expect(page.get_by_text("Connection lost. Reconnecting.")).to_be_hidden(timeout=30_000)


async def test_operations_are_for_administrators(own_server: Server, new_context: NewContext, watch: Watch) -> None:
    watch.allowed.append("status of 404")
    await signed_in(new_context, own_server, "admin@example.com")
    page = await signed_in(new_context, own_server, "user@example.com")
    await page.goto("/")
    await expect(page.get_by_role("link", name="Operations")).to_have_count(0)
    await page.goto("/operations")
    await expect(page.get_by_text("There is nothing here")).to_be_visible()
    figures = await page.context.request.get("/operations/figures")
    assert (figures.status, await figures.text()) == (204, "")
    await page.goto("/failed?everyone=true")
    await expect(page.get_by_text("Nothing has failed, or all of it has been retried.")).to_be_visible()
    await expect(page.get_by_label("Everybody's")).to_have_count(0)


async def test_failed_jobs_are_chosen_and_retried(server: Server, page: Page) -> None:
    ids = [await submit(page.context, server, f"please {n}", "fake/error-401") for n in range(3)]
    for job_id in ids:
        await ended(page.context, server, job_id)
    await page.goto("/jobs")
    await page.get_by_role("link", name="Failed jobs").click()
    rows = page.locator(".failed-row")
    await expect(rows).to_have_count(3)
    await page.get_by_label("Choose: please 0").check()
    await page.get_by_label("Choose: please 2").check()
    await page.get_by_role("button", name="Retry 2 jobs", exact=True).click()
    dialog = page.get_by_role("dialog", name="Retry 2 jobs?")
    await dialog.get_by_role("button", name="Leave them").click()
    await expect(dialog).to_be_hidden()
    await page.get_by_role("button", name="Retry 2 jobs", exact=True).click()
    await dialog.get_by_role("button", name="Retry 2 jobs").click()
    await expect(page.get_by_text("2 jobs have been started anew.")).to_be_visible()
    listed = (await (await page.context.request.get("/api/jobs?limit=50")).json())["items"]
    assert sorted(job["retry_of"] for job in listed if job["retry_of"]) == sorted([ids[0], ids[2]])


async def test_a_whole_group_is_retried(server: Server, page: Page) -> None:
    for n in range(3):
        await ended(page.context, server, await submit(page.context, server, f"please {n}", "fake/error-401"))
    other = await submit(page.context, server, "too long", "fake/error-400")
    await ended(page.context, server, other)
    await page.goto("/failed")
    groups = page.locator(".failed-group")
    await expect(groups).to_have_count(2)
    await groups.first.get_by_role("button", name="Show these").click()
    await expect(page.locator(".failed-row")).to_have_count(3)
    await page.get_by_role("button", name="Show all errors").click()
    await expect(page.locator(".failed-row")).to_have_count(4)
    await groups.first.get_by_role("button", name="Retry 3 jobs").click()
    await page.get_by_role("dialog").get_by_role("button", name="Retry 3 jobs").click()
    await expect(page.get_by_text("3 jobs have been started anew.")).to_be_visible()
    listed = (await (await page.context.request.get("/api/jobs?limit=50")).json())["items"]
    assert len([job for job in listed if job["retry_of"]]) == 3


async def test_axe_finds_nothing_serious(own_server: Server, new_context: NewContext) -> None:
    first = await signed_in(new_context, own_server, "admin@example.com")
    for model in ("fake/echo", "fake/error-401"):
        await ended(first.context, own_server, await submit(first.context, own_server, "please", model))
    found = []
    for shape in ({}, PHONE):
        page = await signed_in(new_context, own_server, "admin@example.com", reduced_motion="reduce", **shape)
        for path in ("/operations", "/failed?everyone=true"):
            await page.goto(path)
            await expect(page.locator('[aria-busy="true"]')).to_have_count(0)
            await expect(page.get_by_text("llm.complete").first).to_be_visible()
            found += await findings(page)
            width = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert width <= 0, f"{path} is wider than the screen by {width}"
    assert found == []


async def test_both_pages_speak_korean(own_server: Server, new_context: NewContext) -> None:
    page = await signed_in(new_context, own_server, "admin@example.com", locale="ko-KR")
    await ended(page.context, own_server, await submit(page.context, own_server, "please", "fake/error-401"))
    await page.goto("/operations")
    await expect(page.get_by_role("heading", name="운영", exact=True)).to_be_visible()
    await expect(page.get_by_text("종류별 대기열")).to_be_visible()
    await page.goto("/failed")
    await expect(page.get_by_role("heading", name="실패한 작업")).to_be_visible()
    await expect(page.get_by_role("button", name="작업 1개 다시 시도")).to_be_visible()
