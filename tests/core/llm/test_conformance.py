"""What every provider must do, shown against servers that talk as the vendors do."""

import asyncio
from contextlib import aclosing
from decimal import Decimal

import pytest

from tests.core.llm.conftest import Open
from tests.core.llm.server import Answer, Asked, Script, Server
from tests.core.llm.vendors import (
    FILTER,
    LENGTH,
    STOP,
    VENDORS,
    Anthropic,
    Compatible,
    Gemini,
    OpenAI,
    Perplexity,
    Vendor,
)
from yeoul.core.llm.errors import (
    ContentFiltered,
    ContextTooLong,
    ModelAuthFailed,
    ModelError,
    ModelOverloaded,
    ModelQuotaExceeded,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    RequestRejected,
    UnknownModel,
)
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.providers.base import KnownModel
from yeoul.core.llm.providers.registry import PROVIDERS
from yeoul.core.llm.schemas import Completed, CompletionRequest, Message, Parameters, TextDelta, Usage

every_vendor = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)


def says(vendor: Vendor, *texts: str, finish: str = STOP) -> Script:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        for event in vendor.events(texts, finish):
            await answer.piece(event)
        await answer.end()

    return script


def fails(status: int, body: object, headers: dict[str, str] | None = None) -> Script:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json(status, body, headers)

    return script


async def ask(gateway: Gateway, vendor: Vendor, **fields: object) -> tuple[list[str], Completed]:
    items = [item async for item in gateway.stream(CompletionRequest.ask("hi", model=vendor.model, **fields))]  # type: ignore[arg-type]
    last = items.pop()
    assert isinstance(last, Completed)
    return [item.text for item in items if isinstance(item, TextDelta)], last


