"""What the settings take as a provider, and what they refuse without telling secrets."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.core.http.small_app import settings_with
from yeoul.settings import Settings

SECRET = "a-secret-that-no-error-may-repeat-0123456789"
ISSUER = {"issuer": "https://id.example.com", "audience": "yeoul"}
PROVIDER = {"name": "corp", "issuer": "https://id.example.com", "client_id": "yeoul", "client_secret": SECRET}


def test_nobody_is_trusted_by_default() -> None:
    settings = settings_with()
    assert settings.all_trusted_issuers == ()
    assert settings.all_oidc_providers == ()


def test_they_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YEOUL_TRUSTED_ISSUERS", json.dumps([{**ISSUER, "algorithms": "RS256"}]))
    monkeypatch.setenv("YEOUL_OIDC_PROVIDERS", json.dumps([PROVIDER]))
    monkeypatch.setenv("YEOUL_GOOGLE_CLIENT_ID", "g")
    monkeypatch.setenv("YEOUL_SUPABASE_URL", "https://project.supabase.co/")
    settings = Settings(_env_file=None)
    first, supabase = settings.all_trusted_issuers
    assert (first.audience, first.algorithms, first.email_verified) == (("yeoul",), ("RS256",), "claim")
    assert supabase.issuer == "https://project.supabase.co/auth/v1"
    assert supabase.jwks_url == "https://project.supabase.co/auth/v1/.well-known/jwks.json"
    assert supabase.audience == ("authenticated",)
    google, corp = settings.all_oidc_providers
    assert (google.name, google.issuer, google.label) == ("google", "https://accounts.google.com", "Google")
    assert corp.client_secret is not None
    assert SECRET not in repr(settings)
    monkeypatch.setenv("YEOUL_TRUSTED_ISSUERS", "")
    assert Settings(_env_file=None).trusted_issuers == []


def test_a_supabase_project_with_its_old_secret() -> None:
    (supabase,) = settings_with(supabase_url="https://p.supabase.co", supabase_jwt_secret=SECRET).all_trusted_issuers
    assert supabase.jwks_url is None
    assert supabase.secret is not None


@pytest.mark.parametrize("url", ["http://p.supabase.co", "p.supabase.co", "https://user:x@p.supabase.co"])
def test_a_supabase_project_has_a_plain_address(url: str) -> None:
    with pytest.raises(ValidationError):
        settings_with(supabase_url=url)


def test_what_is_written_out_goes_before_what_is_short() -> None:
    own = {"issuer": "https://p.supabase.co/auth/v1", "audience": "authenticated", "email_verified": "always"}
    (supabase,) = settings_with(supabase_url="https://p.supabase.co", trusted_issuers=[own]).all_trusted_issuers
    assert supabase.email_verified == "always"
    (google,) = settings_with(google_client_id="g", oidc_providers=[{**PROVIDER, "name": "google"}]).all_oidc_providers
    assert google.client_id == "yeoul"


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "http://id.example.com"},
        {"issuer": "id.example.com"},
        {"issuer": "https://"},
        {"issuer": "https://user:password@id.example.com"},
        {"issuer": "https://id.example.com#x"},
        {"issuer": "https://id.example.com/\\x"},
        {"issuer": "http://localhost.example.com"},
        {"issuer": "http://10.0.0.1"},
        {"issuer": "https://[::1"},
        {"issuer": ""},
        {"audience": []},
        {"audience": None},
        {"audience": ...},
        {"jwks_url": "http://id.example.com/keys"},
        {"jwks_url": "file:///keys"},
        {"secret": "too short"},
        {"secret": SECRET, "algorithms": ["RS256"]},
        {"secret": SECRET, "jwks_url": "https://id.example.com/keys"},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": "RS1"},
        {"email_verified": "yes"},
        {"unknown": 1},
    ],
)
def test_issuers_that_are_not_acceptable(changed: dict[str, Any]) -> None:
    entry = {name: value for name, value in {**ISSUER, **changed}.items() if value is not ...}
    with pytest.raises(ValidationError) as caught:
        settings_with(trusted_issuers=[entry])
    assert SECRET not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize(
    "url", ["https://id.example.com", "http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"]
)
def test_plain_http_is_for_this_machine(url: str) -> None:
    settings_with(trusted_issuers=[{**ISSUER, "issuer": url}], oidc_providers=[{**PROVIDER, "issuer": url}])


def test_an_issuer_with_a_secret_needs_no_address() -> None:
    settings_with(trusted_issuers=[{"issuer": "our-other-backend", "audience": "yeoul", "secret": SECRET}])


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "Corp"},
        {"name": "a/b"},
        {"name": ""},
        {"name": ".."},
        {"issuer": "http://id.example.com"},
        {"client_id": ""},
        {"scopes": "email"},
        {"scopes": "openidx"},
        {"algorithms": ["HS256"]},
    ],
)
def test_providers_that_are_not_acceptable(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings_with(oidc_providers=[{**PROVIDER, **changed}])


def test_entries_do_not_repeat() -> None:
    for settings in ({"trusted_issuers": [ISSUER, ISSUER]}, {"oidc_providers": [PROVIDER, PROVIDER]}):
        with pytest.raises(ValidationError, match="twice"):
            settings_with(**settings)


@pytest.mark.parametrize("text", [f'[{{"secret": "{SECRET}"', f'{{"secret": "{SECRET}"}}', "7", f'"{SECRET}"', "[7]"])
def test_errors_repeat_no_secret(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for name in ("YEOUL_TRUSTED_ISSUERS", "YEOUL_OIDC_PROVIDERS"):
        monkeypatch.setenv(name, text)
        with pytest.raises(ValidationError) as caught:
            Settings(_env_file=None)
        assert SECRET not in str(caught.value)
        monkeypatch.delenv(name)
