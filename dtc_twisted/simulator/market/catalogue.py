"""Find instruments by symbol.

There are hand-made instruments, some with special behaviour, and about 6,000 that are generated on first use.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache, lru_cache
from itertools import chain, combinations, product
from types import MappingProxyType
from typing import Any, NamedTuple
from zlib import crc32

from dtc_twisted.dtc.messages import PriceDisplayFormatEnum, SecurityTypeEnum
from dtc_twisted.simulator.market.instruments import (
    INSTRUMENTS,
    RESTRICTED,
    RESTRICTED_INSTRUMENT,
    RESTRICTED_TEXT,
    Instrument,
    utc_date,
)
from dtc_twisted.simulator.symbol_lists import COINS, CURRENCIES, FUTURES, MONTHS, STOCKS, YEARS

NO_HISTORY = "EMPTY_SIM"
"""Symbol without historical data: the response is a header with NoRecordsToReturn = 1."""

REFUSED_HISTORY = "REFUSED_SIM"
"""Symbol whose historical data is rejected with REFUSED_TEXT and RETRY_SECONDS."""

REFUSED_TEXT = "The historical data of this symbol is not there yet. Ask again later."

RETRY_SECONDS = 30

SLOW_HISTORY = "SLOW_SIM"
"""Symbol whose historical records are sent one by one, with a pause before each."""

EXCHANGES = {
    "CME": "Chicago Mercantile Exchange",
    "CBOT": "Chicago Board of Trade",
    "NYMEX": "New York Mercantile Exchange",
    "COMEX": "Commodity Exchange",
    "ICEUS": "ICE Futures U.S.",
    "ICEEU": "ICE Futures Europe",
    "SGX": "Singapore Exchange",
    "FOREX": "Foreign exchange",
    "CRYPTO": "Crypto currencies",
    "NYSE": "New York Stock Exchange",
    "SIM": "Symbols of this simulator",
    "EUREX": "Eurex Deutschland",  # without symbols
}
"""Descriptions of exchanges."""

_FUTURE, _FOREX, _STOCK = (
    SecurityTypeEnum.SECURITY_TYPE_FUTURES,
    SecurityTypeEnum.SECURITY_TYPE_FOREX,
    SecurityTypeEnum.SECURITY_TYPE_STOCK,
)


class CatalogueEntry(NamedTuple):
    """Fields to find a generated instrument, and to make it."""

    symbol: str
    exchange: str
    description: str
    security_type: SecurityTypeEnum
    underlying: str
    tick: str
    """Text with as many decimals as the price has."""
    price: float
    """Approximate price."""
    expires: int = 0
    fields: Mapping[str, Any] = MappingProxyType({})
    """Further fields of the Instrument."""

    @property
    def instrument(self) -> Instrument:
        """Make the instrument, with prices derived from the symbol."""
        step, decimals = float(self.tick), len(self.tick.partition(".")[2])
        chance = crc32(self.symbol.encode())
        middle = max(round(self.price / step), 100)
        width = max(middle // 100, 4)  # half the day's range in ticks: about 1 %
        last = middle - width + chance % (2 * width)
        low, high = last - 1 - chance // 7 % width, last + 1 + chance // 11 % width
        prices = {"last": last, "open": low + (high - low) // 3, "high": high, "low": low, "settlement": last - 1}
        fields: dict[str, Any] = {
            "exchange_symbol": self.symbol.partition("_")[0],
            "tick_value": step,
            "display_format": PriceDisplayFormatEnum(decimals),
            "open_interest": chance % 250_000 if self.expires else None,
            **{name: round(ticks * step, decimals or None) for name, ticks in prices.items()},
            **self.fields,
        }
        return Instrument(
            symbol=self.symbol,
            exchange=self.exchange,
            description=self.description,
            security_type=self.security_type,
            underlying=self.underlying,
            tick=step if decimals else round(step),
            decimals=decimals,
            volume=chance % 400_000,
            num_trades=chance % 400_000 // 3,
            expires=self.expires,
            **fields,
        )


@lru_cache(maxsize=1000)
def find_instrument(symbol: str) -> Instrument | None:
    """Return the instrument of a symbol, or None."""
    if symbol in _FIXED:
        return _FIXED[symbol]
    entry = _generated().get(symbol)
    return None if entry is None else entry.instrument


def all_instruments() -> Iterator[Instrument | CatalogueEntry]:
    """Return all instruments with a security definition, the hand-made ones first."""
    return chain(_FIXED.values(), _generated().values())


def rejection_reason(symbol: str) -> str:
    """Return why requests for data of a symbol are rejected; empty if they are not."""
    if not symbol:
        return "Symbol is not set."
    if symbol == RESTRICTED:
        return RESTRICTED_TEXT
    if find_instrument(symbol) is None:
        return f"{symbol[:40]} is not a known symbol."
    return ""


def _futures() -> Iterator[CatalogueEntry]:
    for line in FUTURES.split("\n")[1:-1]:
        exchange, root, letters, tick, value, price, display, multiplier, name = line.split(" ", 8)
        fields = {
            "tick_value": float(value),
            "display_format": PriceDisplayFormatEnum(int(display)),
            "multiplier": float(multiplier),
        }
        for year, month in product(YEARS, MONTHS if letters == "*" else letters):
            yield CatalogueEntry(
                f"{root}{month}{year % 100}_FUT_{exchange}",
                exchange,
                f"{name} FUTURES {root} {MONTHS[month]} {year}",
                _FUTURE,
                root,
                tick,
                float(price),
                _expiry(year, [*MONTHS].index(month) + 1),
                fields,
            )


@cache
def _expiry(year: int, month: int) -> int:
    """Return the third Friday of a month, in seconds since 1970."""
    return utc_date(year, month, 15 + (4 - date(year, month, 15).weekday()) % 7)


def _forex() -> Iterator[CatalogueEntry]:
    for (base, of_base), (quoted, of_quoted) in combinations(_priced(CURRENCIES), 2):
        rate = of_quoted / of_base
        tick = ".001" if rate > 20 else ".00005" if rate > 0.05 else ".0000005"
        fields = {"currency": quoted, "exchange_symbol": f"{base}/{quoted}", "lot": 1_000_000}
        pair = base + quoted
        yield CatalogueEntry(pair, "FOREX", f"{base} / {quoted}", _FOREX, pair, tick, rate, fields=fields)


def _crypto() -> Iterator[CatalogueEntry]:
    for (coin, price), quoted in product(_priced(COINS), ("USD", "USDT", "EUR", "GBP")):
        tick = ".5" if price > 1000 else ".01" if price > 10 else ".0001" if price > 0.1 else ".000001"
        fields = {"currency": quoted, "exchange_symbol": f"{coin}-{quoted}", "lot": 5}
        yield CatalogueEntry(coin + quoted, "CRYPTO", f"{coin} / {quoted}", _FOREX, coin, tick, price, fields=fields)


def _stocks() -> Iterator[CatalogueEntry]:
    for place, trade, form in product(*map(str.split, STOCKS.strip().splitlines())):
        symbol = f"{place[0]}{trade[0]}{form[0]}{place[-1].upper()}"
        price = 5 + crc32(symbol[::-1].encode()) % 30_000 / 100
        yield CatalogueEntry(
            symbol, "NYSE", f"{place} {trade} {form}", _STOCK, symbol, ".01", price, fields={"lot": 300}
        )


def _priced(table: str) -> list[tuple[str, float]]:
    names, prices = table.split()[::2], table.split()[1::2]
    return list(zip(names, map(float, prices), strict=True))


def _special(symbol: str, description: str) -> Instrument:
    return CatalogueEntry(symbol, "SIM", description, _STOCK, symbol, ".01", 100.0).instrument


@cache
def _generated() -> dict[str, CatalogueEntry]:
    found = chain(_futures(), _forex(), _crypto(), _stocks())
    return {entry.symbol: entry for entry in found if entry.symbol not in _FIXED}


_FIXED = {
    each.symbol: each
    for each in (
        *INSTRUMENTS,
        RESTRICTED_INSTRUMENT,
        _special(NO_HISTORY, "Without historical data"),
        _special(REFUSED_HISTORY, "Whose historical data is refused"),
        _special(SLOW_HISTORY, "Whose historical data comes slowly"),
    )
}
