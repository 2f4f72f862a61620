"""Gets the local model's weights before they are asked for: a hundred megabytes are better waited for at the start."""

from importlib.util import find_spec

from yeoul.commands.terminal import say
from yeoul.core.base.errors import YeoulError
from yeoul.core.llm import weights
from yeoul.core.llm.catalogue import Catalogue
from yeoul.core.llm.progress import shown
from yeoul.core.llm.schemas import DEFAULT_MODEL
from yeoul.settings import Settings


def wanted(settings: Settings, model: str = DEFAULT_MODEL) -> str | None:
    """The name of weights that ``model`` needs, that are not here and can be had; None when there are none such."""
    name = settings.local_model
    try:
        chosen = Catalogue(settings).default() if model == DEFAULT_MODEL else model
    except YeoulError:  # said when the model is asked
        return None
    possible = settings.local_enabled and find_spec("xllamacpp") is not None and name in weights.CATALOGUE
    possible = possible and not settings.local_url  # who runs it there has them
    missing = weights.missing(name, settings.weights_dir) is not None
    return name if possible and missing and chosen == f"local/{name}" else None


def get(settings: Settings, model: str = DEFAULT_MODEL) -> None:
    """Downloads the weights that ``model`` needs, with a bar; when they cannot be had, says so and goes on without."""
    if (name := wanted(settings, model)) is None:
        return
    title = weights.CATALOGUE[name].title
    say(f"Getting {title}, the model that answers without a key: once, {weights.CATALOGUE[name].size / 1e6:,.0f} MB.")
    try:
        with shown(name) as report:
            weights.pull(name, settings.weights_dir, report, hub_url=settings.hub_url)
    except YeoulError as error:
        say(f"Going on without the local model. {error}", "yellow")
