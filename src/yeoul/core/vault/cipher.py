"""Sealing secrets: AES-256-GCM, bound to whose secret it is and what for.

A sealed secret is the first four bytes of the key's hash, a nonce of 12 bytes, and the ciphertext with its tag. The
hash tells which key sealed it, so that keys can be rotated; the context is authenticated, so that a row moved to
another owner does not open.
"""

import os
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from yeoul.core.vault.errors import SecretLost

_MARK = 4
_NONCE = 12


class Cipher:
    """Seals with the first of ``keys`` and opens with any. A key is text of at least 32 characters."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys: dict[bytes, AESGCM] = {}
        for key in keys:
            derived = HKDF(SHA256(), 32, salt=None, info=b"yeoul vault").derive(key.encode())
            self._keys.setdefault(sha256(derived).digest()[:_MARK], AESGCM(derived))
        self._mark, self._newest = next(iter(self._keys.items()))

    def seal(self, secret: str, context: str) -> bytes:
        """Encrypts."""
        nonce = os.urandom(_NONCE)
        return self._mark + nonce + self._newest.encrypt(nonce, secret.encode(), context.encode())

    def open(self, sealed: bytes, context: str) -> str:
        """Decrypts; raises ``SecretLost`` when its key is not here, or it was not sealed in this context."""
        key = self._keys.get(sealed[:_MARK])
        if key is None:
            raise SecretLost(
                "A stored key was encrypted with a key this installation does not have. "
                "All machines need the same YEOUL_VAULT_KEY or YEOUL_SECRET_KEY, and a former one in "
                "YEOUL_VAULT_OLD_KEYS; or store the provider's key again."
            )
        nonce, rest = sealed[_MARK : _MARK + _NONCE], sealed[_MARK + _NONCE :]
        try:
            return key.decrypt(nonce, rest, context.encode()).decode()
        except InvalidTag:
            raise SecretLost("A stored key does not decrypt: its row was changed. Store it again.") from None

    def is_newest(self, sealed: bytes) -> bool:
        """Whether it was sealed with the present key."""
        return sealed[:_MARK] == self._mark
