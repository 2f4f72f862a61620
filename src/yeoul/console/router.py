"""The console's pages. They are shells: what they show comes from the public API, by the scripts in ``static/js``."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route

from yeoul.console.assets import MOUNT
from yeoul.console.operations import figures
from yeoul.console.pages import LANGUAGE_COOKIE, THEME_COOKIE, Site, render, visitors_language
from yeoul.console.parts import Part
from yeoul.core.auth import repository as accounts
from yeoul.core.auth.dependencies import OptionalPrincipal, signed_in_before
from yeoul.core.base.errors import known_errors, meaning
from yeoul.core.http.csrf import require_own_page
from yeoul.core.jobs.schemas import Status
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.runtime.services import Services
from yeoul.product import Page, Product

YEAR_SECONDS = 365 * 86_400
STATUSES: tuple[Status, ...] = ("queued", "running", "succeeded", "failed", "canceled")

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def install(app: FastAPI, products: Sequence[Product]) -> None:
    """Adds the pages, the products' too, and their files to an application whose ``state.services`` are the process's.

    Raises ``ValueError`` for a product's page at an address that is taken, or without its template.
    """
    site = Site(products)
    app.state.console = site
    app.include_router(router)
    taken = {route.path for route in router.routes if isinstance(route, Route)}
    for part in site.parts.all:
        for page in part.pages:
            if page.path in taken:
                raise ValueError(f"product {part.name}: there is a page at {page.path} already; choose another path")
            taken.add(page.path)
            app.add_api_route(page.path, _shown(part, page), include_in_schema=False, response_class=HTMLResponse)
    app.mount(MOUNT, site.assets, name="static")


def _shown(part: Part, page: Page) -> Callable[..., Awaitable[Response]]:
    template, section = f"{part.name}/{page.template}", part.section(page)

    async def show(request: Request, principal: OptionalPrincipal) -> Response:
        if principal is None and not page.public:
            return _not_signed_in(request)
        parameters = request.path_params
        if not all(map(_is_id, parameters.values())):
            return _not_found(request)
        return render(request, template, section=section, parameters=parameters)

    return show


@router.get("/")
async def ask(request: Request, principal: OptionalPrincipal) -> Response:
    """Ask a model something."""
    if principal is None:
        return _not_signed_in(request)
    return render(request, "ask.html", job_id=None)


@router.get("/ask/{job_id}")
async def answer(request: Request, principal: OptionalPrincipal, job_id: str) -> Response:
    """A question and its answer, as it is written or as it ended."""
    if principal is None:
        return _not_signed_in(request)
    return render(request, "ask.html", job_id=job_id) if _is_id(job_id) else _not_found(request)


@router.get("/jobs")
async def jobs(request: Request, principal: OptionalPrincipal, services: CurrentServices) -> Response:
    """The list of one's jobs."""
    if principal is None:
        return _not_signed_in(request)
    return render(request, "jobs.html", kinds=_kinds(services), statuses=STATUSES)


@router.get("/jobs/{job_id}")
async def job(request: Request, principal: OptionalPrincipal, job_id: str) -> Response:
    """Everything about one job."""
    if principal is None:
        return _not_signed_in(request)
    return render(request, "job.html", job_id=job_id) if _is_id(job_id) else _not_found(request)


@router.get("/schedules")
async def schedules(request: Request, principal: OptionalPrincipal, services: CurrentServices) -> Response:
    """What runs again and again."""
    if principal is None:
        return _not_signed_in(request)
    return render(request, "schedules.html", kinds=_kinds(services))


@router.get("/failed")
async def failed(request: Request, principal: OptionalPrincipal) -> Response:
    """Jobs that have failed for good, to be retried in numbers."""
    if principal is None:
        return _not_signed_in(request)
    return render(request, "failed.html")


@router.get("/operations")
async def operations(request: Request, principal: OptionalPrincipal, services: CurrentServices) -> Response:
    """How the queue and the workers do. For administrators; to others there is no such page."""
    if principal is None:
        return _not_signed_in(request)
    if not principal.is_admin:
        return _not_found(request)
    return render(request, "operations.html", figures=await figures(services.statistics))


@router.get("/operations/figures")
async def operations_figures(request: Request, principal: OptionalPrincipal, services: CurrentServices) -> Response:
    """The figures alone, for the page to put in their place."""
    if principal is None or not principal.is_admin:  # its session has run out: the whole page sees to that
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    return render(request, "operations_figures.html", figures=await figures(services.statistics))


