import re
from itertools import pairwise

from playwright.async_api import BrowserContext, Page, Request, Route, expect

from tests.e2e.conftest import (
    IN_BROWSER,
    PASSWORD,
    NewContext,
    Server,
    Watch,
    ended,
    job_of,
    post,
    sign_up,
    submit,
)
from tests.e2e.words import SLOW, ask, choose, finished, job_id_of, question, script, shown, until_it_says

pytestmark = IN_BROWSER

MARKDOWN = """# A river

It runs **fast** and *shallow* over `stones`.

1. First
2. Second

```python
print("여울")
```

| Name | Length |
|---|---:|
| Han | 494 km |

> Quoted, with a [link](https://example.com/a).
"""


async def test_an_answer_streams_and_is_the_jobs_output(page: Page) -> None:
    await page.goto("/")
    await page.evaluate("""() => {
      window.seen = new Set();
      const text = document.querySelector('.prose');
      new MutationObserver(() => window.seen.add(text.textContent.trim()))
        .observe(text, {childList: true, subtree: true, characterData: true});
    }""")
    await ask(page, SLOW, "fake/slow")
    await expect(page).to_have_url(re.compile(r"/ask/[0-9a-f-]{36}$"))
    await finished(page)
    job = await job_of(page.context, job_id_of(page))
    assert await shown(page) == job["output"]["text"].strip()
    states = sorted(await page.evaluate("[...window.seen].filter(Boolean)"), key=len)
    assert len(states) > 10
    assert all(later.startswith(former) for former, later in pairwise(states))


async def test_a_reload_in_the_middle_goes_on_where_it_was(page: Page) -> None:
    await page.goto("/")
    await ask(page, SLOW, "fake/slow")
    await until_it_says(page, "word20 ")
    await page.reload()
    await until_it_says(page, "word20 ")
    assert "word120" not in await shown(page)
    await finished(page)
    job = await job_of(page.context, job_id_of(page))
    assert await shown(page) == job["output"]["text"].strip()
    assert (await shown(page)).split() == [f"word{n}" for n in range(1, 121)]
    assert job["attempt"] == 1


async def test_two_tabs_show_the_same_answer(page: Page) -> None:
    await page.goto("/")
    await ask(page, SLOW, "fake/slow")
    await until_it_says(page, "word10 ")
    other = await page.context.new_page()
    await other.goto(page.url)
    for tab in (page, other):
        await finished(tab)
    assert await shown(page) == await shown(other)


async def test_a_lost_connection_is_told_and_nothing_is_missed(page: Page, watch: Watch) -> None:
    watch.allowed.append("ERR_INTERNET_DISCONNECTED|ERR_NETWORK")
    await page.goto("/")
    await ask(page, "300 words, 25 ms", "fake/slow")
    await until_it_says(page, "word10 ")
    # Chromium's offline switch leaves open streams alone: the stream is cut from inside.
    await page.context.set_offline(True)
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(page.get_by_text("Connection lost. The answer goes on; reconnecting.")).to_be_visible()
    await page.context.set_offline(False)
    await expect(page.get_by_text("Connection lost.")).to_be_hidden()
    await finished(page)
    assert (await shown(page)).split() == [f"word{n}" for n in range(1, 301)]


async def test_a_running_answer_is_canceled_within_a_second_or_so(server: Server, page: Page) -> None:
    await page.goto("/")
    await ask(page, "2000 words, 20 ms", "fake/slow")
    await until_it_says(page, "word5 ")
    await page.get_by_role("button", name="Cancel").click()
    answer = page.locator('[data-part="answer"]')
    await expect(answer).to_have_attribute("data-state", "stopped", timeout=5000)
    await expect(answer.get_by_text("Canceled")).to_be_visible()
    assert (await ended(page.context, server, job_id_of(page)))["status"] == "canceled"
    await expect(page.locator(".prose")).to_contain_text("word5")  # what was there stays readable
    await page.get_by_role("button", name="New question").click()
    await expect(question(page)).to_be_focused()


