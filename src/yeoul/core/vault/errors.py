"""What can go wrong with stored secrets."""

from yeoul.core.base.errors import NotFound, YeoulError


class SecretNotFound(NotFound):
    """The user has stored no such secret."""

    code, title = "secret_not_found", "No such key"


class SecretLost(YeoulError):
    """A stored secret cannot be decrypted any more."""

    status, code, title = 500, "secret_lost", "A stored key cannot be read"
