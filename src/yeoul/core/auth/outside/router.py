"""Sign-in from outside: ``/api/auth/session``, ``providers``, ``oidc/{provider}`` and ``identities`` below it.

Two ways in. A page that has signed its user in at a provider by itself (Supabase's client, say) sends the provider's
token to ``/api/auth/session``. Or a link leads to ``/api/auth/oidc/{provider}``, and the browser goes to the provider
and back. A browser that asks for a page is sent to one when something goes wrong on the way, with the error's code in
the address.
"""

from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import RedirectResponse

from yeoul.core.auth.cookies import hand_over, is_secure, set_cookies
from yeoul.core.auth.dependencies import (
    ClientDep,
    OptionalPrincipal,
    Person,
    bearer_token,
    services_of,
)
from yeoul.core.auth.errors import SignInNotStarted
from yeoul.core.auth.outside.providers import Providers
from yeoul.core.auth.outside.schemas import IdentityOut, OutsideToken, ProviderOut, ProvidersOut, Returned
from yeoul.core.auth.outside.service import Outside
from yeoul.core.auth.outside.ticket import SECONDS, cookie_name
from yeoul.core.auth.schemas import SignedIn
from yeoul.core.base.errors import InvalidInput, Unauthenticated, YeoulError
from yeoul.core.http import problems
from yeoul.core.http.csrf import from_own_page

_OIDC_PATH = "/api/auth/oidc"
_SIGN_IN_PAGE = "/signin"
MAX_NEXT = 2_000

router = APIRouter(prefix="/auth")
log = structlog.get_logger(__name__)


def providers_of(app: FastAPI) -> Providers:
    """The application's providers: made once, since they keep what they fetch."""
    if not hasattr(app.state, "providers"):
        app.state.providers = Providers(app.state.services.settings)
    found: Providers = app.state.providers
    return found


def providers(request: Request) -> Providers:
    """The application's providers."""
    return providers_of(request.app)


ProvidersDep = Annotated[Providers, Depends(providers)]


def outside(request: Request, known: ProvidersDep) -> Outside:
    """The rules of signing in from outside."""
    services = services_of(request)
    return Outside(services.database, services.settings, known)


OutsideDep = Annotated[Outside, Depends(outside)]


def local_path(path: str) -> str:
    """A path on this site, as given; raises ``InvalidInput`` for what a browser could take for another site."""
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    if not is_local or len(path) > MAX_NEXT:
        raise InvalidInput("next must be a path on this site, such as /jobs.")
    return path


@router.post("/session")
async def sign_in(
    request: Request, response: Response, service: OutsideDep, origin: ClientDep, body: OutsideToken | None = None
) -> SignedIn:
    """Signs in with a trusted provider's JWT, in the body or as the bearer token; an unknown person gets an account."""
    signed_in = await service.sign_in(await service.verified(_given(request, body), origin), origin)
    hand_over(signed_in, request, response)
    return signed_in


@router.get("/providers")
async def list_providers(known: ProvidersDep) -> ProvidersOut:
    """The providers to offer on a sign-in page."""
    offered = [ProviderOut(name=f.name, label=f.label, url=f"{_OIDC_PATH}/{f.name}") for f in known.flows.values()]
    return ProvidersOut(items=offered)


