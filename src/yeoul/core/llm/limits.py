"""Limits, holds and breakers of models, kept in PostgreSQL for all processes together.

::

    take ──► granted ──► the call ──► settle: tokens corrected, failures counted, a provider's pause noted
      │
      └───► not now ──► a job goes back to the queue until its turn; others are told when to come again

    breaker:  closed ── failures in a row ──► open ── its time is over ──► half-open: one call tries
                 ▲                              ▲                              │      │
                 └──────────────────────────────┼──── it succeeds ─────────────┘      │
                                                └──── it fails, twice as long ────────┘
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, LiteralString, NoReturn, Self
from uuid import UUID

import psycopg
import structlog
from prometheus_client import Counter, Gauge

from yeoul.core.base import json
from yeoul.core.base.errors import Unavailable
from yeoul.core.base.readiness import Note
from yeoul.core.db.database import Database, Row, is_away
from yeoul.core.llm import limit_queries as queries
from yeoul.core.llm import vendor_headers
from yeoul.core.llm.catalogue import Route
from yeoul.core.llm.errors import (
    ModelError,
    ModelHeld,
    ModelNotReady,
    ModelOverloaded,
    ModelRateLimited,
    ModelResting,
    ModelTimeout,
    ModelUnavailable,
    ModelWaitedTooLong,
)
from yeoul.core.llm.providers.registry import PROVIDERS
from yeoul.core.llm.schemas import CompletionRequest, Trouble, Usage
from yeoul.settings import Settings

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 60.0
REFRESH_SECONDS = 5.0
"""How old a gauge may be."""
_FORGET_EVERY = 12  # refreshes
_FRESH_SECONDS = 1.0
_JOB_WAITS_HERE = 0.5
"""Seconds a job waits in its worker rather than in the queue: a pause this short is not worth two events."""
_CALLER_WAITS_HERE = 5.0
_DATABASE_SECONDS = 20.0
_PROBE_SECONDS = 60.0
"""How long a call that tries a failed provider keeps others from trying, at most."""
_MOST_SERIES = 100
_TOKEN_BYTES = 3
"""Bytes of a token, rather few: English has about four, a Korean syllable is three and often a token."""
_MESSAGE_TOKENS = 4
_IMAGE_TOKENS = 1500
"""About what vendors count for a picture of the size they make of any."""

WAITS = Counter("yeoul_model_waits", "Calls that had to wait for their model.", ["model", "reason"])
BREAKER = Gauge("yeoul_model_breaker", "Breaker of a model: 0 closed, 1 half-open, 2 open.", ["model"])
HOLD = Gauge("yeoul_model_hold_seconds", "Seconds for which a provider asked not to be called.", ["model"])
WAITING = Gauge("yeoul_model_jobs_waiting", "Jobs waiting until their model takes calls.", ["model"])

Outcome = Literal["ok", "answered", "failed", "held", "left"]


@dataclass(frozen=True)
class Size:
    """Tokens a call will likely use: what is ``asked``, and the ``reply`` at most (null: nobody said)."""

    asked: int
    reply: int | None

    @classmethod
    def of(cls, request: CompletionRequest) -> Self:
        """That of a conversation; rather too many than too few."""
        texts = [message.content for message in request.messages] + ([request.system] if request.system else [])
        schema = [] if request.response_schema is None else [json.dumps(request.response_schema)]
        shown = len(request.images) * _IMAGE_TOKENS
        return cls(_tokens_of(texts + schema) + shown, request.parameters.max_tokens)

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Self:
        """That of texts that become vectors."""
        return cls(_tokens_of(texts), 0)


def _tokens_of(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) // _TOKEN_BYTES + _MESSAGE_TOKENS for text in texts)


@dataclass(frozen=True)
class Ask:
    """One call as the limits see it. ``caller`` is its job, null for one that does not wait in the queue."""

    route: Route
    caller: UUID | None
    arguments: Mapping[str, object]

    @classmethod
    def of(cls, settings: Settings, route: Route, size: Size, caller: UUID | None) -> Self:
        """A call of such a size, and what limits it."""
        scopes = [name for name in (route.provider.name,) if name in settings.model_limits] + [route.id]
        limits = [settings.model_limits.get(name) for name in scopes]
        return cls(
            route,
            caller,
            {
                "scopes": scopes,
                "limited": [name for name in scopes if name in settings.model_limits],
                "requests": [limit and limit.requests_per_minute for limit in limits],
                "tokens": [limit and limit.tokens_per_minute for limit in limits],
                "asked": size.asked,
                "reply": size.reply,
                "caller": caller,
                "patience": settings.model_wait_seconds,
                "probe_seconds": min(_PROBE_SECONDS, settings.model_timeout_seconds),
                "failures": settings.breaker_failures,
                "rest": settings.breaker_seconds,
            },
        )


def outcome_of(error: BaseException | None, *, begun: bool) -> Outcome:
    """What the end of a call says about its provider; ``begun``: it had sent text."""
    outcome: Outcome = "left"
    match error:
        case None:
            outcome = "ok"
        case ModelRateLimited():
            outcome = "held"
        case ModelTimeout() if begun:  # a long answer is none of its faults
            outcome = "answered"
        case ModelUnavailable() | ModelOverloaded() | ModelTimeout():
            outcome = "failed"
        case ModelNotReady():  # our fault
            outcome = "left"
        case ModelError():
            outcome = "answered"
    return outcome


class Turn:
    """A call that may be made now: ``async with`` it, say that it has ``begun`` to answer, and what it ``completed``.

    Afterwards ``rests`` says for how many seconds the model takes no calls. This one stands for no limits at all.
    """

    def __init__(self) -> None:
        self._completed = False
        self._usage: Usage | None = None
        self.begun = False
        self.rests = 0.0

    def completed(self, usage: Usage | None) -> None:
        """Notes that the whole answer is there, and what it used."""
        self._completed, self._usage = True, usage

    async def __aenter__(self) -> Self:
        """Begins."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody wants to know."""


