"""What can go wrong with accounts.

::

    Unauthenticated   401
    ├─ WrongCredentials    wrong_credentials      the same for an unknown user and a wrong password
    ├─ TokenExpired        token_expired          refresh, then try again
    ├─ TokenInvalid        token_invalid          not one of ours
    ├─ SessionEnded        session_ended          signed out, expired, revoked or disabled
    ├─ KeyInvalid          key_invalid            mistyped or revoked
    ├─ KeyExpired          key_expired
    ├─ IssuerNotTrusted    issuer_not_trusted     an outside token of a provider that is not configured
    ├─ OutsideTokenExpired outside_token_expired
    ├─ OutsideTokenInvalid outside_token_invalid
    ├─ SignInNotStarted    sign_in_not_started    the provider sent somebody back whom we did not send there
    ├─ SignInDenied        sign_in_denied         the provider says no
    └─ SignInFailed        sign_in_failed         what the provider answered is not acceptable
    Forbidden         403
    ├─ AdminOnly           admin_only
    ├─ AccountDisabled     account_disabled
    ├─ RegistrationClosed  registration_closed
    ├─ EmailRequired       email_required         the provider tells no email, and an account needs one
    ├─ ScopeMissing        scope_missing          the key may not do this
    └─ NotWithAKey         not_with_a_key         what people alone may do
    NotFound          404
    ├─ UserNotFound        user_not_found         (the command line's)
    ├─ SessionNotFound     session_not_found
    ├─ KeyNotFound         key_not_found
    ├─ IdentityNotFound    identity_not_found
    └─ ProviderNotFound    provider_not_found
    Conflict          409
    ├─ EmailTaken          email_taken
    ├─ NotLinked           not_linked             an account has this email, but not this way to sign in
    ├─ IdentityTaken       identity_taken         another account has this way to sign in
    ├─ LastWayIn           last_way_in
    ├─ TooManyKeys         too_many_keys
    └─ LastAdministrator   last_administrator     (the command line's)
    TooManyRequests   429
    └─ RateLimited         rate_limited           (core/http) too many failed sign-ins
    Unavailable       503
    └─ ProviderUnavailable provider_unavailable   the provider does not answer
"""

from yeoul.core.auth.principal import Scope
from yeoul.core.base.errors import Conflict, Forbidden, NotFound, Unauthenticated, Unavailable


class WrongCredentials(Unauthenticated):
    """No account has this email and password."""

    code, title = "wrong_credentials", "Wrong email or password"

    def __init__(self) -> None:
        super().__init__("No account has this email and password. Check both, or register.")


class TokenExpired(Unauthenticated):
    """An access token of ours whose time is over."""

    code, title = "token_expired", "Access token expired"

    def __init__(self) -> None:
        super().__init__("The access token has expired. Get a new one from POST /api/auth/refresh.")


class TokenInvalid(Unauthenticated):
    """A token that this installation did not make, or not for this use."""

    code, title = "token_invalid", "Token not accepted"

    def __init__(self) -> None:
        super().__init__("This token is not one this server gave out. Sign in again.")


class SessionEnded(Unauthenticated):
    """A refresh token whose session is over; or an access token, where something is to stay open."""

    code, title = "session_ended", "Session ended"

    def __init__(self) -> None:
        super().__init__("This session has ended. Sign in again.")


class KeyInvalid(Unauthenticated):
    """An API key that is mistyped, or was revoked."""

    code, title = "key_invalid", "API key not accepted"

    def __init__(self) -> None:
        super().__init__("This API key is mistyped or was revoked. Make another, signed in, at POST /api/keys.")


class KeyExpired(Unauthenticated):
    """An API key whose time is over."""

    code, title = "key_expired", "API key expired"

    def __init__(self) -> None:
        super().__init__("This API key has expired. Make another, signed in, at POST /api/keys.")


class IssuerNotTrusted(Unauthenticated):
    """A token of a provider that this installation does not trust."""

    code, title = "issuer_not_trusted", "Provider not trusted"

    def __init__(self) -> None:
        super().__init__(
            "This token is not from a provider this server trusts. Its operator names them in YEOUL_TRUSTED_ISSUERS."
        )


class OutsideTokenExpired(Unauthenticated):
    """A provider's token whose time is over."""

    code, title = "outside_token_expired", "Provider's token expired"

    def __init__(self) -> None:
        super().__init__("The provider's token has expired. Get a fresh one there and send that.")


class OutsideTokenInvalid(Unauthenticated):
    """A provider's token that does not hold."""

    code, title = "outside_token_invalid", "Provider's token not accepted"

    def __init__(self, why: str) -> None:
        super().__init__(f"The provider's token is not accepted: {why}.")


class SignInNotStarted(Unauthenticated):
    """Somebody comes back from a provider whom this server did not send there, or too late, or for the second time."""

    code, title = "sign_in_not_started", "Sign-in not started here"

    def __init__(self) -> None:
        super().__init__("This sign-in was not started in this browser, took over 10 minutes, or is done. Start again.")


