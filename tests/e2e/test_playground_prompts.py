"""Prompts over time: cases, checks, versions, history, taking them away, sharing them."""

import csv
import io
import json
import re
from base64 import b64decode
from codecs import BOM_UTF8

from playwright.async_api import BrowserContext, FilePayload, Page, Route, expect

from tests.e2e.conftest import IN_BROWSER, NewContext, Server, Watch
from tests.e2e.playground import choose, column, ended, execute, over, prompt, run, text_of

pytestmark = IN_BROWSER

PIXEL = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


GIVE = """(target, [type, name, media, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, {type: media}));
  const options = {bubbles: true, cancelable: true};
  target.dispatchEvent(type === 'drop'
    ? new DragEvent('drop', {...options, dataTransfer: data})
    : new ClipboardEvent('paste', {...options, clipboardData: data}));
}"""
WORDS_DROPPED = """target => {
  const data = new DataTransfer();
  data.setData('text/plain', 'words');
  const event = new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: data});
  target.dispatchEvent(event);
  return event.defaultPrevented;
}"""


def _file(name: str, media_type: str, data: bytes) -> FilePayload:
    return FilePayload(name=name, mimeType=media_type, buffer=data)


async def test_variables_make_a_table_of_cases_that_answers_are_checked_against(page: Page) -> None:
    await page.goto("/playground")
    await choose(page, "fake/echo")
    await prompt(page).fill("{{greeting}}, {{ name }}!")
    await page.get_by_label("greeting of case 1").fill("Hello")
    await page.get_by_role("button", name="Add a case").click()
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("Case 1 has no name.")).to_be_visible()
    await expect(page.get_by_label("name of case 1")).to_be_focused()
    await page.get_by_label("name of case 1").fill("Mina")
    await page.get_by_label("greeting of case 2").fill("Bye")
    await page.get_by_label("name of case 2").fill("Jun")
    await expect(page.get_by_text("2 calls · free")).to_be_visible()
    await page.get_by_role("button", name="Checks", exact=True).click()
    await page.get_by_role("button", name="Add a check").click()
    await page.get_by_label("Text of check 1").fill("hello, {{name}}")
    await page.get_by_label("any case").check()
    await page.get_by_role("button", name="Run", exact=True).click()
    await ended(page)
    answers = column(page, "fake/echo").locator(".pg-answer")
    await expect(answers.nth(0)).to_contain_text("Hello, Mina!")
    await expect(answers.nth(0)).to_contain_text("Passed: ")
    await expect(answers.nth(1)).to_contain_text("Bye, Jun!")
    await expect(answers.nth(1)).to_contain_text("Failed: ")
    await expect(page.get_by_role("row", name="fake/echo")).to_contain_text("50%")
    await page.reload()
    await expect(page.get_by_label("name of case 2")).to_have_value("Jun")
    await page.get_by_role("button", name=re.compile("^Checks")).click()
    await expect(page.get_by_label("Text of check 1")).to_have_value("hello, {{name}}")


async def test_cases_come_from_a_spreadsheet_or_a_file(page: Page) -> None:
    await page.goto("/playground")
    await prompt(page).fill("{{a}} {{b}}")
    await page.get_by_label("a of case 1").evaluate("""cell => {
      const data = new DataTransfer();
      data.setData('text/plain', 'x\\ty\\n"two\\nlines"\\tz');
      cell.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
    }""")
    await expect(page.get_by_label("b of case 1")).to_have_value("y")
    await expect(page.get_by_label("a of case 2")).to_have_value("two\nlines")
    file = _file("cases.csv", "text/csv", "b;a\n여울;1\n물;2\n강;3\n".encode())
    await page.locator('[data-part="cases-file"]').set_input_files([file])
    await expect(page.get_by_text("3 cases from cases.csv")).to_be_visible()
    await expect(page.get_by_label("b of case 3")).to_have_value("강")
    await expect(page.get_by_label("a of case 3")).to_have_value("3")
    await page.get_by_role("button", name="Remove case 2").click()
    await expect(page.get_by_label("a of case 2")).to_have_value("3")


async def test_a_file_that_does_not_fit_is_told(page: Page, watch: Watch) -> None:
    watch.allowed.append("status of 422")
    await page.goto("/playground")
    await prompt(page).fill("{{a}}")
    await expect(page.get_by_label("a of case 1")).to_be_visible()
    for content, words in ((b"a,b\n1\n", "Row 2 has 1 cells"), (b"c\n1\n", "The file has no column a.")):
        file = _file("cases.csv", "text/csv", content)
        await page.locator('[data-part="cases-file"]').set_input_files([file])
        await expect(page.get_by_text(words)).to_be_visible()


