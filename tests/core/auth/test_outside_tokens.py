"""Which outside tokens hold, and which do not."""

import json
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tests.core.auth.conftest import Make, bearer, trusting
from tests.core.auth.issuer import AUDIENCE, FakeIssuer, ec_key, encoded, jwk, public_pem, rsa_key, signed
from tests.core.http.small_app import assert_problem, settings_with
from yeoul.core.auth.errors import IssuerNotTrusted, OutsideTokenExpired, OutsideTokenInvalid
from yeoul.core.auth.outside.issuer import Outsider
from yeoul.core.auth.outside.providers import Providers

SHARED = "a shared secret of more than thirty-two bytes"


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def read(issuer: FakeIssuer, token: str, **more: Any) -> Outsider:
    """What the providers of a process make of a token."""
    return await Providers(settings_with(**trusting(issuer, **more))).outsider(token)


async def refused(issuer: FakeIssuer, token: str, **more: Any) -> str:
    """Why a token is not accepted."""
    with pytest.raises(OutsideTokenInvalid) as caught:
        await read(issuer, token, **more)
    return caught.value.detail


@pytest.mark.parametrize("how", ["body", "bearer"])
async def test_a_good_token_signs_in(program: Make, issuer: FakeIssuer, how: str) -> None:
    client = await program(**trusting(issuer))
    token = issuer.token(name="Mina")
    sent: dict[str, Any] = {"json": {"token": token}} if how == "body" else {"headers": bearer(token)}
    response = await client.post("/api/auth/session", **sent)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers  # a program
    made = response.json()
    assert set(made) == {"user", "access_token", "token_type", "expires_in", "refresh_token"}
    assert (made["user"]["email"], made["user"]["name"]) == ("mina@example.com", "Mina")
    assert (await client.get("/api/me", headers=bearer(made["access_token"]))).json() == made["user"]
    refreshed = await client.post("/api/auth/refresh", json={"refresh_token": made["refresh_token"]})
    assert refreshed.status_code == 200


async def test_without_any_token(program: Make) -> None:
    client = await program()
    assert_problem(await client.post("/api/auth/session"), 401, "unauthenticated")
    assert_problem(await client.post("/api/auth/session", json={}), 401, "unauthenticated")


async def test_nobody_is_trusted_unless_configured(program: Make, issuer: FakeIssuer) -> None:
    client = await program()
    assert_problem(await client.post("/api/auth/session", json={"token": issuer.token()}), 401, "issuer_not_trusted")
    assert issuer.asked == []  # whatever a token says, nothing is fetched for it


@pytest.mark.parametrize("named", ["http://169.254.169.254/latest", "file:///etc/passwd", "", 7, ["x"], None])
async def test_no_address_of_a_token_is_ever_fetched(issuer: FakeIssuer, named: Any) -> None:
    head = {"alg": "RS256", "jku": f"{issuer.url}/jwks", "x5u": f"{issuer.url}/jwks", "jwk": jwk(rsa_key(7), "mine")}
    with pytest.raises(IssuerNotTrusted):
        await read(issuer, signed(head, {"iss": named, "aud": AUDIENCE, "sub": "s", "exp": 9e9}, rsa_key(7)))
    assert issuer.asked == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"aud": "somebody"}, "somebody else"),
        ({"aud": ["a", "b"]}, "somebody else"),
        ({"aud": ...}, "aud"),
        ({"aud": 7}, "aud"),
        ({"exp": ...}, "exp"),
        ({"exp": "never"}, "well-formed"),
        ({"exp": [1]}, "well-formed"),
        ({"nbf": 99_999_999_999}, "not valid yet"),
        ({"iat": 99_999_999_999}, "not valid yet"),
        ({"sub": ...}, "sub"),
        ({"sub": ""}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"sub": "a\0b"}, "subject"),
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, "event"),
    ],
)
async def test_claims_that_do_not_hold(issuer: FakeIssuer, changed: dict[str, Any], words: str) -> None:
    assert words in await refused(issuer, issuer.token(**changed))


