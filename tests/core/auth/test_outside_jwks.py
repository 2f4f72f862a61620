"""The keys of issuers: fetched, kept, rotated, and what happens while an issuer is down or answers nonsense."""

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.core.auth.issuer import AUDIENCE, Answer, FakeIssuer, fake_issuer, jwk, rsa_key
from yeoul.core.auth.errors import OutsideTokenInvalid, ProviderUnavailable
from yeoul.core.auth.outside import fetch
from yeoul.core.auth.outside.issuer import Issuer
from yeoul.core.auth.outside.kept import COOLDOWN, FRESH, STALE, Kept


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def reader(issuer: FakeIssuer, clock: Clock, **more: Any) -> Issuer:
    return Issuer(issuer.url, (AUDIENCE,), clock=clock, **more)


def rotated(issuer: FakeIssuer) -> str:
    """Gives the issuer another key, and returns a token signed with it."""
    issuer.keys = [jwk(rsa_key(1), "two")]
    return issuer.token(key=rsa_key(1), header={"kid": "two"})


async def test_keys_are_fetched_once(issuer: FakeIssuer, clock: Clock) -> None:
    read = reader(issuer, clock)
    for _ in range(3):
        await read.claims(issuer.token())
    assert [asked.path for asked in issuer.asked] == ["/.well-known/openid-configuration", "/jwks"]


async def test_the_address_of_the_settings_needs_no_discovery(issuer: FakeIssuer, clock: Clock) -> None:
    await reader(issuer, clock, jwks_url=f"{issuer.url}/jwks").claims(issuer.token())
    assert [asked.path for asked in issuer.asked] == ["/jwks"]


async def test_a_new_key_is_found_at_its_first_token(issuer: FakeIssuer, clock: Clock) -> None:
    read = reader(issuer, clock)
    old = issuer.token()
    await read.claims(old)
    new = rotated(issuer)
    clock.now += COOLDOWN
    await read.claims(new)
    assert issuer.count("/jwks") == 2
    with pytest.raises(OutsideTokenInvalid):  # its key is withdrawn
        await read.claims(old)


async def test_made_up_key_ids_cause_few_fetches(issuer: FakeIssuer, clock: Clock) -> None:
    read = reader(issuer, clock)
    await read.claims(issuer.token())
    for number in range(50):
        with pytest.raises(OutsideTokenInvalid):
            await read.claims(issuer.token(header={"kid": f"made-up-{number}"}))
    assert issuer.count("/jwks") == 1
    clock.now += COOLDOWN
    for number in range(50):
        with pytest.raises(OutsideTokenInvalid):
            await read.claims(issuer.token(header={"kid": f"made-up-{number}"}))
    assert issuer.count("/jwks") == 2


async def test_many_tokens_at_once_cause_one_fetch(issuer: FakeIssuer, clock: Clock) -> None:
    read = reader(issuer, clock)
    issuer.hold.clear()
    waiting = [asyncio.create_task(read.claims(issuer.token(sub=str(n)))) for n in range(20)]
    await issuer.arrived.wait()
    waiting[0].cancel()  # who asked first hangs up, and takes nothing from the others
    issuer.hold.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [claims["sub"] for claims in found[1:] if isinstance(claims, dict)] == [str(n) for n in range(1, 20)]
    assert issuer.count("/jwks") == 1


async def test_keys_are_asked_for_again_in_time(issuer: FakeIssuer, clock: Clock) -> None:
    read = reader(issuer, clock)
    await read.claims(issuer.token())
    rotated(issuer)
    clock.now += FRESH + 1
    with pytest.raises(OutsideTokenInvalid):  # withdrawn, and nobody had to bring a token with the new one
        await read.claims(issuer.token())


@pytest.mark.parametrize("down", [Answer({}, 500), Answer(b"<html>", 502), Answer({"keys": "none"}), Answer(b"")])
async def test_while_the_issuer_is_down_its_keys_are_used_on(issuer: FakeIssuer, clock: Clock, down: Answer) -> None:
    read = reader(issuer, clock)
    await read.claims(issuer.token())
    issuer.answers["/jwks"] = down
    clock.now += FRESH + 1
    with capture_logs() as logs:
        for _ in range(5):
            await read.claims(issuer.token())
    assert issuer.count("/jwks") == 2  # asked once, then left in peace for a while
    assert any("going on" in line["event"] for line in logs)
    clock.now += COOLDOWN
    del issuer.answers["/jwks"]
    await read.claims(rotated(issuer))  # it is back
    clock.now += STALE + 1
    issuer.answers["/jwks"] = down
    with pytest.raises(ProviderUnavailable):  # too long
        await read.claims(issuer.token())


