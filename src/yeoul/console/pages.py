"""Rendering: a template, the visitor's language and theme, and the headers of a page."""

from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from yeoul.console import figures, i18n
from yeoul.console.assets import Assets
from yeoul.core.auth.dependencies import ROLE

LANGUAGE_COOKIE = "yeoul_lang"
THEME_COOKIE = "yeoul_theme"
THEMES = ("system", "light", "dark")

assets = Assets()


@cache
def _environment(tag: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.policies["ext.i18n.trimmed"] = True
    language = i18n.language(tag)
    environment.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
    environment.filters["number"] = partial(figures.number, tag=tag)
    environment.filters["duration"] = partial(figures.duration, tag=tag)
    environment.globals |= {
        "asset": assets.url,
        "languages": i18n.LANGUAGES,
        "script_strings": language.script_strings,
        "tag": tag,
    }
    environment.globals["icon"] = environment.get_template("icons.html").module.icon  # type: ignore[attr-defined]  # a macro
    return environment


def visitors_language(request: Request) -> str:
    """What they chose, or else what their browser asks for."""
    return i18n.negotiate(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:  # noqa: ANN401  (what templates show)
    """A page in the visitor's language. It says who sees it, so nobody but their own browser may keep it."""
    tag = visitors_language(request)
    theme = request.cookies.get(THEME_COOKIE)
    html = (
        _environment(tag)
        .get_template(template)
        .render(
            theme=theme if theme in THEMES else "system",
            is_admin=request.scope.get(ROLE) == "admin",
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            **context,
        )
    )
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Language": tag,
        "Vary": "Accept-Language, Cookie",
    }
    return HTMLResponse(html, status, headers)
