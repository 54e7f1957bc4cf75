"""Convert prices between the server's format and display prices."""

import struct
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from typing import Any

from msgspec import UNSET, UnsetType

from dtc_twisted.dtc.messages import SecurityDefinitionResponse

_TICK_TOLERANCE = 2.5e-7
"""Relative difference from a tick up to which a price is rounded: 4 units in the last place of a 4-byte float."""

_MAX_PRICE = 1e15
"""Limit of prices. Larger floats have no fractions; FLT_MAX means unset."""


def shortest_float32(value: float) -> Decimal:
    """Return the shortest decimal of a 4-byte float: 0.01 for 0.009999999776482582.

    Raises ValueError if the value exceeds a 4-byte float, or is not finite.
    """
    if not isfinite(value):
        raise ValueError(f"{value}: not a number.")
    try:
        wanted = struct.pack("<f", value)
    except OverflowError as e:
        raise ValueError(f"{value}: too large for a 4-byte float.") from e
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))  # 9 digits always suffice
    return Decimal(next(text for text in texts if _pack(float(text)) == wanted))


def _pack(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:  # FLT_MAX rounded up
        return b""


def _positive(value: Any) -> Fraction | None:
    """Return a number of a definition as a fraction; None if unset or not positive."""
    return None if value is UNSET or not value > 0 else _exact(value)


@lru_cache(1024)
def _exact(value: float) -> Fraction | None:
    try:
        return Fraction(shortest_float32(value)) or None
    except ValueError:
        return None


class PriceFormat:
    """Price format of a symbol, as exact numbers."""

    def __init__(self, definition: SecurityDefinitionResponse | None) -> None:
        definition = definition or SecurityDefinitionResponse()
        self.multiplier = _positive(definition.DisplayPriceMultiplier) or Fraction(1)
        self.divisor = _positive(definition.IntToFloatPriceDivisor) or Fraction(1)
        self.tick = _positive(definition.MinPriceIncrement)
        self.ticks_per_price = None if self.tick is None else self.multiplier / self.tick


def price_format(definition: SecurityDefinitionResponse | None) -> PriceFormat:
    """Return the price format of a definition, which is computed once."""
    known = definition or SecurityDefinitionResponse()
    return _price_format(known.DisplayPriceMultiplier, known.IntToFloatPriceDivisor, known.MinPriceIncrement)


@lru_cache(1024)
def _price_format(multiplier: float | UnsetType, divisor: float | UnsetType, tick: float | UnsetType) -> PriceFormat:
    return PriceFormat(
        SecurityDefinitionResponse(
            DisplayPriceMultiplier=multiplier, IntToFloatPriceDivisor=divisor, MinPriceIncrement=tick
        )
    )


def make_price_converter(multiplier: Fraction, tick: Fraction | None, make: str) -> Callable[[float], float]:
    """Make a function that converts a server price to a display price."""
    factor = float(multiplier)

    def off_tick(value: float) -> float:
        if make == "float" and value and value != int(value):
            return float(Fraction(shortest_float32(value)) * multiplier)
        return float(f"{value * factor:.15g}")

    if tick is None:
        return lambda value: off_tick(value) if -_MAX_PRICE < value < _MAX_PRICE else value

    per_tick = float(multiplier / tick)
    up, down = tick.numerator, tick.denominator

    def display(value: float) -> float:
        if not -_MAX_PRICE < value * per_tick < _MAX_PRICE:
            return value
        price = round(value * per_tick) * up / down  # a quotient of two integers is the float nearest to the decimal
        if abs(value * factor - price) <= _TICK_TOLERANCE * abs(price):
            return price
        return off_tick(value)

    return display


def to_server_price(display: float, definition: SecurityDefinitionResponse | None) -> float:
    """Convert a display price to a server price: 2828.25 at 0.01 is 282825.0.

    The result is exact for a price on a tick. A price off the tick is not rounded, because an order at a price that was
    not requested would be worse than a rejected one.

    Raises ValueError if the price is not finite.
    """
    if not isfinite(display):
        raise ValueError(f"{display}: not a price.")
    form = price_format(definition)
    price = Fraction(Decimal(repr(display)))
    if form.tick is not None:
        near = round(price / form.tick) * form.tick
        if abs(price - near) <= abs(near) / 10**12:  # 0.1 + 0.2
            price = near
    return float(price / form.multiplier)


def snap_to_tick(price: float, definition: SecurityDefinitionResponse | None) -> float | None:
    """Remove binary noise from a server price; None if it is off the tick.

    If the tick is unknown, the price is returned unchanged.
    """
    form = price_format(definition)
    if form.tick is None or form.ticks_per_price is None:
        return price
    numerator, denominator = form.ticks_per_price.as_integer_ratio()
    ticks = round(price * numerator / denominator)
    if ticks * denominator / numerator == price:  # the float nearest to a tick has no noise
        return float(price)
    shown = Fraction(Decimal(repr(float(price)))) * form.multiplier
    near = round(shown / form.tick) * form.tick
    return float(near / form.multiplier) if abs(shown - near) <= abs(shown) / 10**12 else None