@router.get("/settings")
async def settings(
    request: Request, principal: OptionalPrincipal, services: CurrentServices, error: str | None = None
) -> Response:
    """Theme, language, account, who is signed in where, keys. ``error``: the code of a link that did not come about."""
    if principal is None:
        return _not_signed_in(request)
    return render(request, "settings.html", providers=_providers(services), error=error)


@router.post("/settings")
async def choose(
    request: Request,
    services: CurrentServices,
    theme: Annotated[Literal["system", "light", "dark"] | None, Form()] = None,
    language: Annotated[Literal["ko", "en"] | None, Form()] = None,
    back: Annotated[str, Form()] = "/settings",
) -> Response:
    """Keeps the choice in cookies, then shows the page anew. Visitors may choose too."""
    require_own_page(request, services.settings)
    if "hx-request" in request.headers:
        # The page's script shows a theme by itself; a page read anew would cut off a second choice made meanwhile.
        anew = language is not None and language != visitors_language(request)
        response = Response(status_code=204, headers={"HX-Refresh": "true"} if anew else {})
    else:
        response = RedirectResponse(_local(back), 303)
    secure = request.url.scheme == "https" or (services.settings.public_url or "").startswith("https://")
    for name, value in ((THEME_COOKIE, theme), (LANGUAGE_COOKIE, language)):
        if value is not None:
            response.set_cookie(name, value, max_age=YEAR_SECONDS, secure=secure, samesite="lax")
    return response


@router.get("/signin")
async def sign_in(
    request: Request,
    principal: OptionalPrincipal,
    services: CurrentServices,
    next: str = "/",  # noqa: A002  (its name in the address)
    ended: bool = False,  # noqa: FBT001, FBT002
    error: str | None = None,
) -> Response:
    """The sign-in form. ``ended``: a session has just ended, so there is nothing to refresh.

    ``error``: the code of a sign-in at a provider that did not come about (``core/auth/outside/router``).
    """
    if principal is not None:
        return RedirectResponse(_local(next), 303)
    if signed_in_before(request) and not ended and error is None:
        return render(request, "resume.html", next=_local(next))
    first = await _is_first(services)
    return render(
        request,
        "signin.html",
        next=_local(next),
        ended=ended,
        first=first,
        open=_is_open(services),
        providers=_providers(services),
        error=error,
    )


@router.get("/register")
async def register(
    request: Request,
    principal: OptionalPrincipal,
    services: CurrentServices,
    next: str = "/",  # noqa: A002
) -> Response:
    """The form for a new account."""
    if principal is not None:
        return RedirectResponse(_local(next), 303)
    first = await _is_first(services)
    return render(request, "register.html", next=_local(next), first=first, open=_is_open(services))


@router.get("/docs/errors")
async def errors(request: Request) -> Response:
    """What each code means: the ``type`` of every problem document leads here."""
    return render(request, "errors.html", errors=known_errors(), meaning=meaning)


def _not_signed_in(request: Request) -> Response:
    """The way in: by the refresh token where there may be one, which scripts alone can use; else by the form."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if signed_in_before(request):
        return render(request, "resume.html", next=here)
    return RedirectResponse("/signin" if here == "/" else f"/signin?{urlencode({'next': here}, safe='/')}", 303)


def _not_found(request: Request) -> Response:
    return render(request, "not_found.html", status=404)


def _local(path: str) -> str:
    """A path on this site; ``/`` instead of anything that a browser could take for another site."""
    is_plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_plain else "/"


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _kinds(services: Services) -> list[str]:
    return sorted(kind.name for kind in services.kinds if kind.public)


def _is_open(services: Services) -> bool:
    return services.settings.registration == "open"


def _providers(services: Services) -> list[dict[str, str]]:
    """What ``GET /api/auth/providers`` lists, and whose tokens each brings."""
    return [
        {"name": one.name, "label": one.label or one.name, "issuer": one.issuer}
        for one in services.settings.all_oidc_providers
    ]


async def _is_first(services: Services) -> bool:
    """Whether whoever registers next becomes the administrator."""
    if not services.settings.first_user_is_admin:
        return False
    async with services.database.as_service("console: is there any account yet") as session:
        return not await accounts.has_accounts(session)
