import re

from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.conftest import IN_BROWSER, Server, ended, post, submit
from tests.e2e.words import question

pytestmark = IN_BROWSER


async def test_the_list_changes_by_itself_in_a_second_tab(server: Server, page: Page) -> None:
    await page.goto("/jobs")
    await expect(page.get_by_text("No jobs yet.")).to_be_visible()
    await expect(page.get_by_text("Live")).to_be_visible()
    asking = await page.context.new_page()
    await asking.goto("/")
    await expect(asking.locator("#model")).to_be_enabled()
    await asking.locator("#model").select_option("fake/slow")
    await question(asking).fill("60 words, 25 ms")
    await asking.keyboard.press("Control+Enter")
    row = page.locator(".job", has_text="60 words, 25 ms")
    await expect(row.get_by_text("Running")).to_be_visible()
    await expect(row.get_by_text("Succeeded")).to_be_visible()


async def test_a_job_whose_list_is_filtered_comes_and_goes(server: Server, page: Page) -> None:
    await page.goto("/jobs")
    await page.get_by_role("radio", name="Running").check()
    await expect(page).to_have_url(f"{server.url}/jobs?status=running")
    await expect(page.get_by_text("No job fits this filter.")).to_be_visible()
    job_id = await submit(page.context, server, "60 words, 25 ms", "fake/slow")
    row = page.locator(".job", has_text="60 words, 25 ms")
    await expect(row).to_be_visible()
    await ended(page.context, server, job_id)
    await expect(row).to_have_count(0)
    await page.reload()
    await expect(page.get_by_role("radio", name="Running")).to_be_checked()
    await page.get_by_role("radio", name="All").check()
    await expect(row).to_be_visible()


async def test_more_jobs_are_loaded_in_order(server: Server, page: Page) -> None:
    for n in range(25):
        await submit(page.context, server, f"question {n:02}")
    await page.goto("/jobs")
    rows = page.locator(".job .job-title")
    await expect(rows).to_have_count(20)
    await page.get_by_role("button", name="Load more").click()
    await expect(rows).to_have_count(25)
    await expect(page.get_by_role("button", name="Load more")).to_be_hidden()
    assert await rows.all_inner_texts() == [f"question {n:02}" for n in reversed(range(25))]


async def test_a_running_job_is_canceled_after_a_question(server: Server, page: Page) -> None:
    job_id = await submit(page.context, server, "5000 words, 20 ms", "fake/slow")
    await page.goto("/jobs")
    row = page.locator(".job", has_text="5000 words")
    await expect(row.get_by_text("Running")).to_be_visible()
    await row.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel this job?")
    await dialog.get_by_role("button", name="Keep it running").click()
    await expect(dialog).to_be_hidden()
    await expect(row.get_by_text("Running")).to_be_visible()
    await row.get_by_role("button", name="Cancel").click()
    await dialog.get_by_role("button", name="Cancel the job").click()
    await expect(row.locator(".badge")).to_have_text("Canceled")
    assert (await ended(page.context, server, job_id))["status"] == "canceled"


async def test_a_failed_job_is_retried_from_the_list(server: Server, page: Page) -> None:
    first = await submit(page.context, server, "please", "fake/error-401")
    await ended(page.context, server, first)
    await page.goto("/jobs")
    rows = page.locator(".job", has_text="please")
    await rows.get_by_role("button", name="Retry").click()
    await expect(page.get_by_text("A new job has been started.")).to_be_visible()
    await expect(rows).to_have_count(2)
    await rows.first.get_by_role("link").click()
    await expect(page.get_by_role("link", name="an earlier job")).to_have_attribute("href", f"/jobs/{first}")


async def test_a_jobs_page_follows_it_live_to_its_end(server: Server, page: Page) -> None:
    job_id = await submit(page.context, server, "100 words, 25 ms", "fake/slow")
    await page.goto(f"/jobs/{job_id}")
    badge, log = page.locator("h1 + .badge"), page.locator(".log")
    await expect(badge).to_have_text("Running")
    await expect(log.locator("li", has_text="started")).to_be_visible()
    text = log.locator("li", has_text="text")
    await expect(text).to_contain_text(re.compile(r"[0-9]+ pieces"))
    before = await text.inner_text()
    await expect(text).not_to_have_text(before)  # it grows
    await expect(badge).to_have_text("Succeeded")
    await expect(log.locator("li", has_text="succeeded")).to_be_visible()
    await expect(page.locator(".prose")).to_contain_text("word100")
    await expect(page.locator('[data-f="output"]')).to_contain_text('"finish_reason": "stop"')
    await page.get_by_role("link", name="Open the answer").click()
    await expect(page).to_have_url(f"{server.url}/ask/{job_id}")
    await expect(page.locator(".prose")).to_contain_text("word100")


async def test_a_jobs_page_cancels_and_retries(server: Server, page: Page) -> None:
    job_id = await submit(page.context, server, "5000 words, 20 ms", "fake/slow")
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator("h1 + .badge")).to_have_text("Running")
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.get_by_role("button", name="Cancel the job").click()
    await expect(page.locator("h1 + .badge")).to_have_text("Canceled")
    await page.get_by_role("button", name="Retry").click()
    await page.wait_for_url(lambda url: "/jobs/" in url and job_id not in url)
    await expect(page.locator("h1 + .badge")).to_have_text("Running")
    await post(page.context, server, f"/api{page.url.removeprefix(server.url)}/cancel")
    await expect(page.locator("h1 + .badge")).to_have_text("Canceled")


async def test_many_jobs_at_once_all_appear(server: Server, context: BrowserContext, page: Page) -> None:
    await page.goto("/jobs")
    await expect(page.get_by_text("Live")).to_be_visible()
    readings: list[str] = []
    page.on("request", lambda request: readings.append(request.url) if "/api/jobs?" in request.url else None)
    for n in range(15):
        await submit(context, server, f"burst {n}")
    await expect(page.locator(".job .badge.succeeded")).to_have_count(15)
    assert len(readings) < 15  # gathered, not one reading for each
