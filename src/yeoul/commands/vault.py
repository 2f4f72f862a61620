"""``yeoul rotate-vault``: seals what users entrusted to the installation with the present key."""

from yeoul.commands import database
from yeoul.commands.session import opened, quiet
from yeoul.commands.terminal import fail, run, say
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.vault.cipher import Cipher
from yeoul.core.vault.service import Rotation, Standing, Vault
from yeoul.settings import Settings


def rotate(settings: Settings) -> None:
    """Seals everything anew that a former key sealed; exit code 1 when some of it no key opens."""
    quiet(settings)
    with database.ready(settings) as urls:
        done = run(_rotate(settings, urls))
    if done.done:
        say(f"Sealed {done.done:,} stored {_keys(done.done)} with the present key.")
    elif not done.lost:
        say("Every stored key is sealed with the present key already: nothing to do.")
    if done.lost:
        fail(
            f"{done.lost:,} stored {_keys(done.lost)} cannot be opened with any key there is. Put the former key into "
            "YEOUL_VAULT_OLD_KEYS and run this again, or have their owners store them anew."
        )
    if settings.vault_old_keys:
        say("YEOUL_VAULT_OLD_KEYS can be taken out now, once every process runs with the present key.")


async def standing(settings: Settings, urls: DatabaseUrls) -> Standing:
    """How the stored secrets stand."""
    async with opened(urls) as db:
        return await Vault(db, Cipher(settings.vault_keys)).stand()


async def _rotate(settings: Settings, urls: DatabaseUrls) -> Rotation:
    async with opened(urls) as db:
        return await Vault(db, Cipher(settings.vault_keys)).rotate()


def _keys(count: int) -> str:
    return "key" if count == 1 else "keys"
