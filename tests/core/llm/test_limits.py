"""The arithmetic of limits on a real PostgreSQL, with a clock of our own."""

import itertools
import random
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from tests.conftest import add_user
from yeoul.core.base.errors import Unavailable
from yeoul.core.base.ids import new_id
from yeoul.core.base.readiness import Note
from yeoul.core.db.database import Database
from yeoul.core.llm.catalogue import Catalogue, Route
from yeoul.core.llm.errors import ModelHeld
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.limits import Ask, Limiter, Size
from yeoul.core.llm.schemas import CompletionRequest, EmbeddingRequest, Parameters
from yeoul.setting_types import ModelLimit
from yeoul.settings import Settings

MODEL = "fake/echo"
START = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A clock, and one limiter per process that reads it."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.now = START
        self._settings = settings
        self._database = database
        self.made: list[Limiter] = []

    def settings(self, **changed: Any) -> Settings:
        return self._settings.model_copy(update=changed)

    def limiter(self) -> Limiter:
        self.made.append(Limiter(self._settings, self._database, now=lambda: self.now))
        return self.made[-1]

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def seconds(self) -> float:
        return (self.now - START).total_seconds()


@pytest.fixture
async def world(settings: Settings, database: Database) -> AsyncGenerator[World]:
    made = World(settings, database)
    yield made
    for limiter in made.made:
        await limiter.aclose()


def ask(
    settings: Settings, *, caller: UUID | None = None, words: str = "", reply: int | None = None, model: str = MODEL
) -> Ask:
    route: Route = Catalogue(settings).route(model)
    request = CompletionRequest.ask(words or "x", model=model, parameters=Parameters(max_tokens=reply))
    return Ask.of(settings, route, Size.of(request), caller)


def limits(requests: int | None = None, tokens: int | None = None, of: str = MODEL) -> dict[str, ModelLimit]:
    return {of: ModelLimit(requests_per_minute=requests, tokens_per_minute=tokens)}


async def test_no_limit_lets_everything_through_and_writes_nothing(world: World, database: Database) -> None:
    limiter = world.limiter()
    for _ in range(100):
        granted = await limiter.take(ask(world.settings()))
        assert granted["granted"]
        assert not granted["watched"]
    async with database.service_connection() as connection:
        rows = await (await connection.execute("SELECT count(*) FROM model_meters")).fetchone()
    assert rows == (0,)


async def test_requests_of_a_minute_are_shared_by_all_processes(world: World) -> None:
    settings = world.settings(model_limits=limits(requests=5))
    processes = [world.limiter(), world.limiter()]
    granted = [(await processes[n % 2].take(ask(settings)))["granted"] for n in range(8)]
    assert granted == [True] * 5 + [False] * 3
    refused = await processes[0].take(ask(settings))
    assert (refused["why"], refused["wait"]) == ("spent", pytest.approx(61, abs=1.01))
    world.forward(59)
    assert not (await processes[1].take(ask(settings)))["granted"]
    world.forward(2.1)
    assert (await processes[1].take(ask(settings)))["granted"]


async def test_waiting_jobs_come_back_one_after_another_in_their_order(world: World) -> None:
    settings = world.settings(model_limits=limits(requests=6))
    limiter = world.limiter()
    for _ in range(6):
        assert (await limiter.take(ask(settings)))["granted"]
    jobs = [new_id() for _ in range(20)]
    due = {job: (await limiter.take(ask(settings, caller=job)))["wait"] for job in jobs}
    gaps = [later - sooner for sooner, later in itertools.pairwise(due.values())]
    assert gaps == [pytest.approx(10.2)] * 19  # 60 s / 6: as the limit refills, no herd
    assert min(due.values()) > 60

    for job in jobs:  # everybody comes when told: nobody is sent away twice
        world.now = START + timedelta(seconds=due[job])
        assert (await limiter.take(ask(settings, caller=job)))["granted"]


async def test_who_comes_later_does_not_overtake_who_waits(world: World) -> None:
    settings = world.settings(model_limits=limits(requests=1))
    limiter = world.limiter()
    assert (await limiter.take(ask(settings)))["granted"]
    first, second = new_id(), new_id()
    wait = (await limiter.take(ask(settings, caller=first)))["wait"]
    world.forward(wait)  # there is room now, and it is theirs
    later = await limiter.take(ask(settings, caller=second))
    assert (later["granted"], later["why"]) == (False, "spent")
    assert not (await limiter.take(ask(settings)))["granted"]
    assert (await limiter.take(ask(settings, caller=first)))["granted"]


async def waiting_job(database: Database, owner: UUID, *, priority: int = 5) -> UUID:
    """A job that a worker has."""
    async with database.service_connection() as connection:
        job = new_id()
        await connection.execute(
            "INSERT INTO jobs (id, owner_id, kind, priority, input, max_attempts, root_id)"
            " VALUES (%s, %s, 'llm.complete', %s, '{}', 1, %s)",
            [job, owner, priority, job],
        )
    return job