async def test_markdown_is_drawn_and_copied_as_written(page: Page, context: BrowserContext) -> None:
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto("/")
    await ask(page, script(MARKDOWN), "fake/script")
    await finished(page)
    prose = page.locator(".prose")
    await expect(prose.get_by_role("heading", name="A river")).to_be_visible()
    await expect(prose.locator("strong")).to_have_text("fast")
    await expect(prose.locator("ol > li")).to_have_count(2)
    await expect(prose.locator("pre code")).to_have_text('print("여울")')
    await expect(prose.get_by_role("cell", name="494 km")).to_be_visible()
    link = prose.get_by_role("link", name="link")
    await expect(link).to_have_attribute("rel", re.compile("noopener"))
    await page.get_by_role("button", name="Copy", exact=True).last.click()
    await expect(page.get_by_text("Copied")).to_be_visible()
    assert (await page.evaluate("navigator.clipboard.readText()")).strip() == MARKDOWN.strip()


async def test_what_an_answer_says_cannot_act(page: Page, server: Server) -> None:
    asked_outside: list[str] = []
    page.context.on(
        "request", lambda request: None if request.url.startswith(server.url) else asked_outside.append(request.url)
    )
    await page.goto("/")
    hostile = (
        "<img src=x onerror=alert(1)> <script>alert(1)</script>\n\n<iframe src='https://evil.example'></iframe>\n\n"
        "![pixel](https://evil.example/?secret) [go](javascript:alert(1)) <b style='position:fixed'>b</b>\n\n"
        "<div>\n\n```\n<script>alert(1)</script>\n```\n"
    )
    await ask(page, script(hostile), "fake/script")
    await finished(page)
    prose = page.locator(".prose")
    await expect(prose.locator("img, script, iframe, [style], [onerror]")).to_have_count(0)
    await expect(prose.locator("[href^='javascript']")).to_have_count(0)
    await expect(prose).to_contain_text("<img src=x onerror=alert(1)>")
    assert asked_outside == []


async def test_facts_of_the_answer_stand_under_it(page: Page) -> None:
    await page.goto("/")
    await ask(page, "one two three", "fake/echo")
    await finished(page)
    facts = page.locator('[data-f="facts"]')
    await expect(facts).to_contain_text("3 in, 3 out")
    await expect(facts).to_contain_text("free")
    await expect(facts).to_contain_text("fake/echo")


async def test_parameters_are_checked_before_anything_is_sent(page: Page) -> None:
    await page.goto("/")
    await choose(page, "fake/slow")
    await page.get_by_role("button", name="Ask", exact=True).click()
    await expect(page.get_by_text("Write a question first.")).to_be_visible()
    await question(page).fill("30 words, 1 ms")
    await page.get_by_text("System prompt and parameters").click()
    tokens = page.get_by_label("Longest answer, in tokens")
    await tokens.fill("0")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_text("Enter a whole number from 1 to 1,000,000, or nothing.")).to_be_visible()
    await expect(tokens).to_be_focused()
    await tokens.fill("7")
    await page.get_by_label("System prompt", exact=True).fill("Count.")
    await page.keyboard.press("Control+Enter")
    await finished(page)
    job = await job_of(page.context, job_id_of(page))
    assert job["input"]["parameters"]["max_tokens"] == 7
    assert job["input"]["system"] == "Count."
    assert (await shown(page)).split()[-1] == "word7"
    await expect(page.get_by_text("The answer stops here")).to_be_visible()


async def test_parameters_a_model_does_not_take_are_not_offered(page: Page) -> None:
    await page.goto("/")
    await choose(page, "fake/slow")
    await page.get_by_text("System prompt and parameters").click()
    await expect(page.get_by_label("Longest answer, in tokens")).to_be_visible()
    await expect(page.get_by_label("Temperature")).to_be_hidden()


async def test_one_question_sent_twice_by_a_shaky_line_makes_one_job(page: Page, watch: Watch) -> None:
    watch.allowed.append("ERR_FAILED")
    keys: list[str | None] = []
    fails = [True]

    async def shaky(route: Route, request: Request) -> None:
        keys.append(request.headers.get("idempotency-key"))
        await route.fetch()  # it arrives …
        await (route.abort() if fails.pop() else route.continue_())  # … and its answer does not

    await page.route(
        "**/api/jobs", lambda route, request: shaky(route, request) if request.method == "POST" else route.continue_()
    )
    await page.goto("/")
    fails.insert(0, False)
    await ask(page, "only once", "fake/echo")
    await expect(page.get_by_text("The server cannot be reached")).to_be_visible()
    await page.get_by_role("button", name="Ask", exact=True).click()
    await finished(page)
    assert keys[0] is not None
    assert keys[0] == keys[1]
    listed = await (await page.context.request.get("/api/jobs")).json()
    assert len(listed["items"]) == 1


