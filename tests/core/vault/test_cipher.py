"""Sealing: only the right key opens, and only where it was sealed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yeoul.core.vault.cipher import Cipher
from yeoul.core.vault.errors import SecretLost

OLD, NEW = "o" * 32, "n" * 32


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_what_was_sealed_opens(secret: str, context: str) -> None:
    cipher = Cipher([NEW])
    sealed = cipher.seal(secret, context)
    assert cipher.open(sealed, context) == secret
    assert len(secret) < 4 or secret.encode() not in sealed


def test_the_same_secret_never_looks_the_same() -> None:
    cipher = Cipher([NEW])
    assert len({cipher.seal("secret", "mina/openai") for _ in range(100)}) == 100


def test_it_does_not_open_elsewhere() -> None:
    cipher = Cipher([NEW])
    with pytest.raises(SecretLost, match="row was changed"):
        cipher.open(cipher.seal("secret", "mina/openai"), "jun/openai")


@pytest.mark.parametrize("at", [3, 10, -1])
def test_a_changed_byte_is_noticed(at: int) -> None:
    cipher = Cipher([NEW])
    sealed = bytearray(cipher.seal("secret", "mina/openai"))
    sealed[at] ^= 1
    with pytest.raises(SecretLost):
        cipher.open(bytes(sealed), "mina/openai")


def test_a_former_key_still_opens_and_no_longer_seals() -> None:
    sealed = Cipher([OLD]).seal("secret", "x")
    both = Cipher([NEW, OLD])
    assert both.open(sealed, "x") == "secret"
    assert not both.is_newest(sealed)
    assert both.is_newest(both.seal("secret", "x"))
    with pytest.raises(SecretLost, match="YEOUL_VAULT_OLD_KEYS"):
        Cipher([NEW]).open(sealed, "x")
