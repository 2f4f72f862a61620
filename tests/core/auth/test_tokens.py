import base64
import json
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yeoul.core.auth import tokens
from yeoul.core.auth.errors import SessionEnded, TokenExpired, TokenInvalid
from yeoul.core.auth.tokens import ACCESS, ISSUER, REFRESH, Tokens

TOKENS = Tokens("0123456789abcdef0123456789abcdef", access_seconds=900)
USER, SESSION = uuid4(), uuid4()
SECRET = b"\x01" * 32


def soon(seconds: float = 900) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def forged(key: bytes | None = None, algorithm: str = "HS256", **changed: Any) -> str:
    claims = {"iss": ISSUER, "aud": ACCESS, "sub": str(USER), "sid": str(SESSION), "role": "user", "exp": soon()}
    merged = {name: value for name, value in {**claims, **changed}.items() if value is not ...}
    with warnings.catch_warnings():  # of PyJWT, about a key too short for HS512: that is the test
        warnings.simplefilter("ignore")
        return jwt.encode(merged, TOKENS._keys[ACCESS] if key is None else key, algorithm)


def test_access_token_says_who_bears_it() -> None:
    token = TOKENS.access(USER, "admin", SESSION)
    assert TOKENS.read_access(token) == tokens.AccessClaims(USER, "admin", SESSION)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "exp", "iat", "sub", "sid", "role"}
    assert claims["exp"] - claims["iat"] == 900


def test_refresh_token_carries_its_secret() -> None:
    claims = TOKENS.read_refresh(TOKENS.refresh(SESSION, SECRET, soon()))
    assert claims == tokens.RefreshClaims(SESSION, SECRET)


def test_forgery_helper_makes_good_tokens() -> None:
    assert TOKENS.read_access(forged()).user_id == USER


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": REFRESH},
        {"aud": "somebody"},
        {"aud": ...},
        {"iss": "somebody"},
        {"iss": ...},
        {"exp": ...},
        {"exp": "never"},
        {"sub": ...},
        {"sub": "not-a-uuid"},
        {"sub": 7},
        {"sid": ...},
        {"sid": None},
        {"sid": ["x"]},
        {"role": ...},
        {"role": "owner"},
        {"role": ["admin"]},
        {"nbf": 99_999_999_999},
        {"iat": 99_999_999_999},
    ],
)
def test_access_tokens_with_other_claims_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read_access(forged(**changed))


@pytest.mark.parametrize(
    "token",
    [
        forged(key=b"another key of thirty-two bytes.."),
        forged(key=b"0123456789abcdef0123456789abcdef"),  # the signing key itself is no key of any use
        forged(algorithm="HS512"),
        "",
        "a.b.c",
        "....",
        "x" * 100_000,
        "é.é.é",
        "\ud800.\ud800.\ud800",
    ],
    ids=["another key", "the signing key", "another algorithm", "empty", "words", "dots", "x", "letters", "surrogates"],
)
def test_tokens_of_other_making_are_refused(token: str) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read_access(token)
    with pytest.raises(TokenInvalid):
        TOKENS.read_refresh(token)
    with pytest.raises(TokenInvalid):
        TOKENS.read_access(token, even_expired=True)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_unsigned_tokens_are_refused(algorithm: str) -> None:
    head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).rstrip(b"=").decode()
    body = forged().split(".")[1]
    for token in (f"{head}.{body}.", f"{head}.{body}", f"{head}.{body}.{forged().split('.')[2]}"):
        with pytest.raises(TokenInvalid):
            TOKENS.read_access(token)


def test_one_kind_is_not_taken_for_the_other() -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read_refresh(TOKENS.access(USER, "user", SESSION))
    with pytest.raises(TokenInvalid):
        TOKENS.read_access(TOKENS.refresh(SESSION, SECRET, soon()))


def test_expiry_with_a_small_leeway() -> None:
    assert TOKENS.read_access(forged(exp=soon(-3))).user_id == USER
    with pytest.raises(TokenExpired):
        TOKENS.read_access(forged(exp=soon(-7)))
    assert TOKENS.read_access(forged(exp=soon(-7)), even_expired=True).user_id == USER
    with pytest.raises(SessionEnded):
        TOKENS.read_refresh(TOKENS.refresh(SESSION, SECRET, soon(-7)))


@given(data=st.data())
def test_a_changed_character_spoils_a_token(data: st.DataObject) -> None:
    token = forged()
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    changed = token[:at] + other + token[at + 1 :]
    # The last character of a signature has two bits that mean nothing, so it may be spelled four ways.
    if changed != token and at != len(token) - 1:
        with pytest.raises(TokenInvalid):
            TOKENS.read_access(changed)


@given(st.text(max_size=200))
def test_any_text_is_refused_politely(text: str) -> None:
    with pytest.raises(TokenInvalid):
        TOKENS.read_access(text)


def test_successors_are_the_same_each_time_and_need_the_key() -> None:
    assert TOKENS.successor(SECRET) == TOKENS.successor(SECRET) != SECRET
    assert Tokens("another-key-another-key-another!", 900).successor(SECRET) != TOKENS.successor(SECRET)
