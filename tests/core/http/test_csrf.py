import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from tests.core.http.small_app import settings_with
from yeoul.core.http.csrf import CrossOrigin, from_own_page, parse_origin, require_own_page


def connection(headers: dict[str, str], *, scheme: str = "http", method: str | None = "POST") -> HTTPConnection:
    scope = {"type": "http", "scheme": scheme, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}
    return HTTPConnection({**scope, "method": method} if method else {**scope, "type": "websocket"})


@pytest.mark.parametrize(
    ("headers", "scheme", "own"),
    [
        ({"host": "a.test", "origin": "http://a.test"}, "http", True),
        ({"host": "a.test:80", "origin": "http://a.test"}, "http", True),
        ({"host": "A.test", "origin": "http://a.TEST"}, "http", True),
        ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}, "http", True),
        ({"host": "[::1]:8000", "origin": "http://[::1]:8000"}, "http", True),
        ({"host": "a.test", "origin": "https://a.test"}, "http", True),  # TLS ends at a proxy
        ({"host": "a.test", "origin": "https://a.test"}, "wss", True),
        ({"host": "a.test", "origin": "http://a.test"}, "https", False),  # a page that came unprotected
        ({"host": "a.test", "origin": "http://a.test:8080"}, "http", False),
        ({"host": "a.test", "origin": "http://evil.test"}, "http", False),
        ({"host": "a.test", "origin": "http://a.test.evil.test"}, "http", False),
        ({"host": "a.test", "origin": "http://a.test@evil.test"}, "http", False),
        ({"host": "a.test", "origin": "null"}, "http", False),
        ({"host": "a.test", "origin": "file://"}, "http", False),
        ({"host": "a.test", "origin": "http://a.test:x"}, "http", False),
        ({"host": "a.test"}, "http", False),
        ({"origin": "http://a.test"}, "http", False),
        ({"host": "a.test", "referer": "http://a.test/page?x=1"}, "http", True),
        ({"host": "a.test", "referer": "http://evil.test/http://a.test/"}, "http", False),
        ({"host": "a.test", "origin": "http://evil.test", "referer": "http://a.test/"}, "http", False),
        ({"host": "inside:8000", "sec-fetch-site": "same-origin", "origin": "https://a.test"}, "http", True),
        ({"host": "a.test", "sec-fetch-site": "same-site", "origin": "http://b.a.test"}, "http", False),
        ({"host": "a.test", "sec-fetch-site": "cross-site", "origin": "http://evil.test"}, "http", False),
        ({"host": "a.test", "sec-fetch-site": "none"}, "http", False),
        ({"host": "x", "origin": "https://front.example.com"}, "http", True),  # allowed
        ({"host": "x", "origin": "https://ai.example.com"}, "http", True),  # public_url
        ({"host": "x", "origin": "http://ai.example.com"}, "http", False),
    ],
)
def test_what_counts_as_our_own_page(headers: dict[str, str], scheme: str, own: bool) -> None:
    settings = settings_with(public_url="https://ai.example.com/", allowed_origins="https://front.example.com/,*")
    assert from_own_page(connection(headers, scheme=scheme), settings) is own


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY", None])
def test_unsafe_requests_and_websockets_need_an_own_page(method: str | None) -> None:
    with pytest.raises(CrossOrigin) as raised:
        require_own_page(connection({"host": "a.test", "origin": "http://evil.test"}, method=method), settings_with())
    assert (raised.value.status, raised.value.code) == (403, "csrf")
    require_own_page(connection({"host": "a.test", "origin": "http://a.test"}, method=method), settings_with())


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_safe_requests_pass(method: str) -> None:
    require_own_page(connection({"host": "a.test", "origin": "http://evil.test"}, method=method), settings_with())


@given(st.text())
def test_any_text_is_an_origin_or_none(text: str) -> None:
    origin = parse_origin(text)
    assert origin is None or (origin.scheme in {"http", "https"} and origin.host and 0 < origin.port < 65536)


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_no_foreign_origin_passes_as_ours(origin: str) -> None:
    headers = {"host": "a.test", "origin": origin}
    if from_own_page(connection(headers), settings_with()):
        assert parse_origin(origin) in {("http", "a.test", 80), ("https", "a.test", 443)}