async def test_what_is_written_is_kept_until_it_is_run(page: Page) -> None:
    await page.goto("/playground")
    await choose(page, "fake/echo", "fake/slow")
    await page.get_by_label("System prompt").fill("Be brief.")
    await prompt(page).fill("Not yet {{run}}")
    await page.get_by_label("run of case 1").fill("sent")
    await page.get_by_label("Times each").fill("3")
    await page.reload()
    await expect(prompt(page)).to_have_value("Not yet {{run}}")
    await expect(page.get_by_label("System prompt")).to_have_value("Be brief.")
    await expect(page.get_by_label("run of case 1")).to_have_value("sent")
    await expect(page.get_by_text("6 calls")).to_be_visible()
    await page.get_by_role("button", name="New prompt").click()
    await expect(prompt(page)).to_have_value("")
    await page.reload()
    await expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    await expect(page.get_by_label("System prompt")).to_have_value("")


async def test_each_prompt_has_a_draft_of_its_own(page: Page) -> None:
    await page.goto("/playground")
    await run(page, "the first", "fake/echo")
    await ended(page)
    await page.reload()
    await expect(prompt(page)).to_have_value("the first")
    await prompt(page).fill("the first, changed")
    other = await page.context.new_page()
    await other.goto("/playground")
    await prompt(other).fill("another one")
    for tab, text in ((page, "the first, changed"), (other, "another one")):
        await tab.reload()
        await expect(prompt(tab)).to_have_value(text)
    await page.evaluate("""() => {
      for (let n = 0; n < 30; n += 1) localStorage.setItem(`yeoul.playground.draft.${n}`, `{"at": ${n}, "values": {}}`);
    }""")
    await prompt(page).fill("changed again")
    await page.reload()
    await expect(prompt(page)).to_have_value("changed again")
    kept = "Object.keys(localStorage).filter((key) => key.startsWith('yeoul.playground.draft.')).length"
    assert await page.evaluate(kept) == 20, "the latest of many"


async def test_a_name_is_given_and_taken_away(page: Page) -> None:
    await page.goto("/playground")
    await page.get_by_role("button", name="Limits", exact=True).click()
    await page.get_by_label("Name of the prompt").fill("Rivers")
    await run(page, "named", "fake/echo")
    await ended(page)
    await expect(page.locator('[data-f="which"]')).to_have_text("Rivers")
    await page.get_by_role("button", name=re.compile("^Limits")).click()
    await page.get_by_label("Name of the prompt").fill("")
    first = page.url
    await page.get_by_role("button", name="Run", exact=True).click()
    await page.wait_for_url(lambda url: url != first)
    await ended(page)
    await expect(page.locator('[data-f="which"]')).to_have_text("version 2")


async def test_a_judge_that_is_gone_stays_chosen_and_says_so(page: Page, server: Server) -> None:
    judge = {"type": "judge", "model": "fake/slow", "rubric": "It is brief."}
    started = await execute(page.context, server, user_prompt="2 words, 1 ms", checks=[judge])
    await over(page.context, started)

    async def without(route: Route) -> None:
        answer = await route.fetch()
        found = await answer.json()
        for model in found["models"]:
            model["available"] = model["available"] and model["id"] != "fake/slow"
        await route.fulfill(response=answer, json=found)

    await page.route("**/api/models", without)
    await page.goto(f"/playground/{started['execution_id']}")
    await page.get_by_role("button", name=re.compile("^Checks")).click()
    choice = page.get_by_label("Model of check 1")
    await expect(choice).to_have_value("fake/slow")
    await expect(choice.locator("option:checked")).to_have_text("fake/slow, not available")


async def test_what_does_not_fit_is_marked_where_it_is(page: Page, watch: Watch) -> None:
    await page.goto("/playground")
    await choose(page, "fake/echo")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("Write a prompt first.")).to_be_visible()
    await expect(prompt(page)).to_be_focused()
    await prompt(page).fill("hi")
    await page.get_by_role("button", name="Parameters", exact=True).click()
    await expect(page.get_by_label("Temperature")).to_be_disabled()
    await expect(page.locator("#temperature-taken")).to_have_text("No chosen model takes this.")
    await page.get_by_label("Longest answer, in tokens").fill("0")
    await page.get_by_role("button", name="Response form").click()
    await page.get_by_label("JSON Schema").fill("{")
    await page.get_by_role("button", name=re.compile("^Parameters")).click()
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("Enter a whole number from 1 to 1,000,000, or nothing.")).to_be_visible()  # unfolded
    await expect(page.get_by_text("This is not JSON")).to_be_visible()