class SignInDenied(Unauthenticated):
    """The provider did not let somebody sign in, or they did not want to."""

    code, title = "sign_in_denied", "The provider says no"

    def __init__(self) -> None:
        super().__init__("The provider ended the sign-in, or you did. Start again, or sign in another way.")


class SignInFailed(Unauthenticated):
    """What the provider answered is not acceptable."""

    code, title = "sign_in_failed", "Sign-in failed"

    def __init__(self, why: str) -> None:
        super().__init__(f"The provider's answer is not accepted: {why}. Start again.")


class AdminOnly(Forbidden):
    """The principal is not an administrator."""

    code, title = "admin_only", "Administrators only"

    def __init__(self) -> None:
        super().__init__("Only an administrator may do this.")


class AccountDisabled(Forbidden):
    """The right password of a disabled account."""

    code, title = "account_disabled", "Account disabled"

    def __init__(self) -> None:
        super().__init__("This account is disabled. Ask an administrator of this server.")


class RegistrationClosed(Forbidden):
    """Strangers may not register here."""

    code, title = "registration_closed", "Registration is closed"

    def __init__(self) -> None:
        super().__init__("This server takes no new accounts. Ask its administrator for one.")


class EmailRequired(Forbidden):
    """The provider tells no email, and every account has one."""

    code, title = "email_required", "No email from the provider"

    def __init__(self) -> None:
        super().__init__("The provider tells no email address of yours. Let it share one, or sign in another way.")


class ScopeMissing(Forbidden):
    """A key may not do what was asked."""

    code, title = "scope_missing", "The key may not do this"

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"This API key lacks the scope {scope}. Use a key that has it.", scope=scope)


class NotWithAKey(Forbidden):
    """Sessions, keys and ways to sign in are for people, not for their programs."""

    code, title = "not_with_a_key", "Not with an API key"

    def __init__(self) -> None:
        super().__init__("An API key may not do this. Sign in, and use the access token.")


class EmailTaken(Conflict):
    """There is an account with this email."""

    code, title = "email_taken", "Email already registered"

    def __init__(self) -> None:
        super().__init__("An account with this email exists. Sign in instead, or register with another email.")


class NotLinked(Conflict):
    """An account has this email, but who signed in at the provider has not shown to own it."""

    code, title = "not_linked", "Account not linked"

    def __init__(self) -> None:
        super().__init__(
            "An account here has this email but not this way to sign in. Sign in to it as before, and link it there."
        )


class IdentityTaken(Conflict):
    """Another account has this way to sign in."""

    code, title = "identity_taken", "Linked to another account"

    def __init__(self) -> None:
        super().__init__("Another account here signs in this way. Remove it there first, or use another one.")


class LastWayIn(Conflict):
    """Without it nobody could sign in to the account."""

    code, title = "last_way_in", "The last way to sign in"

    def __init__(self) -> None:
        super().__init__("Without it nobody could sign in to this account. Link another way first.")


class TooManyKeys(Conflict):
    """The user has as many keys as one may have."""

    code, title = "too_many_keys", "Too many API keys"

    def __init__(self, most: int) -> None:
        super().__init__(f"One user may have {most} API keys. Revoke one you no longer need.")


class SessionNotFound(NotFound):
    """No such open session, or somebody else's."""

    code, title = "session_not_found", "No such session"

    def __init__(self) -> None:
        super().__init__("You have no open session with this id. GET /api/auth/sessions lists them.")


class KeyNotFound(NotFound):
    """No such key, or somebody else's."""

    code, title = "key_not_found", "No such API key"

    def __init__(self) -> None:
        super().__init__("You have no API key with this id. GET /api/keys lists them.")


class IdentityNotFound(NotFound):
    """No such identity, or somebody else's."""

    code, title = "identity_not_found", "No such identity"

    def __init__(self) -> None:
        super().__init__("You have no way to sign in with this id. GET /api/auth/identities lists them.")


class ProviderNotFound(NotFound):
    """No provider has this name."""

    code, title = "provider_not_found", "No such provider"

    def __init__(self) -> None:
        super().__init__("No provider has this name here. GET /api/auth/providers lists them.")


class ProviderUnavailable(Unavailable):
    """A provider does not answer, or not in a way to be understood."""

    code, title = "provider_unavailable", "The provider does not answer"

    def __init__(self, retry_after: float = 10) -> None:
        super().__init__("The provider does not answer right now. Try again soon.", retry_after=retry_after)


class UserNotFound(NotFound):
    """No account has this email."""

    code, title = "user_not_found", "No such user"

    def __init__(self, email: str) -> None:
        super().__init__(f"Nobody has the email {email}. `yeoul users list` shows who there is.")


class LastAdministrator(Conflict):
    """There would be no administrator left."""

    code, title = "last_administrator", "The last administrator"

    def __init__(self, email: str) -> None:
        super().__init__(f"{email} is the only administrator. Make another first: `yeoul users set-role EMAIL admin`.")