class CountedTurn(Turn):
    """A turn that a ``Limiter`` gave."""

    def __init__(self, limiter: "Limiter", ask: Ask, granted: Mapping[str, Any]) -> None:
        super().__init__()
        self._limiter = limiter
        self._ask = ask
        self._granted = granted
        self._heard: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Listens to what the provider says in its headers."""
        vendor_headers.heard.set(self._heard)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Settles: the failures of a provider are known to all before this one tries again."""
        outcome = "ok" if self._completed else outcome_of(error, begun=self.begun)
        pause = vendor_headers.pause(self._heard, datetime.now(UTC))
        if outcome in ("ok", "left", "answered") and not self._granted["watched"] and pause is None:
            return
        usage = self._usage
        spent = None if usage is None else usage.input_tokens + usage.output_tokens
        if spent is None and not self.begun and outcome in ("failed", "held"):
            spent = 0
        said = error.retry_after if isinstance(error, ModelError) else None
        settling = self._limiter.settle(
            self._ask, self._granted, outcome, spent=spent, reply=None if usage is None else usage.output_tokens,
            hold=said if said is not None else pause,
        )  # fmt: skip
        if outcome in ("failed", "held", "ok"):
            self.rests = await settling
        else:
            self._limiter.later(settling)  # a task that is being cancelled has no time