async def test_a_changed_prompt_is_the_next_version_with_labels_and_differences(page: Page) -> None:
    await page.goto("/playground")
    await run(page, "first\nsame", "fake/echo")
    await ended(page)
    await prompt(page).fill("second\nsame")
    first = page.url
    await page.get_by_role("button", name="Run", exact=True).click()
    await page.wait_for_url(lambda url: url != first)
    await ended(page)
    await expect(page.get_by_text("version 2")).to_be_visible()
    await page.get_by_role("button", name="Versions").click()
    dialog = page.get_by_role("dialog", name="Versions")
    await dialog.get_by_label("Label for version 1").fill("live")
    await dialog.get_by_role("button", name="Add").last.click()
    await expect(dialog.get_by_role("button", name="Remove the label live")).to_be_visible()
    await dialog.get_by_role("button", name="What differs from Version 1").click()
    await expect(dialog.locator(".removed")).to_contain_text("first")
    await expect(dialog.locator(".added")).to_contain_text("second")
    await expect(dialog.locator(".same")).to_contain_text("same")
    await dialog.get_by_role("link", name="Answers of Version 1 beside those shown").click()
    await expect(page.get_by_role("heading", name="Two runs side by side")).to_be_visible()
    await expect(column(page, "Left: fake/echo")).to_contain_text("first same")
    await expect(column(page, "Right: fake/echo")).to_contain_text("second same")
    await page.get_by_role("link", name="version 1").click()
    await expect(prompt(page)).to_have_value("first\nsame")


async def test_earlier_prompts_are_searched_opened_repeated_and_deleted(page: Page, server: Server) -> None:
    started = [await execute(page.context, server, user_prompt=f"prompt number {n}") for n in range(21)]
    await over(page.context, started[-1])
    await page.goto("/playground")
    rows = page.locator('[data-part="prompts"] .job')
    await expect(rows).to_have_count(20)
    await page.get_by_role("button", name="Load more").click()
    await expect(rows).to_have_count(21)
    await page.get_by_role("searchbox", name="Search earlier prompts").fill("number 20")
    await expect(rows).to_have_count(1)
    await rows.get_by_role("link").click()
    await ended(page)
    assert await text_of(page, "fake/echo") == "prompt number 20"
    await expect(prompt(page)).to_have_value("prompt number 20")
    before = page.url
    await page.get_by_role("button", name="Run again").click()
    await page.wait_for_url(lambda url: url != before)
    await ended(page)
    await expect(page.get_by_label("Which run").locator("option")).to_have_count(2)
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(f"{server.url}/playground")
    await page.get_by_role("searchbox", name="Search earlier prompts").fill("number 20")
    await expect(page.get_by_text("No prompt has these words.")).to_be_visible()


async def test_back_and_forward_go_between_runs(page: Page, server: Server) -> None:
    await page.goto("/playground")
    await run(page, "there and back", "fake/echo")
    await ended(page)
    answered = page.url
    await page.go_back()
    await expect(page).to_have_url(f"{server.url}/playground")
    await expect(page.get_by_role("heading", name="Earlier prompts")).to_be_visible()
    await page.go_forward()
    await expect(page).to_have_url(answered)
    await ended(page)
    assert await text_of(page, "fake/echo") == "there and back"


async def test_a_prompt_becomes_a_program_and_its_answers_files(page: Page, server: Server) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto("/playground")
    await run(page, "take me away", "fake/echo", "fake/slow", times=2)
    await ended(page)
    await page.get_by_role("button", name="Code", exact=True).click()
    dialog = page.get_by_role("dialog", name="As a program")
    await expect(dialog.locator('[data-f="code"]')).to_contain_text("curl")
    await dialog.get_by_role("radio", name="Python", exact=True).check()
    await dialog.get_by_label("Model").select_option("fake/slow")
    await expect(dialog.locator('[data-f="code"]')).to_contain_text('model="fake/slow"')
    await expect(dialog).to_contain_text("YEOUL_API_KEY")
    await dialog.get_by_role("button", name="Copy").click()
    assert "from openai import OpenAI" in await page.evaluate("navigator.clipboard.readText()")
    await page.keyboard.press("Escape")
    for name, rows in (("JSON", None), ("CSV", 4), ("JSONL", 4)):
        await page.get_by_text("Export", exact=True).click()
        async with page.expect_download() as download:
            await page.get_by_role("link", name=name, exact=True).click()
        data = (await (await download.value).path()).read_bytes()
        assert data.startswith(BOM_UTF8) == (name == "CSV"), "spreadsheets read Korean then"
        text = data.decode("utf-8-sig")
        assert "take me away" in text
        if name == "JSON":
            json.loads(text)
        else:
            assert len(list(csv.DictReader(io.StringIO(text))) if name == "CSV" else text.splitlines()) == rows
        assert (await download.value).suggested_filename.endswith(name.lower())


