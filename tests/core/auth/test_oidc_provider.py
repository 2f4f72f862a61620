"""Sign-in against a real, certified OpenID provider: `oidc-provider`, run by Node.js on this machine."""

import fcntl
import re
import selectors
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.core.auth.conftest import Make, bearer
from tests.core.http.small_app import HOST, assert_problem, settings_with
from yeoul.core.auth.outside.ticket import Tickets

PACKAGE = "oidc-provider@9.13.3"
SCRIPT = Path(__file__).with_name("oidc_server.mjs")
SECONDS = 60


def installed(folder: Path) -> None:
    """Installs the provider, once for all runs; skips the test where that cannot be done."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js with npm is not installed: the real OpenID provider cannot be run")
    done = folder / "installed"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            (folder / "package.json").write_text('{"private": true}')
            command = ["npm", "install", PACKAGE, "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS)
            if run.returncode != 0:
                pytest.skip(f"npm could not install {PACKAGE}: {run.stderr.strip()[-300:]}")
            done.touch()
        shutil.copy(SCRIPT, folder)  # imports are looked for beside it


@pytest.fixture(scope="session")
def provider(pytestconfig: pytest.Config) -> Generator[str]:
    """Its address."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir(PACKAGE.replace("@", "-"))
    installed(folder)
    command = ["node", SCRIPT.name, f"{HOST}/api/auth/oidc/real/callback"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.select(SECONDS)
        line = process.stdout.readline().strip() if process.poll() is None else ""
        if not line:
            process.kill()
            pytest.skip(f"the OpenID provider did not start: {process.stderr.read()[-300:]}")
        yield line
        process.terminate()


async def through(start: str, name: str, *, consent: bool = True) -> str:
    """What a person does at the provider: signs in, agrees or not. Returns the address the browser is sent back to."""
    async with httpx.AsyncClient(follow_redirects=False, timeout=SECONDS) as browser:
        response = await browser.get(start)
        for _ in range(12):
            if response.is_redirect:
                location = str(response.url.join(response.headers["location"]))
                if location.startswith(HOST):
                    return location
                response = await browser.get(location)
            elif (form := re.search(r'name="prompt" value="(\w+)"', response.text)) is None:
                raise AssertionError(response.text)
            elif form[1] == "login":
                fields = {"prompt": "login", "login": name, "password": "any"}
                response = await browser.post(_action(response), data=fields)
            elif consent:
                response = await browser.post(_action(response), data={"prompt": "consent"})
            else:
                response = await browser.get(f"{response.url}/abort")
    raise AssertionError("the provider never sent the browser back")


def _action(response: httpx.Response) -> str:
    found = re.search(r'action="([^"]+)"', response.text)
    assert found
    return str(response.url.join(found[1]))


def offering(provider: str) -> dict[str, object]:
    """Both clients; and tokens of the provider for the first one taken directly."""
    real = {"name": "real", "client_id": "yeoul", "client_secret": "a secret / with signs & such"}
    return {
        "oidc_providers": [{**real, "issuer": provider}, {"name": "public", "client_id": "public", "issuer": provider}],
        "trusted_issuers": [{"issuer": provider, "audience": "yeoul"}],
    }


@pytest.mark.parametrize("name", ["real", "public"])
async def test_there_and_back(program: Make, provider: str, name: str) -> None:
    client = await program(**offering(provider))
    seen, back = set(), ""
    for _ in range(2):
        started = await client.get(f"/api/auth/oidc/{name}", params={"next": "/jobs"})
        assert started.status_code == 303, started.text
        back = await through(started.headers["location"], "mina")
        finished = await client.get(back)
        assert (finished.status_code, finished.headers.get("location")) == (303, "/jobs"), finished.text
        me = (await client.get("/api/me")).json()
        seen.add(me["id"])
        assert (me["email"], me["name"]) == ("mina@example.com", "The mina")
    assert len(seen) == 1
    (identity,) = (await client.get("/api/auth/identities")).json()
    assert (identity["issuer"], identity["subject"], identity["email_verified"]) == (provider, "mina", True)
    # The same address again: the code is used up, and the ticket is gone.
    assert_problem(await client.get(back), 401, "sign_in_not_started")


async def test_an_unproven_email_stays_unproven(program: Make, provider: str) -> None:
    client = await program(**offering(provider))
    started = await client.get("/api/auth/oidc/real")
    assert (await client.get(await through(started.headers["location"], "unproven"))).status_code == 303
    (identity,) = (await client.get("/api/auth/identities")).json()
    assert identity["email_verified"] is False


async def test_who_does_not_agree_is_not_signed_in(program: Make, provider: str) -> None:
    client = await program(**offering(provider))
    started = await client.get("/api/auth/oidc/real")
    back = await through(started.headers["location"], "mina", consent=False)
    assert_problem(await client.get(back), 401, "sign_in_denied")
    assert not client.cookies


@pytest.mark.parametrize("changed", ["code", "verifier", "iss"])
async def test_the_provider_and_we_check_each_other(program: Make, provider: str, changed: str) -> None:
    client = await program(**offering(provider))
    start = (await client.get("/api/auth/oidc/real")).headers["location"]
    back = await through(start, "mina")
    query = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    match changed:
        case "code":
            query["code"] = query["code"][::-1]
        case "verifier":  # somebody else's code, for another verifier
            other = (await client.get("/api/auth/oidc/real")).headers["location"]
            query["code"] = parse_qs(urlsplit(await through(other, "mallory")).query)["code"][0]
        case _:
            query["iss"] = "https://somebody.example.com"
    response = await client.get("/api/auth/oidc/real/callback", params=query)
    assert_problem(response, 401, "sign_in_failed")


async def test_its_tokens_are_taken_directly(program: Make, provider: str) -> None:
    """A program that signed its user in by itself sends the ID token."""
    client = await program(**offering(provider))
    start = (await client.get("/api/auth/oidc/real")).headers["location"]
    back = await through(start, "mina")
    # The code is exchanged here as such a program would, with the verifier of our own ticket.
    (cookie,) = client.cookies.values()
    ticket = Tickets(settings_with().signing_key).read(cookie, "real", parse_qs(urlsplit(back).query)["state"][0])
    assert ticket is not None
    async with httpx.AsyncClient(timeout=SECONDS) as http:
        sent = {
            "grant_type": "authorization_code",
            "code": parse_qs(urlsplit(back).query)["code"][0],
            "redirect_uri": f"{HOST}/api/auth/oidc/real/callback",
            "code_verifier": ticket.verifier,
        }
        auth = httpx.BasicAuth("yeoul", "a%20secret%20%2F%20with%20signs%20%26%20such")
        tokens = (await http.post(f"{provider}/token", data=sent, auth=auth)).json()
    response = await client.post("/api/auth/session", json={"token": tokens["id_token"]})
    assert_problem(response, 403, "email_required")  # this provider tells the email apart from the token
    forged = tokens["id_token"][:-8] + "AAAAAAAA"
    assert_problem(await client.post("/api/auth/session", headers=bearer(forged)), 401, "outside_token_invalid")
