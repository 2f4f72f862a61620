"""Executions with cases and checks: what is asked, what is found, and what judges say and cost."""

import csv
import io
import json
from typing import Any

import httpx
import pytest

from tests.conftest import Account
from tests.playground.conftest import Ended, Execute, Json, messages
from yeoul.core.db.database import Database

Results = dict[tuple[int, int, str], Any]


def by_place(shown: Json) -> Results:
    return {(one["iteration_number"], one["case_number"], one["model"]): one for one in shown["results"]}


async def test_every_case_with_every_model_each_time(execute: Execute, ended: Ended) -> None:
    made = await execute(
        system_prompt="speak {{ tongue }}", user_prompt="{{n}} words, 1 ms of {{tongue}}", iterations=2,
        models=["fake/slow", "fake/echo"], cases=[{"n": "1", "tongue": "여울"}, {"n": "2", "tongue": "{{n}}"}],
    )  # fmt: skip
    shown = await ended(made["execution_id"])
    found = by_place(shown)
    assert list(found) == [(n, case, model) for n in (1, 2) for case in (1, 2) for model in ("fake/slow", "fake/echo")]
    assert found[1, 1, "fake/echo"]["response_text"] == "1 words, 1 ms of 여울"
    assert found[2, 2, "fake/slow"]["response_text"] == "word1 word2 "
    assert found[1, 2, "fake/echo"]["response_text"] == "2 words, 1 ms of {{n}}", "a value is no template"
    assert shown["execution"]["cases"] == [{"n": "1", "tongue": "여울"}, {"n": "2", "tongue": "{{n}}"}]
    assert shown["execution"]["case_count"] == 2
    agreement = {one["model"]: one["agreement"] for one in shown["statistics"]}
    assert agreement == {"fake/slow": 1, "fake/echo": 1}, "answers to other cases are no disagreement"


CHECKS = [
    {"type": "contains", "value": "{{want}}", "name": "has it"},
    {"type": "max_length", "characters": 9},
    {"type": "regex", "pattern": "^h"},
]


async def test_checks_and_their_numbers(execute: Execute, ended: Ended) -> None:
    made = await execute(
        user_prompt="{{say}}", checks=CHECKS, models=["fake/echo", "fake/error-400"],
        cases=[{"say": "hello", "want": "ell"}, {"say": "hi", "want": "x"}, {"say": "hello there", "want": "there"}],
    )  # fmt: skip
    shown = await ended(made["execution_id"])
    found = by_place(shown)
    verdicts = [[check["passed"] for check in found[1, case, "fake/echo"]["checks"]] for case in (1, 2, 3)]
    assert verdicts == [[True, True, True], [False, True, True], [True, False, True]]
    first = found[1, 1, "fake/echo"]
    assert [(check["name"], check["type"]) for check in first["checks"]] == [
        ("has it", "contains"), ("at most 9 characters", "max_length"), ("matches ^h", "regex"),
    ]  # fmt: skip
    assert found[1, 2, "fake/echo"]["checks"][0]["detail"]
    assert found[1, 1, "fake/error-400"]["checks"] == []
    good, bad = shown["statistics"]
    assert good["pass_rate"] == pytest.approx(1 / 3)
    assert good["checks"] == [
        {"name": "has it", "passed": 2, "of": 3},
        {"name": "at most 9 characters", "passed": 2, "of": 3},
        {"name": "matches ^h", "passed": 3, "of": 3},
    ]
    assert (bad["pass_rate"], bad["checks"]) == (None, [])
    assert [one["judging"] for one in shown["results"]] == [None] * 6


async def test_without_checks_there_is_no_rate(execute: Execute, ended: Ended) -> None:
    shown = await ended((await execute())["execution_id"])
    assert (shown["statistics"][0]["pass_rate"], shown["statistics"][0]["checks"]) == (None, [])
    assert "cached" not in shown["results"][0]["tokens_used"]


