from datetime import UTC, datetime

import pytest

from yeoul.core.llm.vendor_headers import LONGEST_SECONDS, pause

NOW = datetime(2026, 1, 27, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Tue, 27 Jan 2026 12:00:20 GMT"}, 20),
        ({"retry-after": "Tue, 27 Jan 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "99999999"}, LONGEST_SECONDS),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "17ms"}, 0.017),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "whenever"}, None),
        (
            {
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2026-01-27T12:00:03Z",
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-01-27T12:00:01Z",
            },
            3,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 30)}, 30),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "12"}, 12),
        ({"ratelimit": '"requests";r=0;t=9, "tokens";r=5;t=50'}, 9),
        ({"ratelimit": '"requests";r=3;t=9'}, None),
        ({"ratelimit": "nonsense"}, None),
    ],
)
def test_pause(headers: dict[str, str], seconds: float | None) -> None:
    assert pause(headers, NOW) == (None if seconds is None else pytest.approx(seconds))