@every_vendor
async def test_text_comes_as_it_is_made(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    heard = asyncio.Event()

    async def script(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        first, *rest = vendor.events(["Rivers ", "run ", "fast."])
        await answer.piece(first)
        await heard.wait()  # nothing more before the first piece was heard
        for event in rest:
            await answer.piece(event)
        await answer.end()

    vendor_server.scripts = [script]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    said: list[str] = []
    done = None
    async with asyncio.timeout(20):
        async for item in gateway.stream(CompletionRequest.ask("hi", model=vendor.model)):
            if isinstance(item, TextDelta):
                said.append(item.text)
                heard.set()
            else:
                done = item
    assert said == ["Rivers ", "run ", "fast."]
    assert done is not None
    assert (done.text, done.finish_reason, done.model) == ("Rivers run fast.", "stop", vendor.model)
    assert done.usage == Usage(input_tokens=12, output_tokens=5)
    assert done.first_token_ms is not None
    assert 0 <= done.first_token_ms <= done.time_ms


@pytest.mark.parametrize(
    ("vendor", "cost"),
    [
        (OpenAI(), Decimal("0.0000128")),  # 12 x $0.40 + 5 x $1.60 a million
        (Anthropic(), Decimal("0.000037")),
        (Gemini(), None),
        (Perplexity(), Decimal("0.00527")),  # its own bill
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_cost(vendor: Vendor, cost: Decimal | None, vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [says(vendor, "Yes.")]
    _, done = await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert done.cost.usd is not None
    assert done.cost.usd > 0 if cost is None else done.cost.usd == cost


async def test_an_unknown_price_is_null(vendor_server: Server, open_gateway: Open) -> None:
    vendor = VENDORS[-1]
    vendor_server.scripts = [says(vendor, "Yes.")]
    _, done = await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert done.cost.usd is None


@every_vendor
async def test_what_is_asked(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [says(vendor, "Yes.")]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    turns: list[tuple[str, str]] = [("user", "one"), ("assistant", "two"), ("user", "three")]
    request = CompletionRequest(
        model=vendor.model,
        system="Be brief.",
        messages=[Message.model_validate({"role": role, "content": content}) for role, content in turns],
        parameters=Parameters(temperature=0.5, max_tokens=77),
    )
    await gateway.complete(request)
    asked = vendor_server.asked[0]
    assert vendor.question(asked.body) == ("Be brief.", turns)
    settings = asked.body.get("generationConfig", asked.body)
    assert settings["temperature"] == 0.5
    assert 77 in {settings.get(name) for name in ("max_tokens", "max_completion_tokens", "maxOutputTokens")}
    assert "secret-key" in "".join(asked.headers.values())


EVERY_PARAMETER = Parameters(
    temperature=0.5, max_tokens=77, top_p=0.9, seed=7, stop=["END"], presence_penalty=0.1, frequency_penalty=0.2
)
WIRE_NAMES = {
    "max_tokens": ("max_tokens", "max_completion_tokens", "maxOutputTokens"),
    "top_p": ("top_p", "topP"),
    "stop": ("stop", "stop_sequences", "stopSequences"),
    "presence_penalty": ("presence_penalty", "presencePenalty"),
    "frequency_penalty": ("frequency_penalty", "frequencyPenalty"),
}
LISTED = [
    pytest.param(vendor, model.name, id=f"{vendor.name}/{model.name}")
    for vendor in VENDORS
    for model in PROVIDERS[vendor.name].models(vendor.settings("")) or [KnownModel("some-model")]
    if "text" in model.capabilities
]


@pytest.mark.parametrize(("vendor", "name"), LISTED)
async def test_each_model_honours_what_its_listing_says(
    vendor: Vendor, name: str, vendor_server: Server, open_gateway: Open
) -> None:
    vendor_server.scripts = [says(vendor, "Yes.")]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    # A model that ignores a parameter it is sent makes pydantic-ai warn, and warnings are errors here.
    await gateway.complete(CompletionRequest.ask("hi", model=f"{vendor.name}/{name}", parameters=EVERY_PARAMETER))
    body = vendor_server.asked[0].body
    body = body.get("generationConfig", body)
    sent = {field for field in Parameters.model_fields if any(key in body for key in WIRE_NAMES.get(field, (field,)))}
    route = gateway.route(f"{vendor.name}/{name}")
    assert sent - {"max_tokens"} == set(route.provider.honours(route.model)) - {"max_tokens"}
    assert "max_tokens" in sent


@every_vendor
async def test_the_longest_answer(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [says(vendor, "One ", "two", finish=LENGTH)]
    _, done = await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert (done.text, done.finish_reason) == ("One two", "length")


@every_vendor
@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [
        (400, RequestRejected, False),
        (401, ModelAuthFailed, False),
        (404, UnknownModel, False),
        (429, ModelRateLimited, True),
        (500, ModelUnavailable, True),
        (529, ModelOverloaded, True),
    ],
)
async def test_errors(
    vendor: Vendor,
    status: int,
    error: type[ModelError],
    retryable: bool,
    vendor_server: Server,
    open_gateway: Open,
) -> None:
    vendor_server.scripts = [fails(status, vendor.error(status))]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    with pytest.raises(ModelError) as raised:
        await ask(gateway, vendor)
    assert type(raised.value) is error
    assert raised.value.retryable is retryable
    assert raised.value.extra["model"] == vendor.model
    assert "secret-key" not in raised.value.detail
    assert len(vendor_server.asked) == (3 if retryable else 1)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (408, ModelTimeout),
        (409, ModelUnavailable),
        (413, ContextTooLong),
        (418, RequestRejected),
        (502, ModelUnavailable),
        (503, ModelUnavailable),
        (504, ModelTimeout),
    ],
)
async def test_rarer_statuses(status: int, error: type[ModelError], vendor_server: Server, open_gateway: Open) -> None:
    vendor = Compatible()
    vendor_server.scripts = [fails(status, vendor.error(status))]
    with pytest.raises(ModelError) as raised:
        await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert type(raised.value) is error
    assert f"something about {status}" in raised.value.detail


async def test_an_answer_that_is_no_json(vendor_server: Server, open_gateway: Open) -> None:
    vendor = Compatible()

    async def script(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        await answer.piece("data: <html>Bad gateway</html>\n\n")
        await answer.end()

    vendor_server.scripts = [script]
    with pytest.raises(ModelUnavailable):
        await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)


@every_vendor
async def test_a_context_that_is_too_long(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [fails(*vendor.context_error())]
    with pytest.raises(ContextTooLong, match="longer than"):
        await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert len(vendor_server.asked) == 1


@every_vendor
async def test_a_hiccup_is_tried_again(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [fails(500, vendor.error(500)), fails(529, vendor.error(529)), says(vendor, "At ", "last.")]
    said, done = await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert (said, done.text) == (["At ", "last."], "At last.")
    assert len(vendor_server.asked) == 3


@every_vendor
async def test_a_long_wait_is_left_to_the_caller(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [fails(429, vendor.error(429), {"Retry-After": "77"})]
    with pytest.raises(ModelRateLimited) as raised:
        await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert raised.value.retry_after == 77
    assert len(vendor_server.asked) == 1


@every_vendor
async def test_nothing_is_said_twice(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    async def breaks_off(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        await answer.piece(vendor.events(["Half "])[0])
        await heard.wait()
        answer.hang_up()

    heard = asyncio.Event()
    vendor_server.scripts = [breaks_off]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    async with aclosing(gateway.stream(CompletionRequest.ask("hi", model=vendor.model))) as items:
        assert await anext(items) == TextDelta("Half ")
        heard.set()
        with pytest.raises(ModelUnavailable) as raised:
            await anext(items)
    assert raised.value.retryable
    assert len(vendor_server.asked) == 1


@pytest.mark.parametrize("vendor", VENDORS[:-1], ids=lambda vendor: vendor.name)
async def test_a_stream_that_just_ends(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    async def ends(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        await answer.piece(vendor.events(["Half "])[0])
        await answer.end()

    vendor_server.scripts = [ends]
    with pytest.raises(ModelUnavailable):
        await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)


@every_vendor
async def test_no_server(vendor: Vendor, unused_tcp_port: int, open_gateway: Open) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await ask(open_gateway(vendor.settings(f"http://127.0.0.1:{unused_tcp_port}")), vendor)


@every_vendor
async def test_canceling_hangs_up(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    async def goes_on(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        await answer.piece(vendor.events(["Half "])[0])
        await asked.gone.wait()

    vendor_server.scripts = [goes_on]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    heard = asyncio.Event()

    async def listen() -> None:
        async for _ in gateway.stream(CompletionRequest.ask("hi", model=vendor.model)):
            heard.set()

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(heard.wait(), 20)
    listening.cancel()
    await asyncio.wait_for(vendor_server.asked[0].gone.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await listening


@every_vendor
async def test_canceling_before_the_answer_begins(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    async def says_nothing(asked: Asked, answer: Answer) -> None:
        await asked.gone.wait()

    vendor_server.scripts = [says_nothing]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    listening = asyncio.create_task(ask(gateway, vendor))
    asked = await vendor_server.wait_for(1)
    listening.cancel()
    await asyncio.wait_for(asked.gone.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await listening


@every_vendor
async def test_closing_the_generator_hangs_up(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    async def goes_on(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        await answer.piece(vendor.events(["Half "])[0])
        await asked.gone.wait()

    vendor_server.scripts = [goes_on]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    async with aclosing(gateway.stream(CompletionRequest.ask("hi", model=vendor.model))) as items:
        assert await anext(items) == TextDelta("Half ")
    await asyncio.wait_for(vendor_server.asked[0].gone.wait(), 1)


@every_vendor
async def test_silence(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    async def says_nothing(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        while not asked.gone.is_set():
            if vendor.comments:  # a sign of life for proxies is none of the model
                await answer.piece(": ping\n\n")
            await asyncio.sleep(0.2)

    vendor_server.scripts = [says_nothing]
    settings = vendor.settings(vendor_server.url).model_copy(update={"model_idle_seconds": 0.5})
    with pytest.raises(ModelTimeout, match=r"said nothing for 0\.5 seconds"):
        await ask(open_gateway(settings), vendor)
    assert len(vendor_server.asked) == 1
    await asyncio.wait_for(vendor_server.asked[0].gone.wait(), 1)


@every_vendor
async def test_an_answer_without_end(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    async def goes_on(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        first, again = vendor.events(["on ", "and on "])[:2]
        await answer.piece(first)
        while not asked.gone.is_set():
            await answer.piece(again)
            await asyncio.sleep(0.05)

    vendor_server.scripts = [goes_on]
    settings = vendor.settings(vendor_server.url).model_copy(update={"model_timeout_seconds": 0.7})
    with pytest.raises(ModelTimeout, match=r"longer than 0\.7 seconds"):
        await ask(open_gateway(settings), vendor)
    await asyncio.wait_for(vendor_server.asked[0].gone.wait(), 1)


@every_vendor
async def test_a_filter_stops_the_answer_midway(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [says(vendor, "First ", finish=FILTER)]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    async with aclosing(gateway.stream(CompletionRequest.ask("hi", model=vendor.model))) as items:
        assert await anext(items) == TextDelta("First ")
        with pytest.raises(ContentFiltered) as raised:
            await anext(items)
    assert "stopped this answer" in raised.value.detail
    assert not raised.value.retryable


async def test_gemini_says_why_in_words(vendor_server: Server, open_gateway: Open) -> None:
    vendor = Gemini()
    vendor_server.scripts = [says(vendor, "First ", finish=FILTER)]
    with pytest.raises(ContentFiltered, match=r"judged unsafe \(harassment\)") as raised:
        await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert raised.value.extra["reason"] == "SAFETY"
    assert raised.value.extra["categories"] == ["harassment"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("SAFETY", "judged unsafe"),
        ("BLOCKLIST", "block list"),
        ("PROHIBITED_CONTENT", "forbids"),
        ("OTHER", "a reason the provider does not give"),
    ],
)
async def test_gemini_refuses_the_question(reason: str, words: str, vendor_server: Server, open_gateway: Open) -> None:
    vendor = Gemini()

    async def script(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        await answer.piece(vendor.blocked_prompt(reason))
        await answer.end()

    vendor_server.scripts = [script]
    with pytest.raises(ContentFiltered, match=f"stopped this question: .*{words}"):
        await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)


@pytest.mark.parametrize(
    ("vendor", "status", "body"),
    [
        (OpenAI(), 429, {"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}),
        (
            Anthropic(),
            400,
            {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}},
        ),
    ],
    ids=["openai", "anthropic"],
)
async def test_an_empty_account(
    vendor: Vendor, status: int, body: object, vendor_server: Server, open_gateway: Open
) -> None:
    vendor_server.scripts = [fails(status, body)]
    with pytest.raises(ModelQuotaExceeded, match="used up") as raised:
        await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert not raised.value.retryable
    assert len(vendor_server.asked) == 1


async def test_anthropic_fails_inside_its_stream(vendor_server: Server, open_gateway: Open) -> None:
    vendor = Anthropic()

    async def script(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        await answer.piece(vendor.events(["Half "])[0])
        await answer.piece(
            'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
        )
        await answer.end()

    vendor_server.scripts = [script]
    with pytest.raises(ModelOverloaded):
        await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert len(vendor_server.asked) == 1


async def test_perplexity_says_where_it_looked(vendor_server: Server, open_gateway: Open) -> None:
    vendor = Perplexity()
    vendor_server.scripts = [says(vendor, "Rivers ", "run.")]
    _, done = await ask(open_gateway(vendor.settings(vendor_server.url)), vendor)
    assert done.extra["citations"] == vendor.pages
    assert done.extra["search_results"][0]["title"] == "Rivers"
