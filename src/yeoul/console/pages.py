"""Rendering: a template, the visitor's language and theme, and the headers of a page."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, Template
from starlette.requests import Request
from starlette.responses import HTMLResponse

from yeoul.console import figures, i18n
from yeoul.console.assets import Assets
from yeoul.console.parts import Parts
from yeoul.core.auth.dependencies import ROLE
from yeoul.product import Product

LANGUAGE_COOKIE = "yeoul_lang"
THEME_COOKIE = "yeoul_theme"
THEMES = ("system", "light", "dark")


class Site:
    """The console of one application: its own pages and what products add to it."""

    def __init__(self, products: Sequence[Product]) -> None:
        self.parts = Parts(products)
        self.assets = Assets(self.parts.static)
        self._environments: dict[str, Environment] = {}

    def template(self, name: str, tag: str) -> Template:
        """A template in a language."""
        if tag not in self._environments:
            self._environments[tag] = self._environment(tag)
        return self._environments[tag].get_template(name)

    def _environment(self, tag: str) -> Environment:
        environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(Path(__file__).parent / "templates"), self.parts.templates]),
            extensions=["jinja2.ext.i18n"],
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        environment.policies["ext.i18n.trimmed"] = True
        language = i18n.language(tag, *self.parts.locales)
        environment.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
        environment.filters["number"] = partial(figures.number, tag=tag)
        environment.filters["duration"] = partial(figures.duration, tag=tag)
        environment.globals |= {
            "asset": self.assets.url,
            "entries": self.parts.entries,
            "languages": i18n.LANGUAGES,
            "script_strings": language.script_strings,
            "stylesheets": self.parts.stylesheets,
            "tag": tag,
        }
        icons = environment.get_template("icons.html").module
        environment.globals |= {"icon": icons.icon, "line_icon": icons.line_icon}  # type: ignore[attr-defined]  # macros
        return environment


def visitors_language(request: Request) -> str:
    """What they chose, or else what their browser asks for."""
    return i18n.negotiate(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:  # noqa: ANN401  (what templates show)
    """A page in the visitor's language. It says who sees it, so nobody but their own browser may keep it."""
    tag = visitors_language(request)
    theme = request.cookies.get(THEME_COOKIE)
    site: Site = request.app.state.console
    html = site.template(template, tag).render(
        theme=theme if theme in THEMES else "system",
        is_signed_in=ROLE in request.scope,
        is_admin=request.scope.get(ROLE) == "admin",
        here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        **context,
    )
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Language": tag,
        "Vary": "Accept-Language, Cookie",
    }
    return HTMLResponse(html, status, headers)
