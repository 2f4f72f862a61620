"""An OpenID issuer on this machine, whose every answer a test can change: what a real one would never say as well."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "yeoul-client"
SECRET = "a client secret / with signs & such"


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key; the same number is the same key."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


@cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str | None, **more: Any) -> dict[str, Any]:
    """The public half, as issuers show it."""
    if isinstance(key, rsa.RSAPrivateKey):
        shown = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        shown = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    named = {} if kid is None else {"kid": kid}
    return {k: v for k, v in shown.items() if k != "key_ops"} | {"use": "sig"} | named | more


def signed(head: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey | None = None) -> str:
    """A well-signed token of whatever head and claims: also such as no library would write."""
    text = b".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
    signature = jwt.get_algorithm_by_name("RS256").sign(text, key or rsa_key())
    return (text + b"." + encoded(signature)).decode()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@dataclass
class Answer:
    """What the issuer answers: an object as JSON, or bytes as they are."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]


class FakeIssuer:
    """Answers what ``answers`` holds for a path; by default what a good issuer would."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[dict[str, Any]] = [jwk(rsa_key(), "one")]
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.arrived = asyncio.Event()
        self.codes: dict[str, dict[str, str]] = {}
        self.id_claims: dict[str, Any] = {}
        self.user_info: dict[str, Any] = {}
        self.denies = False
        self.metadata: dict[str, Any] = {
            "issuer": url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "userinfo_endpoint": f"{url}/userinfo",
            "jwks_uri": f"{url}/jwks",
        }

    def token(
        self, /, *, key: Any = None, alg: str = "RS256", header: dict[str, Any] | None = None, **changed: Any
    ) -> str:
        """A token of this issuer. ``name=...`` (the ellipsis) leaves a claim out."""
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "subject-1",
            "iat": datetime.now(UTC),
            "exp": datetime.now(UTC) + timedelta(minutes=5),
            "email": "mina@example.com",
            "email_verified": True,
        }
        kept = {name: value for name, value in {**claims, **changed}.items() if value is not ...}
        head = {k: v for k, v in {"kid": "one", **(header or {})}.items() if v is not ...}
        return jwt.encode(kept, rsa_key() if key is None else key, alg, headers=head)

    def count(self, path: str) -> int:
        return sum(asked.path == path for asked in self.asked)

    def authorize(self, address: str, code: str = "the-code") -> dict[str, str]:
        """What its page would do once somebody has signed in: remembers what was asked for, and gives a code."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def _authorization_endpoint(self, asked: Asked) -> Answer:
        """Its page for browsers: everybody is signed in already, and sent back at once."""
        code = f"code-{len(self.asked)}"
        self.codes[code] = asked.query
        back = {"error": "access_denied"} if self.denies else {"code": code}
        query = urlencode(back | {"state": asked.query["state"]})
        return Answer(b"", 303, {"Location": f"{asked.query['redirect_uri']}?{query}"})

    def _token_endpoint(self, asked: Asked) -> Answer:
        wanted = self.codes.pop(asked.form.get("code", ""), None)  # good for one use
        if wanted is None:
            return Answer({"error": "invalid_grant"}, 400)
        challenge = hashlib.sha256(asked.form.get("code_verifier", "").encode()).digest()
        same = encoded(challenge).decode() == wanted["code_challenge"]
        if not same or asked.form.get("redirect_uri") != wanted["redirect_uri"]:
            return Answer({"error": "invalid_grant"}, 400)
        claims = {"nonce": wanted["nonce"], **self.id_claims}
        return Answer({"id_token": self.token(**claims), "access_token": "opaque", "token_type": "Bearer"})

    def answer(self, asked: Asked) -> Answer:
        return self.answers.get(asked.path) or self._good_answer(asked)

    def _good_answer(self, asked: Asked) -> Answer:
        match asked.path:
            case "/.well-known/openid-configuration":
                return Answer(self.metadata)
            case "/jwks":
                return Answer({"keys": self.keys})
            case "/authorize":
                return self._authorization_endpoint(asked)
            case "/token":
                return self._token_endpoint(asked)
            case "/userinfo" if asked.headers.get("authorization") == "Bearer opaque":
                return Answer(self.user_info)
            case other:
                return Answer({}, 401 if other == "/userinfo" else 404)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request_line, *lines = head.split("\r\n")
            target = urlsplit(request_line.split(" ")[1])
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name
            }
            body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
            query, form = ({name: v[0] for name, v in parse_qs(text).items()} for text in (target.query, body))
            asked = Asked(target.path, query, headers, form)
            self.asked.append(asked)
            self.arrived.set()
            answer = self.answer(asked)
            await self.hold.wait()
            raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            sent = {"Content-Type": "application/json", "Content-Length": str(len(raw)), "Connection": "close"}
            fields = "".join(f"{name}: {value}\r\n" for name, value in (sent | answer.headers).items())
            writer.write(f"HTTP/1.1 {answer.status} Status\r\n{fields}\r\n".encode() + raw)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def fake_issuer() -> AsyncGenerator[FakeIssuer]:
    made: list[FakeIssuer] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made[0].serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made.append(FakeIssuer(f"http://127.0.0.1:{port}"))
    async with server:
        yield made[0]
