"""How an API key is written: ``yk_``, 12 characters that find it, 43 that are secret, 6 that check the rest.

Letters and digits alone, so that a double click selects it and secret scanners find it: ``yk_[0-9A-Za-z]{61}``. 43 such
characters are 256 random bits. The check tells a mistyped or made-up key without a look into the database; it is no
secret.

What is stored is the key's sha256. A slow hash such as argon2 makes guessing of what people choose expensive; of 256
random bits nobody guesses any, while every request would pay the 20 ms.
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import NamedTuple

START = "yk_"
PREFIX_LENGTH = len(START) + 12
_SECRET_LENGTH, _CHECK_LENGTH = 43, 6
_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SHAPE = re.compile(rf"{START}[0-9A-Za-z]{{{12 + _SECRET_LENGTH + _CHECK_LENGTH}}}")


class KeyText(NamedTuple):
    """A key as it is looked up: the prefix shown in lists, and the hash of the whole."""

    prefix: str
    secret_hash: bytes


def new_key() -> str:
    """A fresh key."""
    body = START + "".join(secrets.choice(_LETTERS) for _ in range(12 + _SECRET_LENGTH))
    return body + _check(body)


def looks_like_key(token: str) -> bool:
    """Whether a bearer token means to be a key."""
    return token.startswith(START)


def read_key(text: str) -> KeyText | None:
    """What finds and proves a key; null when it is none of ours, whatever the database holds."""
    if not _SHAPE.fullmatch(text) or _check(text[:-_CHECK_LENGTH]) != text[-_CHECK_LENGTH:]:
        return None
    return KeyText(text[:PREFIX_LENGTH], hashlib.sha256(text.encode()).digest())


def _check(body: str) -> str:
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK_LENGTH):
        number, digit = divmod(number, len(_LETTERS))
        check = _LETTERS[digit] + check
    return check
