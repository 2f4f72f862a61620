"""The playground's scripts by themselves, in the browser they are for."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.e2e.conftest import IN_BROWSER, Server

pytestmark = IN_BROWSER

LOAD = """const load = (name) => import(document.querySelector('script[type=module]').src
  .replace('js/main.js', `products/playground/js/${name}.js`));"""
STATUS = {
    "status": "running",
    "execution": {"models": ["a/x", "b/y"], "iterations": 2, "cases": None},
    "results": [],
    "pending": [],
    "statistics": [],
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scripts(browser: Browser, server: Server) -> AsyncGenerator[Page]:
    """A page from which the scripts can be loaded; no test changes it."""
    context = await browser.new_context(base_url=server.url)
    page = await context.new_page()
    await page.goto("/shared/01890000-0000-4000-8000-000000000000")
    yield page
    await context.close()


APPLY = f"""async ({{status, messages}}) => {{
  {LOAD}
  const {{Board}} = await load('board');
  const board = new Board(status);
  for (const [type, data] of messages) board.apply(type, data, 0);
  const shown = ({{state, text, attempt, retrying, jobId}}) =>
    ({{state, text, attempt, retrying: retrying?.attempt ?? null, jobId}});
  return Object.fromEntries([...board.lanes].map(([key, one]) => [key, shown(one)]));
}}"""


def _result(text: str | None, **more: Any) -> dict[str, Any]:
    found = {"model": "a/x", "iteration": 1, "case": 1, "job_id": "j", "updated_at": "1", "response_text": text}
    return {**found, "status": "completed", "error_code": None, **more}


AT = {"model": "a/x", "iteration": 1, "case": 1}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], {"state": "queued", "text": ""}),
        (
            [["started", {**AT, "attempt": 1}], ["chunk", {**AT, "content": "a"}], ["chunk", {**AT, "content": "b"}]],
            {"state": "running", "text": "ab", "attempt": 1},
        ),
        (
            [["chunk", {**AT, "content": "void"}], ["retrying", {**AT, "attempt": 2, "in_seconds": 1, "error": None}]],
            {"state": "retrying", "text": "", "retrying": 2},
        ),
        (
            [["chunk", {**AT, "content": "old"}], ["reset", AT], ["chunk", {**AT, "content": "new"}]],
            {"state": "running", "text": "new"},
        ),
        (
            [["chunk", {**AT, "content": "a"}], ["complete", _result("a!")], ["chunk", {**AT, "content": "late"}]],
            {"state": "completed", "text": "a!", "jobId": "j"},
        ),
        (
            [["chunk", {**AT, "content": "ab"}], ["error", _result("a", status="error", error_code="canceled")]],
            {"state": "canceled", "text": "a"},  # what the server keeps, as every other tab shows it
        ),
        (
            [["error", _result(None, status="error", error_code="model_error")]],
            {"state": "error", "text": ""},
        ),
    ],
)
async def test_messages_add_up_to_a_board(scripts: Page, messages: list[Any], expected: dict[str, Any]) -> None:
    lanes = await scripts.evaluate(APPLY, {"status": STATUS, "messages": messages})
    lane = lanes.pop("1/1/a/x")
    assert {name: lane[name] for name in expected} == expected
    assert [one["state"] for one in lanes.values()] == ["queued"] * 3


AGAIN = f"""async () => {{
  {LOAD}
  const [{{Board}}, {{Columns}}] = [await load('board'), await load('columns')];
  const at = {{model: 'm', iteration_number: 1, case_number: 1}};
  const failed = {{...at, job_id: 'first', updated_at: '1', response_text: null, status: 'error',
    error_code: 'model_error', error_message: '', checks: []}};
  const status = (results, pending = []) => ({{status: 'failed', results, pending, statistics: [],
    execution: {{models: ['m'], iterations: 1, cases: null}}}});
  const asked = {{...at, job_id: 'second', status: 'running'}};
  const board = new Board(status([failed]));
  const [lane] = board.lanes.values();
  const root = document.createElement('div');
  document.body.append(root);
  const columns = new Columns(root, board, new AbortController().signal);
  const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const seen = [];
  const take = async (changed) => {{
    columns.changed(...changed);
    await frame();
    const notice = root.querySelector('[data-f=error]');
    seen.push([lane.state, lane.text, notice.hidden]);
  }};
  await take([lane]);
  await take(board.update(status([failed], [asked])));
  board.apply('chunk', {{model: 'm', iteration: 1, case: 1, content: 'of the first job'}});
  await take([board.apply('chunk', {{model: 'm', iteration: 1, case: 1, job_id: 'second', content: 'new'}})]);
  await take(board.update(status([failed])));         // read before it was asked again
  await take(board.update(status([failed]), [lane]));  // it was stopped: what was counts again
  await take(board.update(status([{{...failed, job_id: 'third', updated_at: '2', response_text: 'mended',
    status: 'completed', error_code: null, tokens_used: null, cost_usd: null, response_time_ms: null,
    first_token_ms: null, finish_reason: null}}])));
  root.remove();
  return seen;
}}"""


async def test_an_answer_that_is_asked_again(scripts: Page) -> None:
    """State, text, and whether no error is shown."""
    assert await scripts.evaluate(AGAIN) == [
        ["error", "", False],
        ["running", "", True],
        ["running", "new", True],
        ["running", "new", True],
        ["error", "", False],
        ["completed", "mended", True],
    ]


async def test_whatever_arrives_is_drawn_once_a_frame(scripts: Page) -> None:
    """Ten columns of fast tokens: a thousand pieces each are one change of each text, and nothing is drawn anew."""
    drawn = await scripts.evaluate(f"""async () => {{
      {LOAD}
      const [{{Board}}, {{Columns}}] = [await load('board'), await load('columns')];
      const models = Array.from({{length: 10}}, (_, n) => `m/${{n}}`);
      const execution = {{models, iterations: 1, cases: null}};
      const board = new Board({{status: 'running', execution, results: [], pending: [], statistics: []}});
      const root = document.createElement('div');
      document.body.append(root);
      const columns = new Columns(root, board, new AbortController().signal);
      const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
      const say = (content) => {{
        for (const model of models) columns.changed(board.apply('chunk', {{model, iteration: 1, case: 1, content}}));
      }};
      say('first ');
      await frame();
      const nodes = [...root.querySelectorAll('.pg-text')].map(text => text.firstChild);
      const seen = [];
      new MutationObserver(records => seen.push(...records))
        .observe(root, {{childList: true, subtree: true, characterData: true}});
      for (let n = 0; n < 1000; n += 1) say(`w${{n}} `);
      await frame();
      const texts = [...root.querySelectorAll('.pg-text')];
      root.remove();
      return {{
        changes: seen.length,
        appended: seen.filter(one => one.type === 'characterData').length,
        same: texts.every((text, i) => text.firstChild === nodes[i] && text.childNodes.length === 1),
        words: texts[9].textContent.trim().split(' ').length,
      }};
    }}""")
    assert drawn == {"changes": 10, "appended": 10, "same": True, "words": 1001}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\nc\td\n", [["a", "b"], ["c", "d"]]),
        ("one", [["one"]]),
        ('"two\nlines"\t"say ""hi"""\r\nx\t', [["two\nlines", 'say "hi"'], ["x", ""]]),
        ('5" pipe\tx', [['5" pipe', "x"]]),
        ("", []),
    ],
)
async def test_rows_of_a_spreadsheet(scripts: Page, text: str, expected: list[list[str]]) -> None:
    assert (
        await scripts.evaluate(f"async (text) => {{ {LOAD} return (await load('sheet')).rowsOf(text); }}", text)
        == expected
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi {{ name }}, from {{city}} and {{name}}", ["name", "city"]),
        ("{{1a}} {name} {{a b}} {{}}", []),
        ("{{_x1}}", ["_x1"]),
        ("{{\ta }} {{b\n}} {{ c\u00a0}}", ["a"]),
    ],
)
async def test_variables_of_a_prompt(scripts: Page, text: str, expected: list[str]) -> None:
    found = await scripts.evaluate(
        f"async (text) => {{ {LOAD} return (await load('prompts')).variablesOf(text); }}", text
    )
    assert found == expected


async def test_an_estimate_counts_calls_and_what_is_known_of_prices(scripts: Page) -> None:
    said = await scripts.evaluate(f"""async () => {{
      {LOAD}
      const {{estimate}} = await load('estimate');
      const paid = {{prices: {{input: '2', output: '10'}}}}, free = {{prices: {{input: '0', output: '0'}}}};
      const given = {{iterations: 2, cases: 3, texts: 'x'.repeat(4000), maxTokens: null}};
      return [
        estimate({{...given, models: [free]}}),
        estimate({{...given, models: [paid, free]}}),
        estimate({{...given, models: [paid], maxTokens: 1000}}),
        estimate({{...given, models: [paid, {{prices: null}}]}}),
        estimate({{...given, models: [paid], cases: 501}}),
        estimate({{...given, models: []}}),
      ];
    }}""")
    assert said == [
        "6 calls · free",
        "12 calls · about $0.012 to read, answers extra",
        "6 calls · at most about $0.072",
        "12 calls · price unknown",
        "1,002 calls: 1,000 at most.",
        "",
    ]
