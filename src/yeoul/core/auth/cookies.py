"""The two cookies of a signed-in page: both HttpOnly, so that no script carries them away."""

from starlette.requests import Request
from starlette.responses import Response

from yeoul.core.auth.dependencies import ACCESS_COOKIE, REFRESH_COOKIE, services_of
from yeoul.core.auth.schemas import SignedIn
from yeoul.core.http.csrf import from_own_page

REFRESH_PATH = "/api/auth"


def hand_over(signed_in: SignedIn, request: Request, response: Response) -> None:
    """Gives a page of ours its cookies; programs have the tokens in the answer."""
    response.headers["Cache-Control"] = "no-store"
    if from_own_page(request, services_of(request).settings):
        set_cookies(signed_in, request, response)


def set_cookies(signed_in: SignedIn, request: Request, response: Response) -> None:
    """Both cookies live as long as the refresh token: an expired access cookie tells that a refresh is worth a try."""
    age = services_of(request).settings.refresh_token_days * 86_400
    for name, value, path in (
        (ACCESS_COOKIE, signed_in.access_token, "/"),
        (REFRESH_COOKIE, signed_in.refresh_token, REFRESH_PATH),
    ):
        response.set_cookie(
            name, value, max_age=age, path=path, secure=is_secure(request), httponly=True, samesite="lax"
        )


def clear_cookies(request: Request, response: Response) -> None:
    """Takes both back."""
    for name, path in ((ACCESS_COOKIE, "/"), (REFRESH_COOKIE, REFRESH_PATH)):
        response.delete_cookie(name, path=path, secure=is_secure(request), httponly=True, samesite="lax")


def is_secure(request: Request) -> bool:
    """Whether the browser is on https, here or at the proxy before us."""
    public_url = services_of(request).settings.public_url or ""
    return request.url.scheme == "https" or public_url.startswith("https://")
