"""A prompt and its answers, side by side."""

import re
from itertools import pairwise

from playwright.async_api import Page, Route, expect

from tests.e2e.conftest import IN_BROWSER, Server, Watch
from tests.e2e.conftest import ended as job_ended
from tests.e2e.playground import SLOW, WORDS, choose, column, ended, prompt, run, text_of

pytestmark = IN_BROWSER


async def test_answers_stream_in_a_column_for_each_model(page: Page) -> None:
    await page.goto("/")
    await page.get_by_role("link", name="Playground").click()
    await expect(page.get_by_role("heading", name="Playground")).to_be_visible()
    await page.evaluate("""() => {
      window.seen = [];
      new MutationObserver(() => {
        const text = document.querySelector('[aria-label="fake/slow"] .pg-text');
        if (text && text.textContent !== window.seen.at(-1)) window.seen.push(text.textContent);
      }).observe(document.querySelector('[data-part="columns"]'),
        {childList: true, subtree: true, characterData: true});
    }""")
    await run(page, SLOW, "fake/slow", "fake/echo", times=2)
    await ended(page)
    assert await text_of(page, "fake/slow") == WORDS
    assert await text_of(page, "fake/echo") == SLOW
    await expect(column(page, "fake/slow").get_by_role("listitem")).to_have_count(2)
    seen = [text for text in await page.evaluate("window.seen") if text]
    assert len(seen) > 10
    assert all(later.startswith(former) for former, later in pairwise(seen))
    facts = column(page, "fake/slow").locator(".facts-line").first
    await expect(facts).to_contain_text("4 in, 120 out")
    await expect(facts).to_contain_text("free")
    row = page.get_by_role("row", name="fake/slow")
    await expect(row).to_contain_text("2 of 2")
    await expect(row).to_contain_text("100%")  # both say the same


async def test_a_reload_in_the_middle_and_another_tab_show_the_same(page: Page) -> None:
    await page.goto("/playground")
    await run(page, SLOW, "fake/slow", "fake/echo")
    await expect(column(page, "fake/slow")).to_contain_text("word20 ")
    other = await page.context.new_page()
    await other.goto(page.url)
    await page.reload()
    for tab in (page, other):
        await expect(column(tab, "fake/slow")).to_contain_text("word20 ")
        await ended(tab)
        assert await text_of(tab, "fake/slow") == WORDS
        assert await text_of(tab, "fake/echo") == SLOW
        await expect(prompt(tab)).to_have_value(SLOW)
        await expect(tab.get_by_role("region", name="Answers").get_by_text("Done")).to_be_visible()


async def test_one_answer_is_stopped_and_asked_again_then_all_are_stopped(page: Page) -> None:
    await page.goto("/playground")
    await run(page, "400 words, 25 ms", "fake/slow", times=3)
    answers = column(page, "fake/slow").get_by_role("listitem").filter(has=page.locator(".pg-text"))
    for n in range(3):
        await expect(answers.nth(n)).to_contain_text("word5 ")
    await answers.nth(1).get_by_role("button", name="Stop this answer").click()
    await expect(answers.nth(1)).to_have_attribute("data-state", "canceled")
    await expect(answers.nth(0)).to_have_attribute("data-state", "running")
    await page.get_by_role("button", name="Stop all").click()
    await ended(page)
    await expect(page.get_by_role("region", name="Answers").get_by_text("Stopped").first).to_be_visible()
    for n in range(3):
        await expect(answers.nth(n)).to_have_attribute("data-state", "canceled")
    texts = await answers.locator(".pg-text").all_text_contents()
    assert "word5 " in texts[0], "what was there stays readable"
    await page.reload()
    await ended(page)
    assert await answers.locator(".pg-text").all_text_contents() == texts


async def test_errors_say_why_and_an_answer_that_failed_is_asked_again(page: Page, server: Server) -> None:
    await page.goto("/playground")
    await run(page, "hello", "fake/blocked", "fake/error-401", "fake/echo")
    await ended(page)
    await expect(column(page, "fake/blocked")).to_contain_text("it was judged unsafe (harassment)")
    await expect(column(page, "fake/error-401")).to_contain_text("The provider refused the key")
    await expect(page.get_by_role("region", name="Answers").get_by_text("Some failed")).to_be_visible()
    assert await text_of(page, "fake/echo") == "hello"
    assert await text_of(page, "fake/blocked") == "This is"
    await page.reload()
    await ended(page)
    assert await text_of(page, "fake/blocked") == "This is"
    failed = column(page, "fake/error-401").get_by_role("listitem").first
    async with page.expect_response(re.compile("/retry$")) as answered:
        await failed.get_by_role("button", name="Ask this again").click()
    again = (await (await answered.value).json())["id"]
    await job_ended(page.context, server, again)
    await expect(failed).to_have_attribute("data-state", "error")
    shown = await (await page.context.request.get(f"/api/prompts/{page.url.rsplit('/', 1)[1]}/status")).json()
    assert [one["job_id"] for one in shown["results"] if one["model"] == "fake/error-401"] == [again]


