"""``/health`` (this process lives), ``/up`` (the same, for eyes) and ``/ready`` (it can do its work)."""

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse

from yeoul import __version__
from yeoul.core.base.errors import Unavailable
from yeoul.core.base.readiness import Check, Note

CHECK_SECONDS = 5.0
"""How long one check may take before it counts as failed."""

router = APIRouter(tags=["health"])


class NotReady(Unavailable):
    """At least one readiness check fails."""

    code, title = "not_ready", "Not ready"


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health() -> dict[str, str]:
    """Answers as long as the process lives; asks nobody else."""
    return {"status": "ok", "version": __version__}


@router.head("/up", include_in_schema=False)
@router.get("/up", response_class=HTMLResponse, include_in_schema=False)
async def up() -> str:
    """A green page."""
    # bgcolor, since the content security policy forbids inline styles.
    return '<!DOCTYPE html><html lang="en"><title>Up</title><body bgcolor="green"></body></html>'


@router.get("/ready")
async def ready(request: Request) -> dict[str, object]:
    """Runs the readiness checks; 503 says which one fails and what to do about it."""
    results = await run_checks(request.app.state.services.readiness)
    failed = {name: wrong for name, wrong in results.items() if wrong is not None and not isinstance(wrong, Note)}
    checks = {name: wrong or "ok" for name, wrong in results.items()}
    if failed:
        raise NotReady(" ".join(f"{name}: {wrong}" for name, wrong in failed.items()), retry_after=5, checks=checks)
    return {"status": "ready", "checks": checks}


async def run_checks(checks: Mapping[str, Check]) -> dict[str, str | None]:
    """Runs all checks at once; a check that raises or hangs fails."""
    return dict(zip(checks, await asyncio.gather(*map(_run, checks.values())), strict=True))


async def _run(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return f"No answer within {CHECK_SECONDS:g} s."
    except Exception as error:  # noqa: BLE001  (whatever is wrong, the answer is that it is not ready)
        return f"{type(error).__name__}: {error}"
