"""The scripts' own rules, in the browser they are for."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.e2e.conftest import IN_BROWSER, Server
from tests.e2e.words import ask, finished

pytestmark = IN_BROWSER

DOCUMENTS = {
    "blocks": "# One\n\nText *with* **marks**.\n\n- a\n- b\n  - c\n\n1. x\n\n2. y\n\n> quoted\n> more\n\n---\n\nEnd.",
    "code": "Before\n\n```js\nconst a = '**not bold**';\n\n# no heading\n```\n\nAfter `x` and ``a ` b``.",
    "table": "| a | b |\n|---|:-:|\n| 1 | **2** |\n| 3 | 4 |\n\nDone.",
    "setext": "Line\nmore\n===\n\nnext\n---\n\nlast",
    "references": "See [the site][1] and [again][1].\n\nMore text here.\n\nAnd more.\n\n[1]: https://example.com/\n",
    "markup": "<div>\nblock\n</div>\n\ninline <b>x</b> & &amp; < >\n\n<!-- gone -->\n\nend",
    "korean": "여울은 **물살**이 빠른 곳이에요.\n\n* 하나\n* 둘\n\n끝.",
    "windows": "one\r\n\r\ntwo\r\n\r\n- a\r\n- b\r\n\r\nthree\r\n",
    "unclosed": "a **b and `c\n\n[d](https://exam",
}

GROW = """async ({text, step}) => {
  const url = new URL('markdown.js', document.querySelector('script[type=module]').src);
  const {Prose} = await import(url);
  const whole = document.createElement('div'), grown = document.createElement('div');
  new Prose(whole).update(text, {done: true});
  const prose = new Prose(grown);
  let redrawn = 0;
  for (let end = step; end < text.length; end += step) {
    const before = [...grown.children].slice(0, -2);
    prose.update(text.slice(0, end));
    redrawn += before.filter(node => !node.isConnected && node.parentNode !== grown).length;
  }
  prose.update(text, {done: true});
  return {whole: whole.innerHTML, grown: grown.innerHTML, redrawn};
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scripts(browser: Browser, server: Server) -> AsyncGenerator[Page]:
    """A page from which the scripts can be loaded; no test changes it."""
    context = await browser.new_context(base_url=server.url)
    page = await context.new_page()
    await page.goto("/signin")
    yield page
    await context.close()


@pytest.mark.parametrize("step", [1, 3, 17])
@pytest.mark.parametrize("name", DOCUMENTS)
async def test_markdown_that_grows_ends_as_if_drawn_at_once(scripts: Page, name: str, step: int) -> None:
    drawn: dict[str, Any] = await scripts.evaluate(GROW, {"text": DOCUMENTS[name], "step": step})
    assert drawn["grown"] == drawn["whole"]
    assert drawn["whole"]
    assert drawn["redrawn"] == 0  # what stands, stands


async def test_a_long_answer_costs_no_more_per_piece_than_a_short_one(scripts: Page) -> None:
    """A hundred pieces at the end of 200 KB are drawn in the time of a few frames, not of a few hundred."""
    took = await scripts.evaluate("""async () => {
      const {Prose} = await import(new URL('markdown.js', document.querySelector('script[type=module]').src));
      const prose = new Prose(document.createElement('div'));
      let text = 'A paragraph with **marks** and `code` that goes on for a while.\\n\\n'.repeat(3000);
      prose.update(text);
      const start = performance.now();
      for (let n = 0; n < 100; n += 1) prose.update(text += 'word ');
      return performance.now() - start;
    }""")
    assert took < 500


async def test_half_written_marks_do_not_show(scripts: Page) -> None:
    texts = await scripts.evaluate("""async () => {
      const {Prose} = await import(new URL('markdown.js', document.querySelector('script[type=module]').src));
      const texts = ['a **bo', 'a **bold*', 'x `co', 'see [the site](https://exa', '| a | b |\\n', '| a | b |\\n|--'];
      return texts.map(text => {
        const root = document.createElement('div');
        new Prose(root).update(text);
        return root.innerHTML;
      });
    }""")
    bold, closing, code, link, head, rule = texts
    assert bold == "<p>a <strong>bo</strong></p>"
    assert closing == "<p>a <strong>bold</strong></p>"
    assert code == "<p>x <code>co</code></p>"
    assert link == "<p>see the site</p>"
    assert "<th>a</th>" in head
    assert "<th>b</th>" in rule


async def test_lists_boxes_and_columns_are_what_the_text_says(scripts: Page) -> None:
    drawn = await scripts.evaluate("""async () => {
      const {Prose} = await import(new URL('markdown.js', document.querySelector('script[type=module]').src));
      const root = document.createElement('div');
      new Prose(root).update('7. a\\n8. b\\n\\n- [x] done\\n\\n| a | b |\\n|---|--:|\\n| 1 | 2 |', {done: true});
      const list = root.querySelector('ol'), box = root.querySelector('input'), cell = root.querySelector('td + td');
      return [list.start, box.type, box.checked, box.disabled, cell.align];
    }""")
    assert drawn == [7, "checkbox", True, True, "right"]


APPLY = """async (events) => {
  const {Transcript} = await import(new URL('transcript.js', document.querySelector('script[type=module]').src));
  const transcript = new Transcript();
  for (const [type, data, seq] of events) transcript.apply(type, data, seq, 0);
  const {status, text, attempt, retrying, position} = transcript;
  return {status, text, attempt, retrying: retrying && retrying.attempt, position, over: transcript.over};
}"""


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([["queued", {"position": 3}, None]], {"status": "queued", "position": 3, "text": ""}),
        (
            [["started", {"attempt": 1}, 1], ["text", {"delta": "a"}, 2], ["text", {"delta": "b"}, 3]],
            {"status": "running", "text": "ab"},
        ),
        (
            [
                ["started", {"attempt": 1}, 1],
                ["text", {"delta": "kept "}, 2],
                ["text", {"delta": "void"}, 4],
                ["retrying", {"attempt": 2, "void_after": 3, "in_seconds": 1, "error": None}, 5],
            ],
            {"status": "queued", "text": "kept ", "retrying": 2},
        ),
        (
            [
                ["text", {"delta": "old"}, 2],
                ["retrying", {"attempt": 2, "void_after": 0, "in_seconds": 0, "error": None}, 3],
                ["started", {"attempt": 2}, 4],
                ["text", {"delta": "new"}, 5],
                ["succeeded", {"output": {"text": "new!"}}, 6],
            ],
            {"status": "succeeded", "text": "new!", "attempt": 2, "retrying": None, "over": True},
        ),
        ([["text", {"delta": "x"}, 2], ["reset", {}, None]], {"status": "queued", "text": ""}),
        ([["text", {"delta": "x"}, 2], ["canceled", {}, 3]], {"status": "canceled", "text": "x", "over": True}),
    ],
)
async def test_events_add_up_to_a_transcript(scripts: Page, events: list[Any], expected: dict[str, Any]) -> None:
    found = await scripts.evaluate(APPLY, events)
    assert {name: found[name] for name in expected} == expected


async def test_an_answer_in_parts_of_a_letter_is_drawn_whole(page: Page) -> None:
    await page.goto("/")
    await ask(page, '{"steps": [{"text": "\\ud83c\\udf0a 여"}, {"text": "울 "}, "끝"]}', "fake/script")
    await finished(page)
    assert (await page.locator(".prose").inner_text()).strip() == "🌊 여울 끝"
