"""``/api/provider-keys``: users' own keys of model providers. For people: no API key may look or change anything."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from yeoul.core.auth.dependencies import ClientDep, Person
from yeoul.core.provider_keys import service
from yeoul.core.provider_keys.schemas import KeyGiven, ProviderKeys, Stored
from yeoul.core.runtime.dependencies import CurrentServices

router = APIRouter(prefix="/api/provider-keys", tags=["provider keys"])

Name = Annotated[str, Path(max_length=50, description="A provider's name, as in the ids of its models.")]


@router.get("")
async def list_provider_keys(person: Person, services: CurrentServices) -> ProviderKeys:
    """Your keys of model providers, never in full, and the providers you may store one for."""
    return await service.listing(services, person)


@router.put("/{provider}")
async def store_provider_key(
    provider: Name,
    body: KeyGiven,
    person: Person,
    origin: ClientDep,
    services: CurrentServices,
    response: Response,
    unchecked: Annotated[bool, Query(description="Store it even when the provider cannot be asked now.")] = False,  # noqa: FBT002
) -> Stored:
    """Stores your key of a provider, in place of a former one, after one tiny call with it. Nobody can read it again.

    A key that the provider refuses is not stored. From then on your jobs and calls use it, at your cost there.
    """
    response.headers["Cache-Control"] = "no-store"
    return await service.store(
        services, person, provider, body.key.get_secret_value(), address=origin.address, unchecked=unchecked
    )


@router.delete("/{provider}", status_code=204)
async def remove_provider_key(provider: Name, person: Person, services: CurrentServices) -> None:
    """Forgets your key of a provider, at once and for good; calls under way end with it."""
    await service.remove(services, person, provider)
