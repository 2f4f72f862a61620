"""However often a reader loses its connection, it ends up with what an uninterrupted one has, byte for byte."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.events.reading import Reader
from yeoul.core.events.hub import EventHub

TERMINAL = {"succeeded", "failed"}
ATTEMPTS = 4
"""As many as a job has: a script that fails more often is not told to its end."""

STEPS = st.lists(
    st.one_of(
        st.builds(lambda n: {"do": "text", "n": n}, st.integers(1, 40)),
        st.builds(lambda n: {"do": "emit", "n": n}, st.integers(0, 20)),
        st.builds(lambda n: {"do": "wait", "n": n}, st.integers(1, 30)),
        st.just({"do": "step"}),
        st.just({"do": "fail"}),
    ),
    max_size=40,
).filter(lambda steps: sum(step["do"] == "fail" for step in steps) < ATTEMPTS)
SCRIPTS = st.fixed_dictionaries({"steps": STEPS, "ends": st.sampled_from(["well", "badly"])})
CUTS = st.lists(st.lists(st.integers(1, 1500), max_size=12), min_size=3, max_size=3)
PAUSES = st.lists(st.sampled_from([0, 0, 0.005, 0.05]), min_size=3, max_size=3)

slowly = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def valid_text(events: list[tuple[int | None, str, str]]) -> str:
    """What a client shows in the end: it forgets what ``retrying`` says is void."""
    pieces: list[tuple[int | None, str]] = []
    for seq, kind, data in events:
        if kind == "text":
            pieces.append((seq, json.loads(data)["delta"]))
        elif kind == "retrying":
            void_after = json.loads(data)["void_after"]
            pieces = [(seq, delta) for seq, delta in pieces if seq is not None and seq <= void_after]
    return "".join(delta for _, delta in pieces)


async def submit(http: httpx.AsyncClient, body: object) -> UUID:
    answer = await http.post("/api/jobs", json={"kind": "test.script", "input": body})
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["id"])


@slowly
@given(SCRIPTS, CUTS, PAUSES)
async def test_over_http(http: httpx.AsyncClient, script: object, cuts: list[list[int]], pauses: list[float]) -> None:
    job_id = await submit(http, script)

    def reader() -> Reader:
        return Reader(http, f"/api/jobs/{job_id}/events")

    async def interrupted(sizes: list[int], pause: float) -> list[bytes]:
        it = reader()
        for size in sizes:
            if await it.read(size):
                break
            await asyncio.sleep(pause)
        assert await it.read()
        return it.frames

    async def whole() -> list[bytes]:
        it = reader()
        assert await it.read()
        return it.frames

    async with asyncio.timeout(60):
        live, *others = await asyncio.gather(whole(), *map(interrupted, cuts, pauses))
        replayed = await whole()
    assert others == [live] * len(others)
    assert replayed == live
    heads = [frame.split(b"\n") for frame in live]
    assert [int(head[0].removeprefix(b"id: ")) for head in heads] == list(range(1, len(live) + 1))
    kinds = [head[1].removeprefix(b"event: ").decode() for head in heads]
    assert [kind for kind in kinds if kind in TERMINAL] == [kinds[-1]]
    assert kinds.count("started") == kinds.count("retrying") + 1
    shown = (await http.get(f"/api/jobs/{job_id}")).json()
    assert (shown["status"], shown["attempt"]) == (kinds[-1], kinds.count("started"))


@slowly
@given(SCRIPTS, CUTS, PAUSES)
async def test_over_the_hub(
    app: FastAPI, http: httpx.AsyncClient, script: dict[str, Any], cuts: list[list[int]], pauses: list[float]
) -> None:
    job_id = await submit(http, script)
    hub: EventHub = app.state.services.events

    async def read(after: int, most: int | None) -> list[tuple[int | None, str, str]]:
        said: list[tuple[int | None, str, str]] = []
        async with hub.subscribe(job_id, after) as subscription:
            async for batch in subscription.batches():
                for event in batch:
                    if event.seq is None:
                        continue  # its place in the queue, for who happens to watch
                    said.append((event.seq, event.type, event.data))
                    if len(said) == most:
                        return said
        return said

    async def interrupted(sizes: list[int], pause: float) -> list[tuple[int | None, str, str]]:
        said: list[tuple[int | None, str, str]] = []
        for size in sizes:
            said += await read(len(said), 1 + size % 7)
            if said and said[-1][1] in TERMINAL:
                return said
            await asyncio.sleep(pause)
        return said + await read(len(said), None)

    async with asyncio.timeout(60):
        live, *others = await asyncio.gather(read(0, None), *map(interrupted, cuts, pauses))
    assert others == [live] * len(others)
    assert [seq for seq, _, _ in live] == list(range(1, len(live) + 1))
    assert await read(0, None) == live
    if not any(step["do"] == "step" for step in script["steps"]):
        assert valid_text(live) == "".join(
            f"{number}·{'가' * step['n']}" for number, step in enumerate(script["steps"]) if step["do"] == "text"
        )
