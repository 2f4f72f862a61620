"""Requests to providers: bounded in time and size, never redirected, and only to addresses of the configuration.

What a token or a client says never makes an address: an issuer's documents are fetched where its settings, and the
issuer's own discovery document, say they are.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog

from yeoul.core.auth.errors import ProviderUnavailable
from yeoul.setting_types import is_loopback

SECONDS = 5.0
MAX_BYTES = 262_144

log = structlog.get_logger(__name__)


async def fetch(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, body: str | None = None
) -> tuple[int, dict[str, Any]]:
    """The status and the JSON object that an address answers with; raises ``ProviderUnavailable``."""
    wanted = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    try:
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(verify=_trust(), timeout=SECONDS, follow_redirects=False) as client,
            client.stream(method, url, headers=wanted, content=body) as response,
        ):
            return response.status_code, _object(await _read(response))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        log.warning("a provider does not answer as it should", url=_shown(url), error=reason)
        raise ProviderUnavailable from None


async def document(url: str) -> dict[str, Any]:
    """The JSON object at an address; raises ``ProviderUnavailable``, also for any status but 200."""
    status, found = await fetch("GET", url)
    if status != httpx.codes.OK:
        log.warning("a provider does not answer as it should", url=_shown(url), status=status)
        raise ProviderUnavailable
    return found


def is_safe(url: object, beside: str) -> bool:
    """Whether to send anything to an address of a document: https, or this machine where the issuer is on it too."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        here = parts.scheme == "http" and is_loopback(url) and is_loopback(beside)
        return bool(parts.hostname) and (parts.scheme == "https" or here)
    except ValueError:
        return False


async def _read(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ValueError("the answer is compressed")  # small on the wire may be large in memory
    read = bytearray()
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) > MAX_BYTES:
            raise ValueError("the answer is too large")
    return bytes(read)


def _object(text: bytes) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("the answer is no JSON object")  # noqa: TRY004  (of the answer, not of our code)
    return found


def _shown(url: str) -> str:
    return url.partition("?")[0]


@cache
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # once: it takes 20 ms