class Limiter:
    """The limits of an installation, as one process asks for them.

    ``window`` is the length of a minute in seconds, and ``now`` the clock where it is not the database's: for tests.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        window: float = WINDOW_SECONDS,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Raises ``Unavailable`` for a limit of a provider that there is not: misspelt it would limit nothing."""
        for name in settings.model_limits:
            if (provider := name.partition("/")[0]) not in PROVIDERS:
                known = ", ".join(PROVIDERS)
                raise Unavailable(f"YEOUL_MODEL_LIMITS names the provider `{provider}`. There are: {known}.")
        self._settings = settings
        self._window = window
        self._clock = now
        self._line = database.line("limits")
        self._later: set[asyncio.Task[float]] = set()
        self._seen: tuple[float, list[Trouble]] | None = None
        self._task: asyncio.Task[NoReturn] | None = None

    def start(self) -> None:
        """Starts to keep the gauges fresh."""
        self._task = asyncio.create_task(self._refresh_forever(), name="model limits")

    async def aclose(self) -> None:
        """Settles what is left and closes the connections."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._later:
            await asyncio.wait(self._later, timeout=2)
        await self._line.close()

    async def turn(self, route: Route, size: Size, caller: UUID | None) -> Turn:
        """A turn to call a model, after a short wait where that is enough.

        Raises ``ModelHeld`` with the seconds after which to come again, ``ModelWaitedTooLong`` for a job that has done
        so for too long, and ``Unavailable`` when the database does not answer.
        """
        ask = Ask.of(self._settings, route, size, caller)
        patience = _CALLER_WAITS_HERE if caller is None else _JOB_WAITS_HERE
        while True:
            granted = await self.take(ask)
            if granted["granted"]:
                return CountedTurn(self, ask, granted)
            why, wait = granted["why"], granted["wait"]
            WAITS.labels(_label(route, self._settings), why).inc()
            if why == "late" or wait > patience:
                raise _refusal(route, why, wait, self._settings)
            patience -= wait
            await asyncio.sleep(wait)

    async def take(self, ask: Ask) -> Mapping[str, Any]:
        """Asks to make one call: the columns of ``queries.TAKE``."""
        (row,) = await self._fetch(queries.TAKE, {**ask.arguments, "window": self._window, "now": self._now()})
        return dict(zip(("granted", "why", "wait", "weight", "used_at", "probe", "watched"), row, strict=True))

    async def settle(
        self, ask: Ask, granted: Mapping[str, Any], outcome: Outcome, *,
        spent: int | None = None, reply: int | None = None, hold: float | None = None,
    ) -> float:  # fmt: skip
        """Says how a call ended; returns the seconds for which its model takes no calls.

        ``spent``: its tokens in all. ``reply``: those of the answer. ``hold``: the pause its provider asked for.
        A database that does not answer costs the correction, no more.
        """
        arguments = {
            **ask.arguments, "window": self._window, "now": self._now(), "outcome": outcome, "spent": spent,
            "reply": reply, "hold": hold, "used_at": granted["used_at"], "weight": granted["weight"],
            "probe": granted["probe"],
        }  # fmt: skip
        try:
            rows = await self._fetch(queries.SETTLE, arguments)
        except Unavailable as error:
            log.warning("could not say how a model call ended", model=ask.route.id, error=error.detail)
            return 0.0
        if rests := float(rows[0][0]):
            log.warning("model takes no calls", model=ask.route.id, outcome=outcome, seconds=round(rests, 1))
        return rests

    def later(self, settling: Any) -> None:  # noqa: ANN401  (a coroutine of settle)
        """Settles without being waited for."""
        task = asyncio.ensure_future(settling)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def troubles(self) -> list[Trouble]:
        """The models that take no calls or for which jobs wait, a second old at most. Raises ``psycopg.Error``."""
        now = asyncio.get_running_loop().time()
        if self._seen is None or now - self._seen[0] > _FRESH_SECONDS:
            rows = await self._line.fetch(queries.STATES)
            found = [
                Trouble(model=scope, breaker=_breaker(is_open=is_open, seconds=opens), retry_seconds=opens if is_open
                        else held, held_seconds=held, waiting=waiting)
                for scope, is_open, opens, held, waiting in rows
            ]  # fmt: skip
            self._seen = (now, found)
            _show(found)
        return self._seen[1]

    async def ready(self) -> str | None:
        """A note about providers that do not answer: it keeps nobody from working."""
        with contextlib.suppress(psycopg.Error, OSError):  # the check of the database tells
            open_ = [trouble for trouble in await self.troubles() if trouble.breaker != "closed"]
            words = [f"`{t.model}` is not answering, tried again in {t.retry_seconds:.0f} s" for t in open_]
            return Note("; ".join(words) + ".") if words else None
        return None

    async def _refresh_forever(self) -> NoReturn:
        count = 0
        while True:
            try:
                await self.troubles()
                count += 1
                if count % _FORGET_EVERY == 0:
                    await self._line.fetch(queries.FORGET)
            except (psycopg.Error, OSError) as error:
                log.debug("could not read the models' limits", error=str(error).strip())
            await asyncio.sleep(REFRESH_SECONDS)

    def _now(self) -> datetime | None:
        return None if self._clock is None else self._clock()

    async def _fetch(self, query: LiteralString, arguments: Mapping[str, object]) -> list[Row]:
        delay = 0.05
        try:
            async with asyncio.timeout(_DATABASE_SECONDS):
                while True:
                    try:
                        return await self._line.fetch(query, arguments)
                    except Exception as error:
                        if not is_away(error):
                            raise
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, 1)
        except TimeoutError:
            raise Unavailable(
                "The database that counts calls to models does not answer. Try again in a moment.", retry_after=5
            ) from None


def _show(found: list[Trouble]) -> None:
    for gauge in (BREAKER, HOLD, WAITING):
        gauge.clear()
    for trouble in found[:_MOST_SERIES]:
        BREAKER.labels(trouble.model).set(("closed", "half-open", "open").index(trouble.breaker))
        HOLD.labels(trouble.model).set(trouble.held_seconds)
        WAITING.labels(trouble.model).set(trouble.waiting)


def _breaker(*, is_open: bool, seconds: float) -> Literal["closed", "half-open", "open"]:
    return "closed" if not is_open else "open" if seconds > 0 else "half-open"


def _label(route: Route, settings: Settings) -> str:
    """A model's name in counters: those that nobody has listed share one, since clients may make them up."""
    listed = any(model.name == route.model.name for model in PROVIDERS[route.provider.name].models(settings))
    return route.id if listed or route.id in settings.model_limits else f"{route.provider.name}/other"


def _refusal(route: Route, why: str, wait: float, settings: Settings) -> ModelError:
    who, seconds = route.provider.title, f"{max(round(wait), 1):,} s"
    match why:
        case "late":
            return ModelWaitedTooLong(
                f"`{route.id}` took no calls for {settings.model_wait_seconds:g} seconds, the longest a job waits. "
                "Retry it later, choose another model, or have YEOUL_MODEL_WAIT_SECONDS raised.",
                model=route.id,
            )
        case "open":
            return ModelResting(
                f"{who} is not answering. It is tried again in about {seconds}.", retry_after=wait, model=route.id
            )
        case "held":
            words = f"{who} takes no calls to `{route.id}` for now. There is a turn again in about {seconds}."
        case _:
            words = f"The limit of calls to `{route.id}` is used up for now. There is a turn again in about {seconds}."
    return ModelHeld(words, retry_after=wait, model=route.id)