async def test_who_has_many_jobs_in_the_line_delays_others_by_one(world: World, database: Database) -> None:
    settings = world.settings(model_limits=limits(requests=1))
    limiter = world.limiter()
    assert (await limiter.take(ask(settings)))["granted"]
    many, few = await add_user(database), await add_user(database)
    flood = [await waiting_job(database, many) for _ in range(20)]
    due = {job: (await limiter.take(ask(settings, caller=job)))["wait"] for job in flood}
    single, urgent = await waiting_job(database, few), await waiting_job(database, few, priority=7)
    wait = (await limiter.take(ask(settings, caller=single)))["wait"]
    assert due[flood[0]] < wait <= due[flood[1]]
    assert (await limiter.take(ask(settings, caller=urgent)))["wait"] <= due[flood[0]]  # priorities come first

    served: list[UUID] = []
    due |= {single: wait, urgent: due[flood[0]]}
    while len(served) < 6:
        job = min(due, key=lambda job: due[job])
        world.now = max(world.now, START + timedelta(seconds=due.pop(job)))
        answer = await limiter.take(ask(settings, caller=job))
        if answer["granted"]:
            served.append(job)
            await limiter.settle(ask(settings, caller=job), answer, "ok")
        else:
            due[job] = world.seconds + answer["wait"]
    assert served == [urgent, flood[0], single, *flood[1:4]]


async def test_a_place_nobody_comes_for_holds_up_nobody_for_long(world: World) -> None:
    settings = world.settings(model_limits=limits(requests=1))
    limiter = world.limiter()
    assert (await limiter.take(ask(settings)))["granted"]
    gone = new_id()  # canceled while it waited
    world.forward((await limiter.take(ask(settings, caller=gone)))["wait"] + 10)
    assert (await limiter.take(ask(settings)))["granted"]


async def test_tokens_are_guessed_before_and_corrected_after(world: World) -> None:
    settings = world.settings(model_limits=limits(tokens=1000))
    limiter = world.limiter()
    big = ask(settings, words="x" * 600, reply=400)  # 200 + 4 + 400
    granted = await limiter.take(big)
    assert granted["granted"]
    assert granted["weight"] == 604
    assert (await limiter.take(big))["why"] == "spent"
    await limiter.settle(big, granted, "ok", spent=150, reply=50)
    again = await limiter.take(big)
    assert again["granted"]
    assert again["weight"] == 254  # its answers have had 50 tokens
    await limiter.settle(big, again, "ok", spent=2000, reply=50)  # far more than guessed
    assert (await limiter.take(ask(settings)))["why"] == "spent"
    world.forward(62)
    assert (await limiter.take(ask(settings)))["granted"]


async def test_a_call_larger_than_the_limit_gets_a_minute_of_its_own(world: World) -> None:
    settings = world.settings(model_limits=limits(tokens=100))
    limiter = world.limiter()
    small, huge, job = ask(settings, reply=10), ask(settings, words="x" * 3000, reply=1, caller=new_id()), new_id()
    assert (await limiter.take(small))["granted"]
    wait = (await limiter.take(huge))["wait"]
    assert 60 <= wait < 63
    world.forward(30)
    assert not (await limiter.take(ask(settings, reply=10, caller=job)))["granted"]  # or it would wait for ever
    world.forward(wait - 30)
    assert (await limiter.take(huge))["granted"]
    assert not (await limiter.take(small))["granted"]


async def test_the_limit_of_a_provider_counts_all_its_models(world: World) -> None:
    settings = world.settings(model_limits=limits(requests=2, of="fake") | limits(requests=5, of="fake/slow"))
    limiter = world.limiter()
    assert (await limiter.take(ask(settings)))["granted"]
    assert (await limiter.take(ask(settings, model="fake/slow")))["granted"]
    assert not (await limiter.take(ask(settings)))["granted"]
    assert not (await limiter.take(ask(settings, model="fake/slow")))["granted"]


