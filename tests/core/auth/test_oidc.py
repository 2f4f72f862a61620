"""Sign-in at a provider and back, with a provider that can be made to misbehave."""

import base64
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import jwt
import pytest

from tests.core.auth.conftest import BROWSER, Make, bearer, body, registered
from tests.core.auth.issuer import AUDIENCE, SECRET, Answer, FakeIssuer, rsa_key
from tests.core.http.small_app import HOST, assert_problem, settings_with
from yeoul.core.auth.dependencies import ACCESS_COOKIE, REFRESH_COOKIE
from yeoul.core.auth.outside.ticket import Tickets

START, CALLBACK = "/api/auth/oidc/fake", "/api/auth/oidc/fake/callback"
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def offering(issuer: FakeIssuer, **more: Any) -> dict[str, Any]:
    entry = {"name": "fake", "issuer": issuer.url, "client_id": AUDIENCE, "client_secret": SECRET, "label": "Fake"}
    return {"oidc_providers": [{**entry, **more}]}


async def go(client: httpx.AsyncClient, issuer: FakeIssuer, code: str = "the-code", **query: Any) -> dict[str, str]:
    """Starts, and signs in at the provider: what it puts into the address of the way back."""
    response = await client.get(START, params=query)
    assert response.status_code == 303, response.text
    return issuer.authorize(response.headers["location"], code)


def flow_cookies(client: httpx.AsyncClient) -> list[str]:
    return [name for name in client.cookies if name.startswith("yeoul_signin_")]


async def test_there_and_back(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    started = await client.get(START, params={"next": "/jobs?status=queued"})
    assert started.status_code == 303
    assert started.headers["cache-control"] == "no-store"
    address = urlsplit(started.headers["location"])
    asked = {name: values[0] for name, values in parse_qs(address.query).items()}
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{issuer.url}/authorize"
    assert asked.keys() == {
        *("response_type", "client_id", "redirect_uri", "scope", "state", "nonce"),
        *("code_challenge", "code_challenge_method"),
    }
    assert (
        asked
        | {
            "response_type": "code",
            "client_id": AUDIENCE,
            "redirect_uri": f"{HOST}{CALLBACK}",
            "scope": "openid email profile",
            "code_challenge_method": "S256",
        }
        == asked
    )
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) == 43
    jar: SimpleCookie = SimpleCookie(started.headers["set-cookie"])
    (ticket,) = jar.values()
    assert (ticket["httponly"], ticket["samesite"], ticket["path"], ticket["max-age"]) == (True, "lax", START, "600")
    for secret in (asked["state"], asked["nonce"]):
        assert secret not in ticket.value

    finished = await client.get(CALLBACK, params=issuer.authorize(started.headers["location"]))
    assert finished.status_code == 303, finished.text
    assert finished.headers["location"] == "/jobs?status=queued"
    assert finished.headers["cache-control"] == "no-store"
    assert {ACCESS_COOKIE, REFRESH_COOKIE} == set(client.cookies)  # the ticket is gone
    assert (await client.get("/api/me")).json()["email"] == "mina@example.com"
    assert (await client.post("/who", headers=BROWSER)).json()[2] == "cookie"


async def test_the_second_time_is_the_same_account(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    seen = set()
    for _ in range(2):
        await client.get(CALLBACK, params=await go(client, issuer))
        seen.add((await client.get("/api/me")).json()["id"])
    assert len(seen) == 1


async def test_providers_are_listed(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer), google_client_id="g", google_client_secret="s")
    assert (await client.get("/api/auth/providers")).json() == {
        "items": [
            {"name": "google", "label": "Google", "url": "/api/auth/oidc/google"},
            {"name": "fake", "label": "Fake", "url": START},
        ]
    }
    assert (await (await program()).get("/api/auth/providers")).json() == {"items": []}
    for path in ("/api/auth/oidc/other", "/api/auth/oidc/other/callback"):
        assert_problem(await client.get(path), 404, "provider_not_found")


@pytest.mark.parametrize(
    "then",
    [
        "https://evil.example.com",
        "//evil.example.com",
        "///evil.example.com",
        "/\\evil.example.com",
        "\\\\evil.example.com",
        "/\t/evil.example.com",
        "/\n/evil.example.com",
        "javascript:alert(1)",
        "evil.example.com",
        "",
        " /jobs",
        "/" + "x" * 3_000,
    ],
)
async def test_the_way_leads_nowhere_else(program: Make, issuer: FakeIssuer, then: str) -> None:
    client = await program(**offering(issuer))
    assert_problem(await client.get(START, params={"next": then}), 422, "invalid_input")
    assert not flow_cookies(client)