async def test_an_error_says_what_happened_and_what_to_do(page: Page) -> None:
    await page.goto("/")
    await ask(page, "hello", "fake/error-401")
    error = page.locator('[data-f="error"]')
    await expect(error).to_contain_text("The provider refused the key")
    await expect(error).to_contain_text("choose another model")
    await page.get_by_role("button", name="Edit question").click()
    await expect(question(page)).to_have_value("hello")
    await ask(page, "hello", "fake/blocked")
    await expect(page.locator('[data-f="error"]')).to_contain_text("judged unsafe")


async def test_a_failed_attempt_is_tried_again_and_its_text_is_void(page: Page) -> None:
    await page.goto("/")
    prompt = '{"steps": [{"text": "draft "}, {"after_ms": 300, "error": 500}]}'
    await ask(page, prompt, "fake/script")
    await until_it_says(page, "draft")
    await expect(page.get_by_text("Trying again")).to_be_visible()
    await expect(page.locator(".prose")).not_to_contain_text("draft")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator('[data-part="answer"]')).to_have_attribute("data-state", "stopped")


async def test_asking_again_makes_a_new_job(page: Page) -> None:
    await page.goto("/")
    await ask(page, "again and again", "fake/echo")
    await finished(page)
    first = job_id_of(page)
    await page.get_by_role("button", name="Ask again").click()
    await page.wait_for_url(lambda url: not url.endswith(first))
    await finished(page)
    assert (await job_of(page.context, job_id_of(page)))["retry_of"] == first


async def test_back_and_forward_go_between_question_and_answer(page: Page, server: Server) -> None:
    await page.goto("/")
    await ask(page, "there and back", "fake/echo")
    await finished(page)
    answered = page.url
    await page.go_back()
    await expect(page).to_have_url(f"{server.url}/")
    await expect(question(page)).to_be_visible()
    await page.go_forward()
    await expect(page).to_have_url(answered)
    await finished(page)
    assert await shown(page) == "there and back"
    await page.get_by_role("link", name="Jobs").click()
    await expect(page.get_by_role("link", name="there and back")).to_be_visible()
    await page.go_back()
    await finished(page)
    assert await shown(page) == "there and back"


async def test_signing_out_elsewhere_ends_the_stream_and_leads_to_the_sign_in(
    page: Page, server: Server, new_context: NewContext, watch: Watch
) -> None:
    watch.allowed.append("status of 401")
    elsewhere = await new_context(server.url)
    email = await sign_up(elsewhere, server)
    here = await new_context(server.url)
    signed_in = await post(here, server, "/api/auth/login", {"email": email, "password": PASSWORD})
    assert signed_in.ok
    tab = await here.new_page()
    await tab.goto("/")
    await ask(tab, "2000 words, 50 ms", "fake/slow")
    await until_it_says(tab, "word5 ")
    assert (await post(elsewhere, server, "/api/auth/logout?everywhere=true")).ok
    await expect(tab).to_have_url(re.compile("/signin"), timeout=40_000)


async def test_an_answer_without_its_events_is_shown(page: Page, server: Server) -> None:
    job_id = await submit(page.context, server, "here to **stay**")
    await ended(page.context, server, job_id)
    server.forget_events(job_id)
    await page.goto(f"/ask/{job_id}")
    await finished(page)
    assert await shown(page) == "here to stay"
    await page.goto(f"/jobs/{job_id}")
    await expect(page.get_by_text("here to stay")).to_be_visible()
    await expect(page.get_by_text("Connection lost")).to_be_hidden()


async def test_somebody_elses_answer_is_not_there(
    page: Page, server: Server, new_context: NewContext, watch: Watch
) -> None:
    watch.allowed.append("status of 404")
    stranger = await new_context(server.url)
    await sign_up(stranger, server)
    job_id = await submit(stranger, server, "a secret")
    await page.goto(f"/ask/{job_id}")
    await expect(page.get_by_text("There is no such job").first).to_be_visible()
    await page.goto("/ask/not-an-id")
    await expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