@pytest.mark.parametrize("seed", range(3))
async def test_never_more_than_the_limit_in_any_minute(world: World, seed: int) -> None:
    """Whatever comes when, of newcomers and of those who wait: no window of 60 s has more than one call above it."""
    chance = random.Random(seed)
    requests, tokens = chance.choice([7, 20]), chance.choice([800, 3000])
    settings = world.settings(model_limits=limits(requests=requests, tokens=tokens))
    limiter = world.limiter()
    waiting: dict[UUID, tuple[float, Ask]] = {}
    passed: list[tuple[float, int]] = []
    waited: list[float] = []
    while world.seconds < 300:
        due = min((at for at, _ in waiting.values()), default=1e9)
        world.now = max(world.now, START + timedelta(seconds=min(due, world.seconds + chance.expovariate(2))))
        job = next((job for job, (at, _) in waiting.items() if at <= world.seconds + 1e-6), None)
        asks = waiting.pop(job)[1] if job is not None else None
        if asks is None:
            job = new_id()
            asks = ask(settings, caller=job, words="x" * chance.randrange(300), reply=chance.randrange(1, 200))
        answer = await limiter.take(asks)
        assert job is not None
        if answer["granted"]:
            passed.append((world.seconds, answer["weight"]))
            await limiter.settle(asks, answer, "ok", spent=answer["weight"])
        else:
            assert answer["wait"] > 0
            waited.append(answer["wait"])
            waiting[job] = (world.seconds + answer["wait"], asks)
    assert waited
    largest = max(weight for _, weight in passed)
    for start, _ in passed:
        window = [weight for at, weight in passed if start <= at < start + 60]
        assert len(window) <= requests
        assert sum(window) <= tokens + largest
    # and the limit is made use of: in 4 minutes at least three quarters of what it allows, in calls or in tokens
    used = [weight for at, weight in passed if 60 <= at < 300]
    assert len(used) > 3 * requests or sum(used) > 3 * tokens


async def test_the_pause_a_provider_asks_for_holds_for_all(world: World) -> None:
    settings, job = world.settings(), new_id()
    one, other = world.limiter(), world.limiter()
    granted = await one.take(ask(settings))
    assert await one.settle(ask(settings), granted, "held", hold=30) == pytest.approx(30)
    refused = await other.take(ask(settings, caller=job))
    assert (refused["why"], refused["wait"]) == ("held", pytest.approx(30))
    assert (await other.take(ask(settings, model="fake/slow")))["granted"]  # another model
    world.forward(30)
    assert (await other.take(ask(settings, caller=job)))["granted"]


async def test_a_provider_that_does_not_say_how_long_is_left_alone_longer_each_time(world: World) -> None:
    settings, limiter = world.settings(), world.limiter()
    rests = []
    for _ in range(8):
        rests.append(await limiter.settle(ask(settings), await limiter.take(ask(settings)), "held"))
        world.forward(rests[-1])
    assert rests == [pytest.approx(seconds) for seconds in (1, 2, 4, 8, 16, 32, 60, 60)]
    await limiter.settle(ask(settings), await limiter.take(ask(settings)), "ok")
    assert await limiter.settle(ask(settings), await limiter.take(ask(settings)), "held") == pytest.approx(1)


async def test_the_breaker_opens_is_tried_by_one_and_closes(world: World) -> None:
    settings = world.settings(breaker_failures=3, breaker_seconds=10)
    one, other = world.limiter(), world.limiter()
    asks = ask(settings)

    async def fail(limiter: Limiter) -> float:
        return await limiter.settle(asks, await limiter.take(asks), "failed")

    assert [await fail(one), await fail(other)] == [0, 0]
    await one.settle(asks, await one.take(asks), "ok")  # in a row means in a row
    assert [await fail(one), await fail(other), await fail(one)] == [0, 0, pytest.approx(10)]
    refused = await other.take(asks)
    assert (refused["why"], refused["wait"]) == ("open", pytest.approx(10))
    world.forward(10)
    probe = await one.take(asks)
    assert (probe["granted"], probe["probe"]) == (True, True)
    assert (await other.take(asks))["why"] == "open"  # one at a time
    assert await one.settle(asks, probe, "failed") == pytest.approx(20)  # twice as long
    world.forward(20)
    probe = await other.take(asks)
    assert (await one.take(asks))["why"] == "open"
    assert await other.settle(asks, probe, "ok") == 0
    assert not (await one.take(asks))["probe"]
    assert await fail(one) == 0  # and it counts from the beginning


async def test_the_users_mistakes_open_nothing(world: World) -> None:
    settings = world.settings(breaker_failures=2)
    limiter, asks = world.limiter(), ask(settings)
    for _ in range(10):
        assert await limiter.settle(asks, await limiter.take(asks), "answered") == 0
        assert await limiter.settle(asks, await limiter.take(asks), "failed") == 0


@pytest.mark.parametrize("outcome", ["answered", "held"])
async def test_a_provider_that_answers_anything_closes_its_breaker(world: World, outcome: Any) -> None:
    settings = world.settings(breaker_failures=1, breaker_seconds=10)
    limiter, asks = world.limiter(), ask(settings)
    await limiter.settle(asks, await limiter.take(asks), "failed")
    world.forward(10)
    await limiter.settle(asks, await limiter.take(asks), outcome, hold=5 if outcome == "held" else None)
    world.forward(5)
    again = await limiter.take(asks)
    assert (again["granted"], again["probe"]) == (True, False)


