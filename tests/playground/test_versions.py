"""Versions of prompts: what makes one, what it is called, what two differ in."""

import asyncio
import time
from base64 import b64encode
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Account, Register
from tests.core.llm.pictures import GIF, PNG
from tests.playground.conftest import Ended, Execute, Json
from yeoul.playground.versions.diff import lines


def picture(data: bytes, kind: str) -> Json:
    return {"media_type": f"image/{kind}", "data": b64encode(data).decode()}


@pytest.fixture
def get(client: httpx.AsyncClient, account: Account) -> Any:
    async def read(path: str, **query: object) -> Json:
        answer = await client.get(f"/api/prompts/{path}", params=query, headers=account.headers)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    return read


async def test_a_family(execute: Execute, get: Any, ended: Ended) -> None:
    first = await execute(name="greeting", user_prompt="one")
    second = await execute(version_of=first["prompt_id"], user_prompt="two")
    third = await execute(version_of=first["prompt_id"], user_prompt="two", parameters={"max_tokens": 9})
    again = await execute(version_of=second["prompt_id"], user_prompt="two", models=["fake/slow"], iterations=2)
    assert again["prompt_id"] == second["prompt_id"]
    for made in (first, second, third, again):
        await ended(made["execution_id"])
    page = await get(f"{second['execution_id']}/versions", limit=2)
    assert [(one["version"], one["executions"], one["name"]) for one in page["items"]] == [
        (3, 1, "greeting"),
        (2, 2, "greeting"),
    ]
    rest = await get(f"{first['prompt_id']}/versions", limit=2, cursor=page["next_cursor"])
    assert [one["version"] for one in rest["items"]] == [1]
    assert rest["next_cursor"] is None
    assert {one["family_id"] for one in page["items"] + rest["items"]} == {first["prompt_id"]}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"name": None},
        {"system_prompt": "be brief"},
        {"parameters": {"max_tokens": 6}},
        {"response_schema": {"type": "object"}},
        {"images": [picture(GIF, "gif")]},
        {"images": []},
    ],
)
async def test_whatever_differs_makes_a_version(change: Json, execute: Execute, get: Any) -> None:
    given: Json = {
        "name": "n", "user_prompt": "x", "parameters": {"max_tokens": 5}, "images": [picture(PNG, "png")],
    }  # fmt: skip
    first = await execute(**given)
    same = await execute(**given, version_of=first["prompt_id"])
    assert same["prompt_id"] == first["prompt_id"]
    changed = await execute(**(given | change), version_of=first["prompt_id"])
    shown = await get(changed["prompt_id"])
    assert (shown["prompt"]["version"], shown["prompt"]["family_id"]) == (2, first["prompt_id"])
    difference = await get(f"{changed['prompt_id']}/diff", against=first["prompt_id"])
    assert [one["name"] for one in difference["fields"]] == list(change)


async def test_many_at_once_have_different_numbers(execute: Execute, get: Any) -> None:
    first = await execute(user_prompt="0")
    await asyncio.gather(*(execute(version_of=first["prompt_id"], user_prompt=str(n)) for n in range(1, 7)))
    page = await get(f"{first['prompt_id']}/versions")
    assert [one["version"] for one in page["items"]] == [7, 6, 5, 4, 3, 2, 1]


async def test_labels_move(client: httpx.AsyncClient, account: Account, execute: Execute, get: Any) -> None:
    first = await execute(user_prompt="one")
    second = await execute(version_of=first["prompt_id"], user_prompt="two")

    async def put(prompt_id: str, label: str) -> httpx.Response:
        return await client.put(f"/api/prompts/{prompt_id}/labels/{label}", headers=account.headers)

    assert (await put(first["prompt_id"], "production")).json()["labels"] == ["production"]
    assert (await put(first["prompt_id"], "a.b-c_1")).json()["labels"] == ["a.b-c_1", "production"]
    assert (await put(second["execution_id"], "production")).json()["labels"] == ["production"]
    assert [one["labels"] for one in (await get(f"{first['prompt_id']}/versions"))["items"]] == [
        ["production"],
        ["a.b-c_1"],
    ]
    both = await asyncio.gather(*(put(made["prompt_id"], "beta") for made in (first, second)))
    assert [answer.status_code for answer in both] == [200, 200]
    for bad in ("Production", "-x", "x" * 41, "%20"):
        assert (await put(first["prompt_id"], bad)).status_code == 422
    path = f"/api/prompts/{first['prompt_id']}/labels/production"
    gone = await client.delete(path, headers=account.headers)
    assert (gone.status_code, gone.json()["code"]) == (404, "label_not_found")
    path = f"/api/prompts/{second['prompt_id']}/labels/production"
    assert (await client.delete(path, headers=account.headers)).status_code == 204
    assert "production" not in (await get(second["prompt_id"]))["prompt"]["labels"]