async def test_a_subject_that_is_no_text(issuer: FakeIssuer) -> None:
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": 7, "exp": 9e9}
    assert "well-formed" in await refused(issuer, signed({"alg": "RS256", "kid": "one"}, claims))


async def test_expiry_has_a_small_leeway(issuer: FakeIssuer) -> None:
    with pytest.raises(OutsideTokenExpired):
        await read(issuer, issuer.token(exp=soon(-15)))
    await read(issuer, issuer.token(exp=soon(-5)))


async def test_several_audiences(issuer: FakeIssuer) -> None:
    for audience in ("first", ["other", "second"]):
        await read(issuer, issuer.token(aud=audience), audience=["first", "second"])


async def test_a_public_key_is_no_secret(issuer: FakeIssuer) -> None:
    pem = public_pem(rsa_key())
    body = issuer.token().split(".")[1].encode()
    for secret in (pem, pem.rstrip(b"\n"), json.dumps(issuer.keys[0]).encode()):
        text = encoded(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "one"}).encode()) + b"." + body
        token = text + b"." + encoded(jwt.get_algorithm_by_name("HS256").sign(text, secret))
        assert "not signed in the way" in await refused(issuer, token.decode())


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, ["RS256"], {"a": 1}, 7])
async def test_unsigned_tokens(issuer: FakeIssuer, name: Any) -> None:
    head = encoded(json.dumps({"alg": name, "kid": "one"}).encode()).decode()
    _, body, signature = issuer.token().split(".")
    for token in (f"{head}.{body}.", f"{head}.{body}.{signature}"):
        assert "not signed in the way" in await refused(issuer, token)


@pytest.mark.parametrize(
    "head",
    [
        {"kid": "../../../dev/null"},
        {"kid": "one' OR '1'='1"},
        {"kid": "http://127.0.0.1/keys"},
        {"kid": ""},
        {"kid": "x" * 10_000},
        {"kid": 7},
        {"kid": ["one"]},
        {"typ": "logout+jwt"},
        {"typ": "secevent+jwt"},
        {"typ": ["JWT"]},
        {"crit": ["exp"], "exp": 1},
    ],
)
async def test_headers_that_lead_astray(issuer: FakeIssuer, head: dict[str, Any]) -> None:
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "s", "exp": 9e9}
    await refused(issuer, signed({"alg": "RS256", "kid": "one", **head}, claims))
    assert {asked.path for asked in issuer.asked} <= {"/.well-known/openid-configuration", "/jwks"}


async def test_a_key_that_a_token_brings_along_is_not_used(issuer: FakeIssuer) -> None:
    mine = rsa_key(7)
    head = {"jwk": jwk(mine, "one"), "jku": f"{issuer.url}/mine", "x5c": ["x"]}
    assert "signature" in await refused(issuer, issuer.token(key=mine, header=head))
    assert issuer.count("/mine") == 0


async def test_of_several_keys_a_token_must_name_one(issuer: FakeIssuer) -> None:
    nameless = issuer.token(header={"kid": ...})
    await read(issuer, nameless)  # there is one
    issuer.keys.append(jwk(rsa_key(1), "two"))
    assert "key" in await refused(issuer, nameless)
    await read(issuer, issuer.token())


@pytest.mark.parametrize(
    "shown",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"alg": "RS512"},
        {"alg": "none"},
        {"key_ops": ["encrypt"]},
        {"key_ops": 7},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC"},
        {"kty": ["RSA"]},
        {"n": "AA"},
        {"n": 7},
        {"e": None},
    ],
)
async def test_keys_not_meant_for_this(issuer: FakeIssuer, shown: dict[str, Any]) -> None:
    issuer.keys = [issuer.keys[0] | shown]
    await refused(issuer, issuer.token())


