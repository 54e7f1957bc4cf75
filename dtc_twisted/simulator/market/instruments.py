"""Define instruments, and the hand-made ones that always have a market."""

from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import UNSET

from dtc_twisted.dtc.messages import PriceDisplayFormatEnum, SecurityDefinitionResponse, SecurityTypeEnum

EPOCH = 1587772800
"""Session date of the initial prices, 2020-04-25, in seconds since 1970.

The simulated time is never earlier, even if a test clock starts at zero.
"""

DAY = 86400
"""Seconds."""

RESTRICTED = "NQM20_FUT_CME"
"""Symbol whose data the exchange does not permit to be served.

Each request for its market data, depth or history is rejected with RESTRICTED_TEXT, as Sierra Chart does for CME Group,
EUREX, NASDAQ, CBOE and others.
"""

RESTRICTED_TEXT = "Data for this symbol cannot be served: not permitted by the exchange (CME Group)."


@dataclass(frozen=True, kw_only=True, slots=True)
class Instrument:
    """Define one symbol.

    Prices are in the server's format: a display price divided by `multiplier`.
    """

    symbol: str
    exchange: str
    description: str
    security_type: SecurityTypeEnum
    underlying: str
    exchange_symbol: str
    tick: float
    """Smallest price step. MinPriceIncrement is the same step as a display price."""
    decimals: int
    """Decimals of a price in the server's format."""
    display_format: PriceDisplayFormatEnum
    tick_value: float
    """CurrencyValuePerIncrement."""
    multiplier: float = 1.0
    """DisplayPriceMultiplier."""
    last: float
    open: float
    high: float
    low: float
    settlement: float | None = None
    volume: int = 0
    num_trades: int = 0
    open_interest: int | None = None
    lot: int = 20
    """Typical quantity at one price of the book."""
    expires: int = 0
    """Seconds since 1970; 0: never."""
    currency: str = "USD"
    history_in_seconds: bool = False
    """Whether StartDateTime of historical records is in seconds since 1970; else in microseconds.

    Servers differ.
    """

    def ticks(self, price: float) -> int:
        return round(price / self.tick)

    def price(self, ticks: int) -> float:
        """Return a price; an integer if it has no fraction, as the server: 282800."""
        return round(ticks * self.tick, self.decimals) if self.decimals else round(ticks * self.tick)

    def definition(self, request_id: int, *, final: bool = True) -> SecurityDefinitionResponse:
        return SecurityDefinitionResponse(
            RequestID=request_id,
            Symbol=self.symbol,
            SecurityType=self.security_type,
            Description=self.description,
            MinPriceIncrement=self.tick * self.multiplier,
            PriceDisplayFormat=self.display_format,
            CurrencyValuePerIncrement=self.tick_value,
            IsFinalMessage=int(final),
            UnderlyingSymbol=self.underlying,
            SecurityExpirationDate=self.expires or UNSET,
            HasMarketDepthData=1,
            DisplayPriceMultiplier=self.multiplier,
            ExchangeSymbol=self.exchange_symbol,
            Currency=self.currency,
            OpenInterest=UNSET if self.open_interest is None else self.open_interest,
        )


def utc_date(year: int, month: int, day: int) -> int:
    """Return midnight UTC of a date, in seconds since 1970."""
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


INSTRUMENTS = (
    Instrument(
        symbol="ESM20_FUT_CME",
        exchange="CME",
        description="E-MINI S&P 500 FUTURES ES Jun 2020",
        security_type=SecurityTypeEnum.SECURITY_TYPE_FUTURES,
        underlying="ES",
        exchange_symbol="ESM20",
        tick=25,
        decimals=0,
        display_format=PriceDisplayFormatEnum.PRICE_DISPLAY_FORMAT_DECIMAL_2,
        tick_value=12.5,
        multiplier=0.01,
        last=282800,
        open=277700,
        high=283500,
        low=275525,
        settlement=282950,
        volume=1512406,
        num_trades=488808,
        open_interest=3332460,
        lot=40,
        expires=utc_date(2020, 6, 19),
    ),
    Instrument(
        symbol="CLM20_FUT_NYMEX",
        exchange="NYMEX",
        description="CRUDE OIL FUTURES CL Jun 2020",
        security_type=SecurityTypeEnum.SECURITY_TYPE_FUTURES,
        underlying="CL",
        exchange_symbol="CLM20",
        tick=1,
        decimals=0,
        display_format=PriceDisplayFormatEnum.PRICE_DISPLAY_FORMAT_DECIMAL_2,
        tick_value=10,
        multiplier=0.01,
        last=1718,
        open=1678,
        high=1797,
        low=1564,
        settlement=1694,
        volume=702118,
        num_trades=366006,
        open_interest=360880,
        lot=15,
        expires=utc_date(2020, 5, 19),
        history_in_seconds=True,
    ),
    Instrument(
        symbol="EURUSD",
        exchange="FOREX",
        description="Euro / US Dollar",
        security_type=SecurityTypeEnum.SECURITY_TYPE_FOREX,
        underlying="EURUSD",
        exchange_symbol="EUR/USD",
        tick=0.00005,
        decimals=5,
        display_format=PriceDisplayFormatEnum.PRICE_DISPLAY_FORMAT_DECIMAL_5,
        tick_value=0.00005,
        last=1.08255,
        open=1.0779,
        high=1.0829,
        low=1.0727,
        lot=1000000,
    ),
    Instrument(
        symbol="BTCUSD",
        exchange="CRYPTO",
        description="Bitcoin / US Dollar",
        security_type=SecurityTypeEnum.SECURITY_TYPE_FOREX,
        underlying="BTC",
        exchange_symbol="BTC-USD",
        tick=0.5,
        decimals=1,
        display_format=PriceDisplayFormatEnum.PRICE_DISPLAY_FORMAT_DECIMAL_1,
        tick_value=0.5,
        last=7550.5,
        open=7482,
        high=7615.5,
        low=7401.5,
        volume=21877,
        num_trades=80412,
        lot=3,
    ),
)

RESTRICTED_INSTRUMENT = Instrument(
    symbol=RESTRICTED,
    exchange="CME",
    description="E-MINI NASDAQ-100 FUTURES NQ Jun 2020",
    security_type=SecurityTypeEnum.SECURITY_TYPE_FUTURES,
    underlying="NQ",
    exchange_symbol="NQM20",
    tick=25,
    decimals=0,
    display_format=PriceDisplayFormatEnum.PRICE_DISPLAY_FORMAT_DECIMAL_2,
    tick_value=5,
    multiplier=0.01,
    last=877375,
    open=864000,
    high=880500,
    low=856025,
    expires=utc_date(2020, 6, 19),
)


def simulated_time(seconds: float) -> float:
    """Return the simulated time, in seconds since 1970: not before EPOCH."""
    return max(seconds, EPOCH)
