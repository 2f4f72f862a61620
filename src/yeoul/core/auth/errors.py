"""What can go wrong with accounts.

::

    Unauthenticated   401
    ├─ WrongCredentials    wrong_credentials    the same for an unknown user and a wrong password
    ├─ TokenExpired        token_expired        refresh, then try again
    ├─ TokenInvalid        token_invalid        not one of ours
    └─ SessionEnded        session_ended        signed out, expired, revoked or disabled
    Forbidden         403
    ├─ AdminOnly           admin_only
    ├─ AccountDisabled     account_disabled
    └─ RegistrationClosed  registration_closed
    NotFound          404
    └─ UserNotFound        user_not_found       (the command line's)
    Conflict          409
    ├─ EmailTaken          email_taken
    └─ LastAdministrator   last_administrator   (the command line's)
    TooManyRequests   429
    └─ RateLimited         rate_limited         (core/http) too many failed sign-ins
"""

from yeoul.core.base.errors import Conflict, Forbidden, NotFound, Unauthenticated


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
    """A refresh token whose session is over."""

    code, title = "session_ended", "Session ended"

    def __init__(self) -> None:
        super().__init__("This session has ended. Sign in again.")


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


class EmailTaken(Conflict):
    """There is an account with this email."""

    code, title = "email_taken", "Email already registered"

    def __init__(self) -> None:
        super().__init__("An account with this email exists. Sign in instead, or register with another email.")


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
