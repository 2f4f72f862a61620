import io
import json
import logging
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.core.http.small_app import settings_with
from yeoul.core.http import logs


def configured(**settings: Any) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(settings_with(**settings), stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_where_no_terminal_is() -> None:
    stream = configured()
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger("yeoul.x").info("여울", n=1)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "여울", "level": "info", "logger": "yeoul.x", "n": 1, "request_id": "r1"}
    assert "여울" in stream.getvalue()


def test_human_form_has_no_json() -> None:
    stream = configured(log_format="human")
    structlog.get_logger("x").warning("hello", path="/a")
    assert "hello" in stream.getvalue()
    assert "path=/a" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_libraries_go_the_same_way() -> None:
    stream = configured()
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logging.getLogger("sqlalchemy").warning("Pooled %s", "it")
    logging.getLogger("uvicorn.error").info("Started server process: chatter, at debug")
    logging.getLogger("uvicorn.access").info("not twice")
    logging.getLogger("httpx").info("too chatty")
    assert [(line["event"], line["logger"], line["request_id"]) for line in lines(stream)] == [
        ("Pooled it", "sqlalchemy", "r1")
    ]


def test_level() -> None:
    stream = configured(log_level="warning")
    structlog.get_logger("x").info("no")
    logging.getLogger("y").info("no")
    structlog.get_logger("x").warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize("log_format", ["json", "human"])
def test_tracebacks_without_locals_or_secrets(log_format: str) -> None:
    stream = configured(log_format=log_format)

    hidden = "secret-local"[::-1]  # not to be read off the source lines of a traceback

    def fails(hidden: str) -> None:
        raise RuntimeError("postgresql://yeoul_app:hunter2@db/yeoul refused")

    try:
        fails(hidden)
    except RuntimeError:
        structlog.get_logger("x").exception("broke")
    try:
        fails(hidden)
    except RuntimeError:
        logging.getLogger("library").exception("broke too")
    text = stream.getvalue()
    assert text.count("RuntimeError: postgresql://yeoul_app:[hidden]@db/yeoul refused") == 2
    assert "in fails" in text
    assert "hunter2" not in text
    assert hidden not in text


SECRET = "s3cr3t-value-of-some-length"


@pytest.mark.parametrize(
    "fields",
    [
        {"password": SECRET},
        {"new_password": SECRET},
        {"Authorization": SECRET},
        {"refresh_token": SECRET},
        {"openai_api_key": SECRET},
        {"api-key": SECRET},
        {"secret": SECRET.encode()},
        {"headers": {"cookie": SECRET, "set-cookie": SECRET}},
        {"text": f"Authorization: Bearer {SECRET}"},
        {"text": f"redis://:{SECRET}@cache:6379/0"},
        {"text": f"key sk-{SECRET} refused"},
        {"text": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s3cr3t"},
    ],
)
def test_secrets_are_hidden(fields: dict[str, Any]) -> None:
    stream = configured()
    structlog.get_logger("x").info("e", **fields)
    assert "s3cr3t" not in stream.getvalue()
    assert "[hidden]" in stream.getvalue()


@given(st.dictionaries(st.sampled_from(["tokens", "key_count", "path", "model", "passwords_checked"]), st.integers()))
def test_plain_fields_stay(fields: dict[str, int]) -> None:
    assert logs.hide_secrets(None, "", dict(fields)) == fields


def test_what_was_logged_is_not_changed() -> None:
    headers = {"cookie": SECRET}
    logs.hide_secrets(None, "", {"headers": headers})
    assert headers == {"cookie": SECRET}
