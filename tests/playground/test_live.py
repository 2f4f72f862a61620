"""The live channel over server-sent events: interleaved, resumable anywhere, true to the rows."""

import asyncio
import itertools
import random
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.conftest import Account
from tests.playground.conftest import Ended, Execute, Json, messages, script
from yeoul.core.base.errors import InvalidInput
from yeoul.core.db.database import Database
from yeoul.playground.cursors import TOLD, Cursor, decode

Said = list[tuple[str, str, Json]]

WORDS = "20 words, 5 ms"
TEXT = "".join(f"word{n} " for n in range(1, 21))


async def heard(address: str, account: Account, either: str, after: str | None = None) -> Said:
    async with asyncio.timeout(60):
        return [one async for one in messages(address, account, either, after)]


def texts(said: Said) -> dict[tuple[int, str], str]:
    """What a client has on its screen in the end."""
    columns: dict[tuple[int, str], str] = {}
    for _, kind, data in said:
        if kind == "end":
            continue
        key = data["iteration"], data["model"]
        if kind == "chunk":
            columns[key] = columns.get(key, "") + data["content"]
        elif kind in {"retrying", "reset"}:
            columns[key] = ""
    return columns


async def test_every_iteration_to_its_end(address: str, account: Account, execute: Execute, ended: Ended) -> None:
    made = await execute(models=["fake/slow", "fake/error-400"], user_prompt=WORDS, iterations=3)
    said = await heard(address, account, made["execution_id"])
    kinds = [kind for _, kind, _ in said]
    assert kinds[-1] == "end"
    assert (kinds.count("complete"), kinds.count("error"), kinds.count("end")) == (3, 3, 1)
    assert texts(said) == {(n, "fake/slow"): TEXT for n in (1, 2, 3)}
    chunks = [data["iteration"] for _, kind, data in said if kind == "chunk"]
    switches = sum(a != b for a, b in itertools.pairwise(chunks))
    assert switches > 3, "the iterations come one after another, not together"
    shown = await ended(made["execution_id"])
    rows = {(one["iteration_number"], one["model"]): one for one in shown["results"]}
    for _, kind, data in said:
        if kind in {"complete", "error"}:
            row: dict[str, Any] = rows[data["iteration"], data["model"]]
            assert data == {"type": kind, "iteration": data["iteration"], "case": 1, **row}
    assert said[-1][2]["status"] == "partial"
    assert said[-1][2]["completed_at"] == shown["execution"]["completed_at"]