async def test_the_rest_of_a_family_outlives_a_version(
    client: httpx.AsyncClient, account: Account, execute: Execute, get: Any
) -> None:
    first = await execute(user_prompt="one")
    second = await execute(version_of=first["prompt_id"], user_prompt="two")
    await client.delete(f"/api/prompts/{first['prompt_id']}", headers=account.headers)
    third = await execute(version_of=second["prompt_id"], user_prompt="three")
    page = await get(f"{third['prompt_id']}/versions")
    assert [one["version"] for one in page["items"]] == [3, 2]
    assert {one["family_id"] for one in page["items"]} == {first["prompt_id"]}


async def test_a_difference_line_by_line(execute: Execute, get: Any) -> None:
    first = await execute(user_prompt="one\ntwo\nthree\n", system_prompt="s")
    second = await execute(user_prompt="one\n2\nthree", version_of=first["prompt_id"])
    found = await get(f"{second['prompt_id']}/diff", against=first["prompt_id"])
    assert (found["from"], found["to"]) == (first["prompt_id"], second["prompt_id"])
    system, user = found["fields"]
    assert system == {"name": "system_prompt", "lines": [{"op": "removed", "text": "s"}]}
    assert [(line["op"], line["text"]) for line in user["lines"]] == [
        ("same", "one"), ("removed", "two"), ("added", "2"), ("same", "three"), ("removed", ""),
    ]  # fmt: skip
    assert (await get(f"{second['prompt_id']}/diff", against=second["execution_id"]))["fields"] == []


def test_a_difference_holds_both_texts_and_takes_no_minutes() -> None:
    texts = [
        (["a"] * 50, ["a"] * 40),
        ([str(n % 7) for n in range(1000)], [str(n % 5) for n in range(1000)]),
        ([str(n) for n in range(100_000)], [str(n) for n in range(0, 100_000, 2)]),
        ([], ["x"]),
    ]
    for before, after in texts:
        began = time.process_time()
        found = lines(before, after)
        assert time.process_time() - began < 5
        assert [line.text for line in found if line.op != "added"] == before
        assert [line.text for line in found if line.op != "removed"] == after


async def test_two_executions_side_by_side(execute: Execute, ended: Ended, get: Any) -> None:
    first = await execute(user_prompt="one")
    second = await execute(user_prompt="two", version_of=first["prompt_id"])
    left, right = await ended(first["execution_id"]), await ended(second["execution_id"])
    found = await get("compare", left=first["execution_id"], right=second["prompt_id"])
    assert (found["left"], found["right"]) == (left, right)
    assert [one["name"] for one in found["diff"]["fields"]] == ["user_prompt"]


async def test_anothers(client: httpx.AsyncClient, register: Register, execute: Execute) -> None:
    made = await execute()
    other = await register("jun")
    body = {"user_prompt": "x", "selected_model": "fake/echo"}
    own = (await client.post("/api/prompts/execute", json=body, headers=other.headers)).json()
    theirs, mine = made["prompt_id"], own["prompt_id"]
    for method, path in (
        ("GET", f"{theirs}/versions"), ("GET", f"{mine}/diff?against={theirs}"), ("PUT", f"{theirs}/labels/x"),
        ("GET", f"compare?left={mine}&right={theirs}"), ("DELETE", f"{theirs}/labels/x"),
        ("GET", f"{theirs}/images/1"), ("POST", f"{theirs}/iterations/{uuid4()}/cancel"),
    ):  # fmt: skip
        answer = await client.request(method, f"/api/prompts/{path}", headers=other.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "prompt_not_found"), path
    answer = await client.post("/api/prompts/execute", json=body | {"version_of": theirs}, headers=other.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "prompt_not_found")


async def test_images_are_kept_as_they_came(client: httpx.AsyncClient, account: Account, execute: Execute) -> None:
    made = await execute(images=[picture(PNG, "png"), picture(GIF, "gif")])
    shown = (await client.get(f"/api/prompts/{made['prompt_id']}", headers=account.headers)).json()["prompt"]
    assert shown["images"] == [
        {"media_type": "image/png", "bytes": len(PNG)},
        {"media_type": "image/gif", "bytes": len(GIF)},
    ]
    for number, data in ((1, PNG), (2, GIF)):
        answer = await client.get(f"/api/prompts/{made['prompt_id']}/images/{number}", headers=account.headers)
        assert answer.content == data
        assert answer.headers["content-type"] == shown["images"][number - 1]["media_type"]
    answer = await client.get(f"/api/prompts/{made['prompt_id']}/images/3", headers=account.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")