async def test_a_ticket_of_ones_own_making_leads_nowhere(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    ticket, value = Tickets("another key, of another installation").issue("fake", "https://evil.example.com", None)
    cookie = {"Cookie": f"{ticket.cookie}={value}"}
    response = await client.get(CALLBACK, params={"state": ticket.state, "code": "x"}, headers=cookie)
    assert_problem(response, 401, "sign_in_not_started")


async def test_where_the_browser_knows_us_under_another_name(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer), public_url="https://ai.example.com/")
    started = await client.get(START)
    asked = parse_qs(urlsplit(started.headers["location"]).query)
    assert asked["redirect_uri"] == [f"https://ai.example.com{CALLBACK}"]
    assert "; Secure" in started.headers["set-cookie"]


# What must fit --------------------------------------------------------------------------------------------------------


async def test_a_callback_nobody_started(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    for query in ({}, {"code": "x"}, {"state": "x", "code": "x"}, {"state": "é" * 50, "code": "x"}):
        assert_problem(await client.get(CALLBACK, params=query), 401, "sign_in_not_started")
    assert issuer.asked == []


async def test_a_callback_in_another_browser(program: Make, issuer: FakeIssuer) -> None:
    """Somebody's own sign-in, slipped to another: they would be in the wrong account without knowing."""
    attacker, victim = await program(**offering(issuer)), await program(**offering(issuer))
    back = await go(attacker, issuer)
    assert_problem(await victim.get(CALLBACK, params=back), 401, "sign_in_not_started")
    await go(victim, issuer, "another-code")  # one under way of their own does not help
    assert_problem(await victim.get(CALLBACK, params=back), 401, "sign_in_not_started")
    assert issuer.count("/token") == 0


async def test_a_state_that_does_not_fit(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    back = await go(client, issuer)
    changed = back["state"][:8] + "A" * 35  # names the same cookie
    assert_problem(await client.get(CALLBACK, params=back | {"state": changed}), 401, "sign_in_not_started")
    assert issuer.count("/token") == 0


async def test_a_callback_works_once(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    started = await client.get(START)
    cookie = {"Cookie": started.headers["set-cookie"].partition(";")[0]}
    back = issuer.authorize(started.headers["location"])
    assert (await client.get(CALLBACK, params=back)).status_code == 303
    assert_problem(await client.get(CALLBACK, params=back), 401, "sign_in_not_started")
    # Even with a copy of the cookie: the provider gives nothing for a code used before.
    assert_problem(await client.get(CALLBACK, params=back, headers=cookie), 401, "sign_in_failed")


async def test_a_ticket_is_for_one_provider(program: Make, issuer: FakeIssuer) -> None:
    entry = {"issuer": issuer.url, "client_id": AUDIENCE, "client_secret": SECRET}
    client = await program(oidc_providers=[{"name": name, **entry} for name in ("fake", "twin")])
    started = await client.get(START)
    cookie = {"Cookie": started.headers["set-cookie"].partition(";")[0]}
    back = issuer.authorize(started.headers["location"])
    response = await client.get("/api/auth/oidc/twin/callback", params=back, headers=cookie)
    assert_problem(response, 401, "sign_in_not_started")


async def test_a_ticket_has_its_time(issuer: FakeIssuer) -> None:
    tickets = Tickets(settings_with().signing_key)
    ticket, value = tickets.issue("fake", "/", None)
    assert tickets.read(value, "fake", ticket.state) == ticket
    late = jwt.decode(value, options={"verify_signature": False}) | {"exp": 1}
    assert tickets.read(jwt.encode(late, tickets._key, "HS256"), "fake", ticket.state) is None
    assert tickets.read(value, "other", ticket.state) is None
    assert tickets.read(None, "fake", ticket.state) is None


async def test_two_tabs_may_be_under_way(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    one, two = await go(client, issuer, "one", next="/one"), await go(client, issuer, "two", next="/two")
    assert len(flow_cookies(client)) == 2
    assert (await client.get(CALLBACK, params=two)).headers["location"] == "/two"
    assert (await client.get(CALLBACK, params=one)).headers["location"] == "/one"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another sign-in"},
        {"nonce": ...},
        {"nonce": 7},
        {"aud": "another-client"},
        {"aud": [AUDIENCE, "another-client"]},
        {"aud": [AUDIENCE, "another-client"], "azp": "another-client"},
        {"azp": "another-client"},
        {"iss": "https://somebody.example.com"},
        {"exp": 1},
        {"iat": ...},
        {"at_hash": "of another token"},
        {"sub": ""},
        {"key": rsa_key(7)},
    ],
)
async def test_id_tokens_that_do_not_fit(program: Make, issuer: FakeIssuer, claims: dict[str, Any]) -> None:
    issuer.id_claims = claims
    client = await program(**offering(issuer))
    response = await client.get(CALLBACK, params=await go(client, issuer))
    assert_problem(response, 401, "sign_in_failed")
    assert not client.cookies  # and the ticket is used up


async def test_the_code_takes_the_verifier(program: Make, issuer: FakeIssuer) -> None:
    """A code that leaked is good for nothing without the cookie of the browser it was made for."""
    client = await program(**offering(issuer))
    stolen = await go(client, issuer, "stolen")
    mine = await go(client, issuer, "mine")
    response = await client.get(CALLBACK, params=mine | {"code": stolen["code"]})
    assert_problem(response, 401, "sign_in_failed")


@pytest.mark.parametrize("state", ["right", "wrong"])
async def test_no_is_an_answer(program: Make, issuer: FakeIssuer, state: str) -> None:
    client = await program(**offering(issuer))
    back = await go(client, issuer)
    query = {"error": "access_denied", "state": back["state"] if state == "right" else "x"}
    code = "sign_in_denied" if state == "right" else "sign_in_not_started"
    assert_problem(await client.get(CALLBACK, params=query), 401, code)


async def test_answers_say_whose_they_are(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    response = await client.get(CALLBACK, params=await go(client, issuer) | {"iss": "https://somebody.example.com"})
    assert_problem(response, 401, "sign_in_failed")
    assert (await client.get(CALLBACK, params=await go(client, issuer) | {"iss": issuer.url})).status_code == 303
    issuer.metadata["authorization_response_iss_parameter_supported"] = True
    client = await program(**offering(issuer))
    assert_problem(await client.get(CALLBACK, params=await go(client, issuer)), 401, "sign_in_failed")


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Answer({"error": "invalid_client"}, 401), 401, "sign_in_failed"),
        (Answer({"error": "server_error"}, 500), 503, "provider_unavailable"),
        (Answer(b"<html>", 502), 503, "provider_unavailable"),
        (Answer({}), 401, "sign_in_failed"),
        (Answer({"id_token": 7, "access_token": "x"}), 401, "sign_in_failed"),
        (Answer({"id_token": "x", "access_token": "x"}), 401, "sign_in_failed"),
        (Answer({"id_token": "x"}), 401, "sign_in_failed"),
        (Answer({}, 307, {"Location": "http://127.0.0.1:1/"}), 401, "sign_in_failed"),
    ],
)
async def test_token_endpoints_that_misbehave(
    program: Make, issuer: FakeIssuer, answer: Answer, status: int, code: str
) -> None:
    issuer.answers["/token"] = answer
    client = await program(**offering(issuer))
    response = await client.get(CALLBACK, params=await go(client, issuer))
    assert_problem(response, status, code)
    assert "invalid_client" not in response.text
    assert SECRET not in response.text


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "userinfo_endpoint"])
@pytest.mark.parametrize("value", ["http://10.0.0.1/x", "javascript:alert(1)", None, 7])
async def test_discovery_that_leads_astray(program: Make, issuer: FakeIssuer, name: str, value: Any) -> None:
    issuer.metadata[name] = value
    issuer.id_claims = {"email": ...}
    client = await program(**offering(issuer))
    started = await client.get(START)
    if name == "authorization_endpoint":
        assert_problem(started, 503, "provider_unavailable")
        return
    response = await client.get(CALLBACK, params=issuer.authorize(started.headers["location"]))
    if name == "userinfo_endpoint" and value is None:
        assert_problem(response, 403, "email_required")  # it tells nothing apart from the token, which is fine
    else:
        assert_problem(response, 503, "provider_unavailable")