async def test_a_try_whose_process_died_is_tried_by_another(world: World) -> None:
    settings = world.settings(breaker_failures=1, breaker_seconds=10)
    dead, alive, asks = world.limiter(), world.limiter(), ask(settings)
    await dead.settle(asks, await dead.take(asks), "failed")
    world.forward(10)
    assert (await dead.take(asks))["probe"]
    world.forward(59)
    assert not (await alive.take(asks))["granted"]
    world.forward(2)
    assert (await alive.take(asks))["probe"]


async def test_a_try_that_was_canceled_leaves_room_for_another(world: World) -> None:
    settings = world.settings(breaker_failures=1, breaker_seconds=10)
    limiter, asks = world.limiter(), ask(settings)
    await limiter.settle(asks, await limiter.take(asks), "failed")
    world.forward(10)
    await limiter.settle(asks, await limiter.take(asks), "left")
    assert (await limiter.take(asks))["probe"]


async def test_switched_off_the_breaker_stays_closed(world: World) -> None:
    settings = world.settings(breaker_failures=0)
    limiter, asks = world.limiter(), ask(settings)
    for _ in range(20):
        assert await limiter.settle(asks, await limiter.take(asks), "failed") == 0


async def test_a_job_waits_so_long_and_no_longer(world: World) -> None:
    settings = world.settings(breaker_failures=1, breaker_seconds=10, model_wait_seconds=25)
    limiter, asks = world.limiter(), ask(settings)
    waits = ask(settings, caller=new_id())
    await limiter.settle(asks, await limiter.take(asks), "failed")
    assert (await limiter.take(waits))["wait"] == pytest.approx(10)
    world.forward(10)
    await limiter.settle(asks, await limiter.take(asks), "failed")
    assert (await limiter.take(waits))["wait"] == pytest.approx(15)  # not 20: that is its end
    world.forward(15)
    assert (await limiter.take(waits))["why"] == "late"


async def test_what_is_shown_of_it(settings: Settings, database: Database) -> None:
    settings = settings.model_copy(update={"breaker_failures": 1, "breaker_seconds": 100})
    limiter = Limiter(settings, database)
    try:
        assert await limiter.ready() is None
        asks = ask(settings)
        await limiter.settle(asks, await limiter.take(asks), "failed")
        await limiter.take(ask(settings, caller=new_id()))
        other = Limiter(settings, database)
        note = await other.ready()
        (trouble,) = await other.troubles()
        await other.aclose()
        assert isinstance(note, Note)
        assert "`fake/echo` is not answering, tried again in" in note
        assert (trouble.model, trouble.breaker, trouble.waiting) == (MODEL, "open", 1)
        assert 90 < trouble.retry_seconds <= 100
    finally:
        await limiter.aclose()


def test_a_misspelt_provider_is_refused(settings: Settings, database: Database) -> None:
    misspelt = settings.model_copy(update={"model_limits": limits(requests=1, of="opnai")})
    with pytest.raises(Unavailable, match="names the provider `opnai`"):
        Limiter(misspelt, database)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "must be a JSON object"),
        ('{"openai": {}}', "give requests_per_minute, tokens_per_minute or both"),
        ('{"openai": {"requests_per_minute": 0}}', "greater than or equal to 1"),
        ('{"openai": {"rpm": 5}}', "Extra inputs are not permitted"),
        ('{"OpenAI": {"requests_per_minute": 5}}', "neither `provider` nor `provider/model`"),
    ],
)
def test_what_the_setting_does_not_take(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YEOUL_MODEL_LIMITS", text)
    with pytest.raises(ValidationError, match=said):
        Settings(_env_file=None)


def test_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "YEOUL_MODEL_LIMITS", '{"openai": {"requests_per_minute": 5}, "openai/gpt-x": {"tokens_per_minute": 9}}'
    )
    assert Settings(_env_file=None).model_limits == limits(requests=5, of="openai") | limits(
        tokens=9, of="openai/gpt-x"
    )


async def test_embeddings_are_calls_too(world: World, settings: Settings, database: Database) -> None:
    """Of a limited model: as many as fit, then a pause; a job has a place in the line."""
    chosen = settings.model_copy(update={"model_limits": limits(2, of="fake/embedding"), "fake_models": True})
    limiter = Limiter(chosen, database, now=lambda: world.now)
    gateway = Gateway(chosen, limiter=limiter)
    try:
        request = EmbeddingRequest(model="fake/embedding", texts=["one", "two"])
        for _ in range(2):
            assert len((await gateway.embed(request)).vectors) == 2
        with pytest.raises(ModelHeld) as held:
            await gateway.embed(request, caller=new_id())
        assert 0 < (held.value.retry_after or 0) <= 61
        world.forward(61)
        await gateway.embed(request)
    finally:
        await gateway.aclose()
        await limiter.aclose()