async def test_an_issuer_that_was_never_there(clock: Clock) -> None:
    async with fake_issuer() as issuer:
        read, token = reader(issuer, clock), issuer.token()
    for _ in range(2):
        with pytest.raises(ProviderUnavailable) as caught:
            await read.claims(token)
        assert caught.value.status == 503
        assert caught.value.retry_after == COOLDOWN


async def test_an_issuer_that_hangs(issuer: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.05)
    issuer.hold.clear()
    with pytest.raises(ProviderUnavailable):
        await reader(issuer, clock).claims(issuer.token())
    issuer.hold.set()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"[]"),
        Answer(b"not json"),
        Answer(b"\xff\xfe"),
        Answer(b'{"keys": [' * 50_000),
        Answer(json.dumps({"keys": [], "padding": "x" * 300_000}).encode()),
        Answer(gzip.compress(b'{"keys": []}'), headers={"Content-Encoding": "gzip"}),
        Answer({"keys": []}, 302, {"Location": "http://127.0.0.1:1/jwks"}),
        Answer({"keys": []}, 404),
        Answer({"keys": {"one": 1}}),
        Answer({}),
    ],
)
async def test_answers_that_are_not_acceptable(issuer: FakeIssuer, clock: Clock, answer: Answer) -> None:
    issuer.answers["/jwks"] = answer
    with pytest.raises(ProviderUnavailable):
        await reader(issuer, clock).claims(issuer.token())
    assert issuer.count("/jwks") == 1


@pytest.mark.parametrize("keys", [[], [None, 7, "x", []], [{}], [{"kid": "one"}], [{"kty": "RSA", "kid": "one"}]])
async def test_keys_that_are_none(issuer: FakeIssuer, clock: Clock, keys: list[Any]) -> None:
    issuer.keys = keys
    with pytest.raises(OutsideTokenInvalid):
        await reader(issuer, clock).claims(issuer.token())


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://somebody.example.com"},
        {"issuer": None},
        {"jwks_uri": "http://169.254.169.254/keys"},
        {"jwks_uri": "http://10.0.0.1/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://"},
        {"jwks_uri": "https://[::1"},
        {"jwks_uri": 7},
        {"jwks_uri": None},
    ],
)
async def test_a_discovery_document_leads_nowhere_else(
    issuer: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    issuer.metadata |= changed
    sent: list[str] = []
    stream = httpx.AsyncClient.stream

    def watching(client: httpx.AsyncClient, method: str, url: str, **more: Any) -> Any:
        sent.append(url)
        return stream(client, method, url, **more)

    monkeypatch.setattr(httpx.AsyncClient, "stream", watching)
    with pytest.raises(ProviderUnavailable):
        await reader(issuer, clock).claims(issuer.token())
    assert sent == [f"{issuer.url}/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    ("url", "beside", "safe"),
    [
        ("https://keys.example.com/x", "https://id.example.com", True),
        ("http://keys.example.com/x", "https://id.example.com", False),
        ("http://127.0.0.1/x", "https://id.example.com", False),
        ("http://127.0.0.1:8/x", "http://localhost:9", True),
        ("http://[::1]:8/x", "http://127.0.0.1:9", True),
        ("http://localhost.example.com/x", "http://localhost:9", False),
        ("ftp://127.0.0.1/x", "http://localhost:9", False),
    ],
)
def test_where_documents_may_lead(url: str, beside: str, safe: bool) -> None:
    assert fetch.is_safe(url, beside) is safe


async def test_a_mistake_of_ours_is_not_hidden_as_an_outage(clock: Clock) -> None:
    async def broken() -> int:
        raise ZeroDivisionError

    kept = Kept(broken, clock)
    with pytest.raises(ZeroDivisionError):
        await kept.get()
    with pytest.raises(ProviderUnavailable):  # for a moment
        await kept.get()