async def test_guesses_are_limited(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer), login_attempts=2)
    for n in range(2):
        await client.get(CALLBACK, params=await go(client, issuer, f"c{n}") | {"code": "guess"})
    asked = issuer.count("/token")
    response = await client.get(CALLBACK, params=await go(client, issuer, "right"))
    assert_problem(response, 429, "rate_limited")
    assert issuer.count("/token") == asked


# What the provider tells ----------------------------------------------------------------------------------------------


async def test_an_email_told_apart_from_the_token(program: Make, issuer: FakeIssuer) -> None:
    issuer.id_claims = {"email": ..., "email_verified": True}  # not to be mixed with the other's email
    issuer.user_info = {"sub": "subject-1", "email": "apart@example.com", "name": "Apart"}
    client = await program(**offering(issuer))
    await client.get(CALLBACK, params=await go(client, issuer))
    me = (await client.get("/api/me")).json()
    assert (me["email"], me["name"]) == ("apart@example.com", "Apart")
    (identity,) = (await client.get("/api/auth/identities")).json()
    assert identity["email_verified"] is False


async def test_what_is_told_of_somebody_else(program: Make, issuer: FakeIssuer) -> None:
    issuer.id_claims = {"email": ...}
    issuer.user_info = {"sub": "subject-2", "email": "victim@example.com", "email_verified": True}
    client = await program(**offering(issuer))
    response = await client.get(CALLBACK, params=await go(client, issuer))
    assert_problem(response, 401, "sign_in_failed")


