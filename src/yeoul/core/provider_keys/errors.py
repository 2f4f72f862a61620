"""What can go wrong with a user's own key of a provider."""

from yeoul.core.base.errors import Forbidden, InvalidInput, NotFound, Unavailable


class UnknownProvider(NotFound):
    """No provider of this name takes users' own keys."""

    code, title = "unknown_provider", "No such provider"


class OwnKeysOff(Forbidden):
    """This installation uses no keys of users."""

    code, title = "own_keys_off", "Own keys are not used here"


class ProviderKeyRefused(InvalidInput):
    """The provider refused the key. ``extra["said"]`` is the provider's own sentence, where it gave one."""

    code, title = "provider_key_refused", "The provider refused the key"


class ProviderKeyUnchecked(Unavailable):
    """The provider could not be asked whether the key is good; nothing was stored."""

    code, title = "provider_key_unchecked", "The key could not be checked"