async def test_a_judge_beside_the_stream(
    address: str, account: Account, execute: Execute, ended: Ended, database: Database
) -> None:
    judge = {"type": "judge", "model": "default", "rubric": "It greets {{whom}}.", "name": "polite"}
    made = await execute(
        user_prompt="{{say}}", checks=[judge], cases=[{"say": "hello", "whom": "you"}, {"say": "FAIL", "whom": "me"}]
    )
    said = [(kind, data) async for _, kind, data in messages(address, account, made["execution_id"])]
    chunks = [data["content"] for kind, data in said if kind == "chunk"]
    assert sorted(chunks) == ["FAIL", "hello"]
    assert {data["case"] for kind, data in said if kind != "end"} == {1, 2}
    shown = await ended(made["execution_id"])
    assert shown["execution"]["checks"][0]["model"] == "fake/echo", "the judge is the same in every replay"
    found = [one["checks"][0] for one in shown["results"]]
    assert [one["passed"] for one in found] == [True, False]
    assert all(one["detail"] for one in found)
    for one in shown["results"]:
        assert one["tokens_used"]["input"] == 1, "the judge's tokens are not the answer's"
        assert one["judging"]["input"] > 10
        assert one["cost_usd"] == one["judging"]["cost_usd"]
    async with database.service_connection() as connection:
        steps = await (await connection.execute("SELECT split_part(name, ' ', 1) FROM steps ORDER BY 1")).fetchall()
    assert steps == [("answer",), ("answer",), ("judge",), ("judge",)]


async def test_a_judge_that_fails_leaves_the_answer(execute: Execute, ended: Ended) -> None:
    judge = {"type": "judge", "model": "fake/error-400", "rubric": "It is good."}
    shown = await ended((await execute(checks=[judge, {"type": "contains", "value": "hello"}]))["execution_id"])
    assert shown["status"] == "completed"
    first, second = shown["results"][0]["checks"]
    assert (first["passed"], second["passed"]) == (None, True)
    assert "could not be asked" in first["detail"]
    assert shown["statistics"][0]["pass_rate"] == 0


async def test_an_answer_in_a_form(execute: Execute, ended: Ended) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    made = await execute(
        user_prompt="seven is 7", response_schema=schema, checks=[{"type": "json_schema", "schema": schema}]
    )
    shown = await ended(made["execution_id"])
    assert json.loads(shown["results"][0]["response_text"]) == {"n": 7}
    assert shown["results"][0]["checks"][0]["passed"] is True


SCHEMA = {"type": "object"}
VALID: Json = {"user_prompt": "{{a}} {{b}}", "selected_model": "fake/echo"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "`a`"),
        ({"cases": [{"a": "1", "b": "2"}, {"a": "1"}]}, "Case 2 has no value for `b`"),
        ({"cases": [{"a": "1", "b": "2"}], "checks": [{"type": "equals", "value": "{{c}}"}]}, "`c`"),
        ({"cases": []}, "cases"),
        ({"cases": [{"1a": "x"}]}, "cases"),
        ({"cases": [{"a": "1", "b": "2"}] * 200, "iterations": 6}, "1,200 answers; 1,000 is the most"),
        ({"cases": [{"a": "1", "b": "2"}] * 201}, "cases"),
        ({"cases": [{"a": "x" * 1_100_000, "b": ""}]}, "cases have"),
        ({"user_prompt": "x", "checks": [{"type": "regex", "pattern": "("}]}, "pattern"),
        ({"user_prompt": "x", "checks": [{"type": "max_length", "characters": 1, "name": "n"}] * 2}, "two checks"),
        ({"user_prompt": "x", "checks": [{"type": "judge", "model": "no/body", "rubric": "r"}]}, "no/body"),
        ({"user_prompt": "x", "response_schema": {"type": "objekt"}}, "response_schema"),
        ({"user_prompt": "x", "response_schema": SCHEMA, "selected_model": "fake/slow"}, "fake/slow"),
        ({"user_prompt": "x", "images": [{"media_type": "image/png", "data": "AAAA"}]}, "images"),
        ({"user_prompt": "x", "timeout_seconds": 0}, "timeout_seconds"),
        ({"user_prompt": "x", "timeout_seconds": 1801}, "timeout_seconds"),
        ({"user_prompt": "x", "max_cost_usd": 0}, "max_cost_usd"),
        ({"user_prompt": "x", "name": ""}, "name"),
    ],
)
async def test_refused(
    client: httpx.AsyncClient, account: Account, database: Database, change: Json, said: str
) -> None:
    answer = await client.post("/api/prompts/execute", json=VALID | change, headers=account.headers)
    assert answer.status_code == (404 if "no/body" in said else 422), answer.text
    assert said in answer.text
    async with database.service_connection() as connection:
        for table in ("playground_prompts", "jobs WHERE kind = 'playground.iteration'"):
            rows = await (await connection.execute(f"SELECT count(*) FROM {table}")).fetchall()  # noqa: S608
            assert rows == [(0,)]