async def test_what_is_asked_again_streams_in_every_tab_and_after_a_reload(page: Page) -> None:
    await page.goto("/playground")
    again = '{"steps": [{"text": "again ", "after_ms": 25}], "repeat": 120, "fail_first": [400]}'
    await run(page, again, "fake/script", "fake/echo")
    await ended(page)
    answer = column(page, "fake/script").get_by_role("listitem").first
    await expect(answer).to_have_attribute("data-state", "error")
    await answer.get_by_role("button", name="Ask this again").click()
    await expect(answer).to_contain_text("again again ")
    other = await page.context.new_page()
    await other.goto(page.url)
    await page.reload()
    for tab in (page, other):
        answer = column(tab, "fake/script").get_by_role("listitem").first
        await expect(answer).to_contain_text("again again ")
        await expect(answer).to_have_attribute("data-state", "running")
    for tab in (page, other):
        answer = column(tab, "fake/script").get_by_role("listitem").first
        await expect(answer).to_have_attribute("data-state", "completed")
        assert await text_of(tab, "fake/script") == ("again " * 120).strip()
        await expect(answer.locator(".notice")).to_be_hidden()
        await expect(tab.get_by_role("region", name="Answers").get_by_text("Done")).to_be_visible()


async def test_what_is_asked_again_and_stopped_shows_how_it_ended_before(page: Page) -> None:
    await page.goto("/playground")
    again = '{"steps": [{"text": "again ", "after_ms": 25}], "repeat": 4000, "fail_first": [400]}'
    await run(page, again, "fake/script")
    await ended(page)
    answer = column(page, "fake/script").get_by_role("listitem").first
    await answer.get_by_role("button", name="Ask this again").click()
    await expect(answer).to_contain_text("again again ")
    await answer.get_by_role("button", name="Stop this answer").click()
    await expect(answer).to_have_attribute("data-state", "error")
    await expect(answer.locator(".notice")).to_be_visible()
    assert await text_of(page, "fake/script") == ""
    await expect(answer.get_by_role("button", name="Ask this again")).to_be_visible()


async def test_a_failed_attempt_is_shown_and_its_text_is_void(page: Page) -> None:
    await page.goto("/playground")
    await run(page, '{"steps": [{"text": "draft "}, {"after_ms": 300, "error": 500}]}', "fake/script")
    for state in ("text === 'draft' && !all.includes('Trying again')", "text === '' && all.includes('Trying again')"):
        # Each frame is looked at: neither lasts for long.
        await page.wait_for_function(
            f"""() => {{
              const answer = document.querySelector(".pg-answer");
              const [text, all] = [answer?.querySelector(".pg-text").textContent.trim(), answer?.textContent];
              return answer && {state};
            }}""",
            polling="raf",
        )
    await ended(page)
    assert await text_of(page, "fake/script") == "draft"


async def test_what_a_model_says_cannot_act(page: Page) -> None:
    text = '<img src=x onerror="window.acted = true"><b>bold</b> [link](javascript:1) **strong**'
    await page.goto("/playground")
    await run(page, text, "fake/echo")
    await ended(page)
    assert await text_of(page, "fake/echo") == text
    await page.get_by_label("Formatted").check()
    await expect(column(page, "fake/echo").locator("strong")).to_have_text("strong")
    assert await column(page, "fake/echo").locator("b, img, a[href^=javascript]").count() == 0
    assert await page.evaluate("window.acted") is None
    await page.reload()
    await expect(column(page, "fake/echo").locator("strong")).to_have_text("strong")  # it is remembered


async def test_the_same_sent_twice_by_a_shaky_line_makes_one_execution(page: Page, watch: Watch) -> None:
    watch.allowed.append("ERR_FAILED")
    fails = [False, True]  # it arrives, and its answer does not; then both do

    async def shaky(route: Route) -> None:
        await route.fetch()
        await (route.abort() if fails.pop() else route.continue_())

    await page.route("**/api/prompts/execute", shaky)
    await page.goto("/playground")
    await choose(page, "fake/echo")
    await prompt(page).fill("only once")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("The server cannot be reached")).to_be_visible()
    await prompt(page).press("Control+Enter")
    await ended(page)
    listed = await (await page.context.request.get("/api/prompts")).json()
    assert len(listed["items"]) == 1
