"""Another Yeoul as a provider: what it offers at ``/v1``, here as ``neighbour/…``."""

import os

from yeoul.core.llm.providers.base import OUTSIDE, Connection, KnownModel, Provider
from yeoul.settings import Settings


def connect(settings: Settings) -> Connection:
    """Opens it."""
    from yeoul.core.llm.providers.compatible import connect_to  # imports an SDK, which takes a second

    return connect_to(settings, "neighbour", os.environ["NEIGHBOUR_URL"], settings.provider_keys.get("neighbour"))


def missing(settings: Settings) -> str | None:
    """What to do first."""
    if "NEIGHBOUR_URL" not in os.environ:
        return "NEIGHBOUR_URL is missing: set it to the other one's address, with /v1."
    if not settings.provider_keys.get("neighbour"):
        return 'Its key is missing: set YEOUL_PROVIDER_KEYS=\'{"neighbour": "…"}\'.'
    return None


provider = Provider(
    name="neighbour",
    title="The neighbour",
    module=__name__,
    models=lambda _: [KnownModel("default", title="What the neighbour prefers")],
    missing=missing,
    key_name="YEOUL_PROVIDER_KEYS",
    key_field=OUTSIDE,
    check_model=lambda _: "default",
)