async def test_left_and_resumed_at_any_message(address: str, account: Account, execute: Execute) -> None:
    made = await execute(models=["fake/slow", "fake/echo"], user_prompt="5 words, 1 ms", iterations=2)
    whole = await heard(address, account, made["execution_id"])
    for left in (0, 1, len(whole) // 2, len(whole) - 3, len(whole) - 2):
        rest = await heard(address, account, made["execution_id"], whole[left][0])
        assert texts(whole[: left + 1] + rest) == texts(whole)
        ends = sorted(
            (data["iteration"], data["model"]) for _, kind, data in whole[: left + 1] + rest if kind == "complete"
        )
        assert ends == [(1, "fake/echo"), (1, "fake/slow"), (2, "fake/echo"), (2, "fake/slow")]


async def test_left_midway_and_come_back(address: str, account: Account, execute: Execute) -> None:
    made = await execute(selected_model="fake/slow", user_prompt="60 words, 10 ms", iterations=4)
    said: Said = []
    async for one in messages(address, account, made["execution_id"]):
        said.append(one)
        if sum(kind == "chunk" for _, kind, _ in said) > 10:
            break
    said += await heard(address, account, made["execution_id"], said[-1][0])
    assert set(texts(said).values()) == {"".join(f"word{n} " for n in range(1, 61))}


async def test_nothing_after_the_end(
    client: httpx.AsyncClient, address: str, account: Account, execute: Execute
) -> None:
    made = await execute(iterations=3)
    last = (await heard(address, account, made["execution_id"]))[-1][0]
    answer = await client.get(
        f"/api/prompts/{made['prompt_id']}/events", params={"after": last}, headers=account.headers
    )
    assert answer.status_code == 204


async def test_what_a_failed_attempt_said_is_void(address: str, account: Account, execute: Execute) -> None:
    prompt = script("half an ", {"error": 500, "after_ms": 30})
    made = await execute(selected_model="fake/script", user_prompt=prompt)
    said = await heard(address, account, made["execution_id"])
    kinds = [kind for _, kind, _ in said]
    assert kinds.count("retrying") == 2
    assert kinds[-2:] == ["error", "end"]
    assert said[-2][2]["error_code"] == "model_unavailable"
    assert texts(said)[1, "fake/script"] == said[-2][2]["response_text"] == "half an "


async def test_when_the_events_are_past_their_time(
    address: str, account: Account, execute: Execute, database: Database
) -> None:
    made = await execute(models=["fake/echo", "fake/error-400"])
    whole = await heard(address, account, made["execution_id"])
    async with database.service_connection() as connection:
        await connection.execute("DELETE FROM jobs")
        await connection.execute("DELETE FROM events")
    said = await heard(address, account, made["execution_id"])
    assert [kind for _, kind, _ in said] == ["complete", "error", "end"]
    by_kind = {kind: data for _, kind, data in whole}
    assert [data for _, _, data in said] == [by_kind["complete"], by_kind["error"], by_kind["end"]]
    assert [kind for _, kind, _ in await heard(address, account, made["execution_id"], said[0][0])] == ["error", "end"]
    assert await heard(address, account, made["execution_id"], said[1][0]) == []


async def test_the_server_stops(app: FastAPI, address: str, account: Account, execute: Execute) -> None:
    made = await execute(selected_model="fake/slow", user_prompt="100000 words, 20 ms")
    said = []
    async with asyncio.timeout(20):
        async for _, kind, _ in messages(address, account, made["execution_id"]):
            said.append(kind)
            if kind == "chunk":
                app.state.services.events.end_all()
    assert "end" not in said


async def test_deleted_while_watched(
    client: httpx.AsyncClient, address: str, account: Account, execute: Execute
) -> None:
    made = await execute(selected_model="fake/slow", user_prompt="100000 words, 20 ms")
    said = []
    async with asyncio.timeout(20):
        async for _, kind, data in messages(address, account, made["execution_id"]):
            said.append((kind, data))
            if kind == "chunk" and len(said) == 2:
                await client.delete(f"/api/prompts/{made['prompt_id']}", headers=account.headers)
    assert [kind for kind, _ in said[-2:]] == ["error", "end"]
    assert said[-2][1]["error_code"] == "deleted"


def test_cursors() -> None:
    for seqs in ([0], [0, 0, 0], [1, 35, 36, 0], [2**56, 7], [TOLD, TOLD, 3, TOLD, 0, 0], [TOLD] * 5, [0, TOLD]):
        assert decode(str(Cursor(seqs)), len(seqs)) == seqs
    assert str(Cursor([0] * 1000)) == "*1000"
    assert decode(None, 3) == [0, 0, 0]


def test_a_cursor_that_moves() -> None:
    """Whatever order iterations begin and end in, it says the same as one written anew; and it stays short."""
    chance = random.Random(7)
    cursor, seqs, running, longest = Cursor([0] * 1000), [0] * 1000, list(range(8)), 0
    while running:
        number = chance.choice(running)
        seqs[number] = chance.choice([seqs[number] + 1] * 9 + [TOLD]) if seqs[number] != 0 else 1
        cursor.move(number, seqs[number])
        if seqs[number] == TOLD:
            running.remove(number)
            running += [new for new in [max([*running, number]) + 1] if new < 1000 and seqs[new] == 0]
        assert decode(str(cursor), 1000) == seqs
        longest = max(longest, len(str(cursor)))
    assert set(seqs) == {TOLD}
    assert str(cursor) == "-*1000"
    assert longest < 300


@pytest.mark.parametrize("cursor", ["1", "1.2.3.4", "1.2.x!", "1.-2.3", "1.2.zzzzzzzzzzzzz", "*9", "-*2", "1.*99999"])
async def test_a_cursor_of_something_else(
    cursor: str, client: httpx.AsyncClient, account: Account, execute: Execute
) -> None:
    with pytest.raises(InvalidInput):
        decode(cursor, 3)
    made = await execute(iterations=3)
    answer = await client.get(f"/api/prompts/{made['prompt_id']}/events?after={cursor}", headers=account.headers)
    assert answer.status_code == 422
