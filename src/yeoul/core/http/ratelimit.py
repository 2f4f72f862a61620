"""``RateLimit`` and ``RateLimit-Policy`` headers, as in draft-ietf-httpapi-ratelimit-headers-10."""

from dataclasses import dataclass
from math import ceil

from yeoul.core.base.errors import TooManyRequests


@dataclass(frozen=True)
class Policy:
    """``quota`` units in every ``window`` seconds, under a name clients see. The name is plain ASCII without quotes."""

    name: str
    quota: int
    window: int

    def headers(self, remaining: int, reset: float) -> dict[str, str]:
        """The two headers: ``remaining`` units are left, and more come back after ``reset`` seconds."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.quota};w={self.window}',
            "RateLimit": f'"{self.name}";r={max(remaining, 0)};t={max(ceil(reset), 0)}',
        }


class RateLimited(TooManyRequests):
    """A policy's quota is used up; more comes back after ``retry_after`` seconds."""

    code, title = "rate_limited", "Too many requests"

    def __init__(self, detail: str, *, policy: Policy, retry_after: float) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.headers = policy.headers(0, retry_after)
