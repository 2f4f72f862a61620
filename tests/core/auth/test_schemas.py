import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from yeoul.core.auth.schemas import Credentials, Registration, normalise_email

PASSWORD = "a long passphrase"


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("mina@example.com", "mina@example.com"),
        ("  Mina@Example.COM ", "mina@example.com"),
        ("mina+tag@example.com", "mina+tag@example.com"),
        ("a@host.test", "a@host.test"),
        ("a@b.example", "a@b.example"),
        ("a@office.local", "a@office.local"),
        ("root@localhost", "root@localhost"),
        ("여울@여울.한국", "여울@여울.한국"),
        (unicodedata.normalize("NFD", "여울@example.com"), "여울@example.com"),
        ("a@xn--bcher-kva.example", "a@bücher.example"),
    ],
)
def test_emails_have_one_spelling(given: str, normal: str) -> None:
    assert normalise_email(given) == normal


@pytest.mark.parametrize(
    "text",
    ["", "mina", "@example.com", "mina@", "a b@example.com", "a@b@c.com", "a\0@example.com", "a@-x.com", "x" * 400],
)
def test_what_is_no_email(text: str) -> None:
    with pytest.raises(ValidationError):
        Registration(email=text, password=PASSWORD)


@given(st.emails())
def test_normalising_twice_is_normalising_once(email: str) -> None:
    try:
        once = normalise_email(email)
    except ValueError:
        return
    assert normalise_email(once) == once == once.lower()


@pytest.mark.parametrize("password", ["1234567", "x" * 257, "12345678\0", "12345678\ud800", ""])
def test_what_is_no_password(password: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Registration(email="a@b.test", password=password)
    assert "12345678" not in str(refused.value)


@pytest.mark.parametrize("password", ["12345678", "x" * 256, "여덟글자비밀번호", "🙂" * 8])
def test_what_is_a_password(password: str) -> None:
    made = Registration(email="a@b.test", password=password)
    assert made.password.get_secret_value() == password
    assert password not in repr(made)


def test_passwords_are_composed_alike() -> None:
    apart, together = (unicodedata.normalize(form, "비밀번호입니다요") for form in ("NFD", "NFC"))
    assert apart != together
    for model in (Registration, Credentials):
        typed = model(email="a@b.test", password=apart)
        assert typed.password.get_secret_value() == together


@pytest.mark.parametrize(("given", "kept"), [(None, None), ("  ", None), (" Mina ", "Mina"), ("x" * 200, "x" * 200)])
def test_names(given: str | None, kept: str | None) -> None:
    assert Registration(email="a@b.test", password=PASSWORD, name=given).name == kept


@pytest.mark.parametrize("name", ["x" * 201, "a\0b", "\udfff"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError):
        Registration(email="a@b.test", password=PASSWORD, name=name)
