import signal

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import IN_BROWSER, NewContext, Server, Watch, job_of, sign_up
from tests.e2e.words import ask, finished, job_id_of, shown, until_it_says

pytestmark = IN_BROWSER


GONE = "ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|status of 50"


@pytest.mark.faults
async def test_a_page_survives_the_servers_death(own_server: Server, new_context: NewContext, watch: Watch) -> None:
    """Killed in the middle of an answer and started again: the page, left alone, shows the whole answer once."""
    watch.allowed.append(GONE)
    context = await new_context(own_server.url)
    await sign_up(context, own_server)
    page = await context.new_page()
    await page.goto("/")
    await ask(page, "120 words, 50 ms", "fake/slow")
    await until_it_says(page, "word50 ")
    own_server.stop(signal.SIGKILL)
    await expect(page.get_by_text("Connection lost. The answer goes on; reconnecting.")).to_be_visible()
    await expect(page.locator(".prose")).to_contain_text("word50")  # until we know better
    own_server.start()
    void = "() => !document.querySelector('.prose').textContent.includes('word50 ')"
    await page.wait_for_function(void, polling="raf", timeout=30_000)  # for two and a half seconds
    await finished(page)
    await expect(page.get_by_text("Connection lost.")).to_be_hidden()
    assert (await shown(page)).split() == [f"word{n}" for n in range(1, 121)]
    assert (await job_of(context, job_id_of(page)))["attempt"] == 2


@pytest.mark.faults
async def test_a_list_survives_the_servers_restart(own_server: Server, new_context: NewContext, watch: Watch) -> None:
    watch.allowed.append(GONE)
    context = await new_context(own_server.url)
    await sign_up(context, own_server)
    page = await context.new_page()
    await page.goto("/jobs")
    await expect(page.get_by_text("Live")).to_be_visible()
    own_server.stop()
    await expect(page.get_by_text("Connection lost. Reconnecting.")).to_be_visible()
    own_server.start()
    await expect(page.get_by_text("Live")).to_be_visible()
    asking = await context.new_page()
    await asking.goto("/")
    await ask(asking, "after the restart", "fake/echo")
    await expect(page.locator(".job", has_text="after the restart").get_by_text("Succeeded")).to_be_visible()