@router.get("/oidc/{provider}", status_code=303, response_class=RedirectResponse)
async def start(
    provider: str,
    request: Request,
    known: ProvidersDep,
    principal: OptionalPrincipal,
    next: Annotated[str, Query(description="The path to go to in the end.")] = "/",  # noqa: A002  (its name in the address)
    link: Annotated[bool, Query(description="Add this way to sign in to one's account.")] = False,  # noqa: FBT002
) -> Response:
    """Sends the browser to the provider, from which it comes back to `…/callback`."""
    then = local_path(next)
    flow = known.flow(provider)
    try:
        session = None
        if link:
            # A link on a foreign page must not start what changes somebody's account.
            if (
                principal is None
                or principal.via != "cookie"
                or not from_own_page(request, services_of(request).settings)
            ):
                raise Unauthenticated("Sign in first, and start from a page of this site.")
            session = principal.session_id
        ticket, value = known.tickets.issue(provider, then, session)
        response = RedirectResponse(await flow.start(ticket, _redirect_uri(request, provider)), 303)
    except YeoulError as error:
        return _refusal(error, request, then, linking=link)
    response.set_cookie(
        ticket.cookie,
        value,
        max_age=SECONDS,
        path=f"{_OIDC_PATH}/{provider}",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",  # "strict" would keep it from the provider's redirect back
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@router.get("/oidc/{provider}/callback", status_code=303, response_class=RedirectResponse)
async def finish(
    provider: str,
    request: Request,
    known: ProvidersDep,
    service: OutsideDep,
    origin: ClientDep,
    returned: Annotated[Returned, Query()],
) -> Response:
    """Where the provider sends the browser back to: signs in, and goes on to where it was to go."""
    flow = known.flow(provider)
    name = cookie_name(returned.state)
    ticket = known.tickets.read(request.cookies.get(name), provider, returned.state)
    response: Response
    try:
        if ticket is None:
            raise SignInNotStarted
        async with service.attempt(origin):
            outsider = await flow.finish(ticket, returned, _redirect_uri(request, provider))
        response = RedirectResponse(ticket.next, 303)
        response.headers["Cache-Control"] = "no-store"
        if ticket.link is not None:
            await service.link(ticket.link, outsider)
        else:
            set_cookies(await service.sign_in(outsider, origin), request, response)
    except YeoulError as refused:
        then, linking = (ticket.next, ticket.link is not None) if ticket else ("/", False)
        response = _refusal(refused, request, then, linking=linking)
    if name in request.cookies:
        response.delete_cookie(
            name, path=f"{_OIDC_PATH}/{provider}", secure=is_secure(request), httponly=True, samesite="lax"
        )
    return response


@router.get("/identities")
async def list_identities(person: Person, service: OutsideDep) -> list[IdentityOut]:
    """The ways you sign in from outside."""
    return await service.listing(person)


@router.post("/identities", status_code=201)
async def link_identity(body: OutsideToken, person: Person, service: OutsideDep, origin: ClientDep) -> IdentityOut:
    """Adds a way to sign in to your account: send a trusted provider's token. Twice is fine."""
    if not body.token:
        raise InvalidInput("Send the provider's token as {token}.")
    return await service.link(person.session_id, await service.verified(body.token, origin))


@router.delete("/identities/{identity_id}", status_code=204)
async def unlink_identity(identity_id: UUID, person: Person, service: OutsideDep) -> None:
    """Removes a way to sign in, unless it is the last."""
    await service.unlink(person, identity_id)


def _given(request: Request, body: OutsideToken | None) -> str:
    token = body.token if body and body.token else bearer_token(request)
    if not token:
        raise Unauthenticated("Send the provider's token as {token}, or in the header Authorization: Bearer.")
    return token


def _redirect_uri(request: Request, provider: str) -> str:
    """The address registered with the provider: ours as browsers know it."""
    base = services_of(request).settings.public_url or str(request.base_url)
    return f"{base.rstrip('/')}{_OIDC_PATH}/{provider}/callback"


def _refusal(error: YeoulError, request: Request, then: str, *, linking: bool) -> Response:
    """What is wrong: to a browser a page that may say it, by its code; to programs the problem itself."""
    if "text/html" not in request.headers.get("accept", ""):
        return problems.render(error, request)
    log.info("sign-in at a provider refused", code=error.code)
    if linking:
        page = then + ("&" if "?" in then else "?") + urlencode({"error": error.code})
    else:
        query = {"error": error.code} | ({"next": then} if then != "/" else {})
        page = f"{_SIGN_IN_PAGE}?{urlencode(query, safe='/')}"
    response = RedirectResponse(page, 303)
    response.headers["Cache-Control"] = "no-store"
    return response
