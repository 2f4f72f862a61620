"""Names, context sizes and prices of well-known models, from the list that comes with genai-prices."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache


@dataclass(frozen=True)
class Facts:
    """What the price list knows about a model; prices in US dollars per million tokens."""

    title: str | None
    context: int | None
    input: Decimal | None
    output: Decimal | None


@cache
def facts(price_list: str, name: str) -> Facts | None:
    """The list's entry for a model of a provider, None when it has none. The first call reads the list: 0.4 s."""
    # Deferred: 0.3 s and 20 MB that a process which never lists models does not need.
    from genai_prices import Usage, calc_price  # noqa: PLC0415

    try:
        found = calc_price(Usage(input_tokens=0, output_tokens=0), name, provider_id=price_list)
    except (LookupError, ValueError):
        return None
    # The list's prices are named by what they count; a tiered one costs more beyond a prompt size.
    price = vars(found.model_price)
    return Facts(
        title=found.model.name,
        context=found.model.context_window,
        input=_base(price.get("input_mtok")),
        output=_base(price.get("output_mtok")),
    )


def _base(price: object) -> Decimal | None:
    base = getattr(price, "base", price)
    return base if isinstance(base, Decimal) else None