async def test_again_with_all_of_it(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended
) -> None:
    made = await execute(
        user_prompt="{{a}}", cases=[{"a": "1"}, {"a": "2"}], iterations=2, timeout_seconds=60, max_cost_usd=5,
        checks=[{"type": "equals", "value": "{{a}}"}, {"type": "judge", "model": "fake/echo", "rubric": "r"}],
        concurrency=1,
    )  # fmt: skip
    answer = await client.post(f"/api/prompts/{made['execution_id']}/execute", headers=account.headers)
    assert answer.status_code == 202, answer.text
    first, second = await ended(made["execution_id"]), await ended(answer.json()["execution_id"])
    own = {"id", "status", "started_at", "completed_at", "created_at", "updated_at"}
    kept = [{name: one["execution"][name] for name in one["execution"].keys() - own} for one in (first, second)]
    assert kept[0] == kept[1]
    assert kept[0]["cases"] == [{"a": "1"}, {"a": "2"}]
    same = ("iteration_number", "case_number", "model", "response_text", "checks", "tokens_used", "judging")
    assert [[one[name] for name in same] for one in first["results"]] == [
        [one[name] for name in same] for one in second["results"]
    ]


async def test_a_file_of_it(client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended) -> None:
    check = {"type": "contains", "value": "{{want}}", "name": "=1+1"}
    made = await execute(
        user_prompt="{{say}}", checks=[check], cases=[{"say": "=2", "want": "2"}, {"say": "b", "want": "@x"}]
    )
    shown = await ended(made["execution_id"])
    path = f"/api/prompts/{made['prompt_id']}/export"
    plain = await client.get(f"{path}?format=csv", headers=account.headers)
    rows = list(csv.DictReader(io.StringIO(plain.text, newline="")))
    names = ("case_number", "response_text", "{{say}}", "{{want}}", "check: =1+1")
    assert [[row[name] for name in names] for row in rows] == [
        ["1", "'=2", "'=2", "2", "passed"],
        ["2", "b", "b", "'@x", "failed"],
    ]
    assert rows[1]["detail: =1+1"] == "'" + shown["results"][1]["checks"][0]["detail"]
    as_json = (await client.get(f"{path}?format=json", headers=account.headers)).json()["results"]
    assert [one.pop("case") for one in as_json] == shown["execution"]["cases"]
    assert as_json == shown["results"]


async def test_a_program_asks_one_case(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended
) -> None:
    made = await execute(user_prompt="say {{word}}", cases=[{"word": "one"}, {"word": "two {{word}}"}])
    path = f"/api/prompts/{made['prompt_id']}/code"
    answer = await client.get(f"{path}?case=2", headers=account.headers)
    assert '"say two {{word}}"' in answer.json()["code"]
    answer = await client.get(f"{path}?case=3", headers=account.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "no_such_snippet")
    assert "its execution has 2" in answer.json()["detail"]
    await ended(made["execution_id"])


async def test_a_table_of_cases(client: httpx.AsyncClient, account: Account) -> None:
    text = '\ufeffword;expected\nhello;"a;b"\n여울;=1\n'.encode()
    headers = account.headers | {"Content-Type": "text/csv"}
    answer = await client.post("/api/prompts/cases", content=text, headers=headers)
    assert answer.json() == {
        "columns": ["word", "expected"],
        "cases": [{"word": "hello", "expected": "a;b"}, {"word": "여울", "expected": "=1"}],
    }
    answer = await client.post("/api/prompts/cases", content=b"a,b\n1,2\n3\n", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_table")
    assert "Row 3" in answer.json()["detail"]
    assert (await client.post("/api/prompts/cases", content=text)).status_code == 401


async def test_a_value_too_often(execute: Execute, ended: Ended) -> None:
    made = await execute(user_prompt="{{a}}" * 100, cases=[{"a": "x" * 100_000}])
    shown = await ended(made["execution_id"])
    assert shown["results"][0]["error_code"] == "bad_cases"
    assert "10,000,000 characters" in shown["results"][0]["error_message"]