async def test_a_short_key_proves_nothing(issuer: FakeIssuer) -> None:
    short = rsa_key(9, 1024)
    issuer.keys = [jwk(short, "one")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyJWT, about the test's own key
        token = issuer.token(key=short)
    await refused(issuer, token)


async def test_algorithms_are_those_of_the_settings(issuer: FakeIssuer) -> None:
    issuer.keys.append(jwk(ec_key(), "curve"))
    curved = issuer.token(key=ec_key(), alg="ES256", header={"kid": "curve"})
    await read(issuer, curved)
    await refused(issuer, curved, algorithms="RS256")
    strong = issuer.token(alg="RS512")
    await refused(issuer, strong)
    await read(issuer, strong, algorithms=["RS512"])


async def test_a_shared_secret(issuer: FakeIssuer) -> None:
    good = issuer.token(key=SHARED, alg="HS256")
    await read(issuer, good, secret=SHARED)
    for bad in (
        issuer.token(key=SHARED[::-1], alg="HS256"),
        issuer.token(),
        issuer.token(key=SHARED * 2, alg="HS512"),
        good[:-6] + "AAAAAA",
    ):
        await refused(issuer, bad, secret=SHARED)
    assert issuer.asked == []


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "....", "é.é.é", "\ud800.a.b", "x" * 20_000, "bnVsbA.bnVsbA.bnVsbA", "e30.W10.AA"]
)
async def test_what_is_no_token(issuer: FakeIssuer, token: str) -> None:
    await refused(issuer, token)


async def test_deep_json_is_no_token(issuer: FakeIssuer) -> None:
    deep = encoded(b"[" * 9_000).decode()
    for token in (f"{deep}.e30.AA", f"{issuer.token().split('.')[0]}.{deep}.AA"):
        await refused(issuer, token)


async def test_a_changed_token_is_spoilt(issuer: FakeIssuer) -> None:
    head, body, signature = issuer.token().split(".")
    claims = jwt.decode(issuer.token(), options={"verify_signature": False}) | {"sub": "somebody-else"}
    other = encoded(json.dumps(claims).encode()).decode()
    assert other != body
    assert "signature" in await refused(issuer, f"{head}.{other}.{signature}")


async def test_too_long_a_token_is_not_echoed(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**trusting(issuer))
    response = await client.post("/api/auth/session", json={"token": "secret" * 5_000})
    assert_problem(response, 422, "invalid_input")
    assert "secretsecret" not in response.text


async def test_our_own_tokens_are_no_outside_tokens(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**trusting(issuer))
    made = (await client.post("/api/auth/session", json={"token": issuer.token()})).json()
    for token in (made["access_token"], made["refresh_token"]):
        assert_problem(await client.post("/api/auth/session", json={"token": token}), 401, "issuer_not_trusted")
    assert_problem(await client.get("/api/me", headers=bearer(issuer.token())), 401, "token_invalid")


async def test_tokens_that_do_not_hold_are_limited_by_address(program: Make, issuer: FakeIssuer) -> None:
    settings = {**trusting(issuer), "login_attempts": 3}
    near, far = await program("192.0.2.1", **settings), await program("192.0.2.2", **settings)
    for _ in range(5):  # expired ones are nobody's attempt
        old = issuer.token(exp=soon(-60))
        assert_problem(await near.post("/api/auth/session", json={"token": old}), 401, "outside_token_expired")
    for _ in range(3):
        assert (await near.post("/api/auth/session", json={"token": issuer.token(aud="x")})).status_code == 401
    refused = await near.post("/api/auth/session", json={"token": issuer.token()})
    assert_problem(refused, 429, "rate_limited")
    assert refused.headers["ratelimit-policy"] == '"sign-in";q=3;w=900'
    assert (await far.post("/api/auth/session", json={"token": issuer.token()})).status_code == 200
    # Wrong passwords have a count of their own.
    wrong = {"email": "mina@example.com", "password": "wrong"}
    assert_problem(await near.post("/api/auth/login", json=wrong), 401, "wrong_credentials")
