"""Whose key of a provider a call uses: the user's own, or the installation's. The setting ``user_keys`` decides."""

from functools import cached_property
from uuid import UUID

from yeoul.core.db.database import Database, is_away
from yeoul.core.llm.catalogue import own_key_needed
from yeoul.core.llm.errors import OwnKeyNeeded
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.own_keys import Held
from yeoul.core.vault import repository
from yeoul.core.vault.cipher import Cipher
from yeoul.core.vault.service import Vault
from yeoul.settings import Settings


class Keys:
    """Users' own keys of providers, by the provider's name in the vault. One per process."""

    def __init__(self, settings: Settings, database: Database, gateway: Gateway) -> None:
        self._settings = settings
        self._database = database
        self._gateway = gateway

    @cached_property
    def vault(self) -> Vault:
        """Where they are kept."""
        # Opened when first needed: a worker whose users have none needs no key to the vault.
        return Vault(self._database, Cipher(self._settings.vault_keys))

    async def key(self, owner_id: UUID, model: str, *, embeds: bool = False) -> str | None:
        """The owner's own key for this model's provider; null: the installation's.

        Raises ``OwnKeyNeeded`` where they must have one, and ``SecretLost`` when theirs cannot be read: to ask with the
        installation's instead would have somebody else pay without being told.
        """
        if self._settings.user_keys == "off":
            return None
        provider = self._gateway.provider(model, embeds=embeds)
        if provider is None or provider.key_field is None:
            return None
        found = await self.vault.open(owner_id, provider.name)
        if found is None and self._settings.user_keys == "require" and not provider.key_optional:
            raise OwnKeyNeeded(own_key_needed(provider), model=model)
        return found

    async def held(self, owner_id: UUID) -> Held:
        """The providers the owner stored keys for, as far as they are used."""
        if self._settings.user_keys == "off":
            return Held()
        try:
            async with self._database.as_user(owner_id) as session:
                names = frozenset(row.name for row in await repository.own(session))
        except Exception as error:
            if not is_away(error):
                raise
            names = frozenset()  # what the installation can do is still worth knowing
        return Held(names, required=self._settings.user_keys == "require")