@pytest.mark.parametrize(
    ("secret", "methods", "sent"),
    [
        (SECRET, None, "basic"),
        (SECRET, ["client_secret_basic", "client_secret_post"], "basic"),
        (SECRET, ["client_secret_post"], "post"),
        (None, ["client_secret_basic"], "none"),
    ],
)
async def test_how_the_client_shows_itself(
    program: Make, issuer: FakeIssuer, secret: str | None, methods: list[str] | None, sent: str
) -> None:
    if methods:
        issuer.metadata["token_endpoint_auth_methods_supported"] = methods
    client = await program(**offering(issuer, client_secret=secret))
    assert (await client.get(CALLBACK, params=await go(client, issuer))).status_code == 303
    (asked,) = (asked for asked in issuer.asked if asked.path == "/token")
    header = asked.headers.get("authorization", "")
    form = (asked.form.get("client_id"), asked.form.get("client_secret"))
    if sent == "basic":
        pair = base64.b64decode(header.removeprefix("Basic ")).decode().split(":")
        assert [unquote(part) for part in pair] == [AUDIENCE, SECRET]
        assert form == (None, None)
    else:
        assert header == ""
        assert form == (AUDIENCE, secret)


# Browsers -------------------------------------------------------------------------------------------------------------


async def test_browsers_are_sent_to_a_page_that_can_say_it(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    back = await go(client, issuer, next="/jobs?a=1&b=2")
    denied = await client.get(CALLBACK, params={"error": "access_denied", "state": back["state"]}, headers=PAGE)
    assert denied.status_code == 303
    assert denied.headers["location"] == "/signin?error=sign_in_denied&next=/jobs%3Fa%3D1%26b%3D2"
    lost = await client.get(CALLBACK, params=back, headers=PAGE)
    assert lost.headers["location"] == "/signin?error=sign_in_not_started"
    issuer.metadata["issuer"] = "https://somebody.example.com"
    client = await program(**offering(issuer))
    down = await client.get(START, headers=PAGE)
    assert down.headers["location"] == "/signin?error=provider_unavailable"


async def test_nobody_gets_into_a_registered_account(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**offering(issuer))
    await registered(client)
    response = await client.get(CALLBACK, params=await go(client, issuer), headers=PAGE)
    assert response.headers["location"] == "/signin?error=not_linked"
    assert not client.cookies


# Linking --------------------------------------------------------------------------------------------------------------


async def test_linking_from_a_page_of_ours(page: Make, issuer: FakeIssuer) -> None:
    client = await page(**offering(issuer))
    made = await registered(client)
    back = await go(client, issuer, link="true", next="/settings")
    response = await client.get(CALLBACK, params=back)
    assert (response.status_code, response.headers["location"]) == (303, "/settings")
    client.cookies.clear()
    await client.get(CALLBACK, params=await go(client, issuer))
    assert (await client.get("/api/me")).json() == made["user"]


async def test_foreign_pages_and_programs_cannot_start_linking(page: Make, issuer: FakeIssuer) -> None:
    client = await page(**offering(issuer))
    made = await registered(client)
    for name in BROWSER:
        del client.headers[name]
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, bearer(made["access_token"])):
        response = await client.get(START, params={"link": "true"}, headers=headers)
        assert_problem(response, 401, "unauthenticated")
    assert not flow_cookies(client)


async def test_linking_ends_with_the_session_that_began_it(page: Make, issuer: FakeIssuer) -> None:
    client = await page(**offering(issuer))
    await registered(client)
    back = await go(client, issuer, link="true", next="/settings?tab=account")
    await client.post("/api/auth/logout")
    response = await client.get(CALLBACK, params=back, headers=PAGE)
    assert response.headers["location"] == "/settings?tab=account&error=session_ended"


async def test_linking_somebody_elses(page: Make, issuer: FakeIssuer) -> None:
    client = await page(**offering(issuer))
    await client.get(CALLBACK, params=await go(client, issuer))
    await client.post("/api/auth/logout")
    await registered(client, "other")
    response = await client.get(CALLBACK, params=await go(client, issuer, link="true"))
    assert_problem(response, 409, "identity_taken")
    assert (await client.get("/api/me")).json()["email"] == body("other")["email"]