async def test_images_go_with_the_prompt_and_stay_with_it(page: Page, watch: Watch) -> None:
    await page.goto("/playground")
    await page.get_by_role("button", name="Images", exact=True).click()
    files = [_file("a.png", "image/png", PIXEL), _file("b.txt", "text/plain", b"x")]
    await page.locator('[data-part="images-file"]').set_input_files(files)
    await expect(page.get_by_text("b.txt is no PNG, JPEG, WebP or GIF.")).to_be_visible()
    await expect(page.get_by_role("img", name="a.png")).to_be_visible()
    await run(page, "what is it", "fake/echo")
    await ended(page)
    await page.reload()
    await expect(page.get_by_role("list", name="Images").get_by_role("img")).to_have_count(1)
    await expect(page.get_by_role("button", name="Images", exact=False).first).to_contain_text("1")
    watch.allowed.append("status of 500")
    await page.route("**/images/1", lambda route: route.fulfill(status=500, body="no image"))
    await page.reload()
    await page.get_by_role("button", name="Images", exact=False).first.click()
    await expect(page.get_by_text("The images could not be loaded. Add them again.")).to_be_visible()
    here = page.url
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("The images could not be loaded. Add them again.")).to_be_visible()
    assert page.url == here, "nothing is asked without them"
    await expect(page.get_by_role("list", name="Images").get_by_role("img")).to_have_count(0)


async def test_images_and_cases_are_dropped_and_images_pasted(page: Page) -> None:
    await page.goto("/playground")
    await prompt(page).fill("{{a}} {{b}}")
    await expect(page.get_by_label("b of case 1")).to_be_visible()
    await page.get_by_label("b of case 1").evaluate(GIVE, ["drop", "d.csv", "text/csv", [*b"a,b\n1,2\n"]])
    await expect(page.get_by_text("1 case from d.csv")).to_be_visible()
    await expect(page.get_by_label("b of case 1")).to_have_value("2")
    images = page.get_by_role("list", name="Images").get_by_role("img")
    await prompt(page).evaluate(GIVE, ["drop", "a.png", "image/png", [*PIXEL]])
    await expect(images).to_have_count(1)
    await prompt(page).evaluate(GIVE, ["paste", "b.png", "image/png", [*PIXEL]])
    await expect(images).to_have_count(2)
    await expect(prompt(page)).to_have_value("{{a}} {{b}}")
    words = await page.get_by_label("b of case 1").evaluate(WORDS_DROPPED)
    assert words is False, "words are the field's own business"
    await expect(page.get_by_label("b of case 1")).to_have_value("2")


async def test_a_link_shows_it_to_everybody_until_it_is_taken_back(
    page: Page, server: Server, new_context: NewContext, watch: Watch
) -> None:
    watch.allowed.append("status of 404")
    await page.goto("/playground")
    await run(page, "for all to see", "fake/echo", "fake/error-401")
    await ended(page)
    await page.get_by_role("button", name="Share", exact=True).click()
    dialog = page.get_by_role("dialog", name="Share")
    await dialog.get_by_role("button", name="Make a link").click()
    await expect(dialog.get_by_label("Link")).to_have_value(re.compile(f"^{server.url}/shared/"))
    link = await dialog.get_by_label("Link").input_value()
    stranger: BrowserContext = await new_context(server.url, locale="ko-KR")
    reader = await stranger.new_page()
    await reader.goto(link)
    await expect(reader.get_by_role("heading", name="공유된 프롬프트")).to_be_visible()
    await expect(reader.get_by_role("article", name="프롬프트")).to_contain_text("for all to see")
    assert await text_of(reader, "fake/echo") == "for all to see"
    await expect(column(reader, "fake/error-401")).to_contain_text("키")
    assert await reader.get_by_role("button", name="중지").count() == 0
    assert await reader.locator(".nav").count() == 0
    me = await (await page.context.request.get("/api/me")).json()
    assert me["email"] not in await reader.content()
    await dialog.get_by_role("button", name="Stop sharing").click()
    await page.get_by_role("dialog", name="Stop sharing?").get_by_role("button", name="Stop sharing").click()
    await expect(dialog.get_by_role("button", name="Make a link")).to_be_visible()
    await reader.reload()
    await expect(reader.get_by_text("이 링크는 열 수 없어요")).to_be_visible()
